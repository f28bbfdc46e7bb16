"""Nano's projector: frozen features of an image + the words of a question → a state for every cell.

The image's part (`encode_image`) knows no question and is computed once each; `ask` mixes in one
question. Matching words to cells is helped by *match channels*: the fusion recognises a list of
names in every cell, and a name counts for a question as much as its embedding resembles words of
the question. Without them the same matching is learned an order of magnitude later.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.encoders.colors import COLORS
from text4seg.models.nano.encoders.detected_objects import WIDTH as BOX_WIDTH
from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.matching import FINAL_CHANNELS, ListMatch, OpenVocabularyMatcher, Phrases
from text4seg.models.nano.spatial import SpatialEvidence, SpatialReasoner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from text4seg.models.nano.text.attributes import AttributeTensors

_MATCH_POWERS = (2.0, 8.0)
_WINDOWS = (1, 2, 3)
_MAX_QUESTION = 64
_DETECTOR = len(COCO_CLASSES)


@dataclass(frozen=True, slots=True)
class ImageState:
    """What is known of an image before any question.

    `cells b n d` are states, `names b n names` logits of the known names, `boxes b n 80` the
    detector's class map (0 to 1). For open matching besides: `classes b n 1000`, logarithms of the
    image classifier's probabilities, and `meanings b n 384` of the cells. For terms:
    `objects b k 6`, the detector's boxes one by one, and `colors b n 12` of the cells.
    """

    cells: Tensor
    names: Tensor
    boxes: Tensor
    classes: Tensor | None = None
    meanings: Tensor | None = None
    objects: Tensor | None = None
    colors: Tensor | None = None

    def select(self, index: Tensor) -> ImageState:
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: v[index] for k, v in kept.items() if v is not None})


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` `b m`, true where `memory` may be read."""
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = (
            self.key_value(memory)
            .unflatten(-1, (2 * self.heads, -1))
            .transpose(1, 2)
            .chunk(2, dim=1)
        )
        readable = None if mask is None else mask[:, None, None, :]
        y = functional.scaled_dot_product_attention(query, key, value, attn_mask=readable)
        out: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return out


class Layer(nn.Module):
    """Pre-norm transformer layer.

    With `cells` (side of the square map) it has a 3×3 depthwise convolution, with `reads`
    cross-attention to a memory.
    """

    def __init__(
        self, width: int, heads: int, *, cells: int = 0, reads: bool = False, expansion: int = 4
    ) -> None:
        super().__init__()
        self.cells = cells
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        if reads:
            self.norm_read = nn.LayerNorm(width)
            self.read = Attention(width, heads)
        if cells:
            self.local = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm2 = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, mask)
        if self.cells:
            x = x + self.local(x.transpose(1, 2).unflatten(2, (self.cells, -1))).flatten(
                2
            ).transpose(1, 2)
        if memory is not None:
            x = x + self.read(self.norm_read(x), memory, memory_mask)
        out: Tensor = x + self.feed(self.norm2(x))
        return out


class Fusion(nn.Module):
    feature_mean: Tensor
    feature_std: Tensor
    name_embedding: Tensor
    detector_embedding: Tensor

    def __init__(self, config: NanoConfig, text_width: int) -> None:
        super().__init__()
        width, heads, side = config.width, config.heads, config.cells
        visual = config.vision_channels - _DETECTOR
        self.register_buffer("feature_mean", torch.zeros(visual))
        self.register_buffer("feature_std", torch.ones(visual))
        # One row a known name: mean token embedding, length one. Filled from the language model.
        self.register_buffer("name_embedding", torch.zeros(len(config.names), text_width))
        self.register_buffer("detector_embedding", torch.zeros(_DETECTOR, text_width))
        self.visual = nn.Linear(visual, width)
        self.boxes = nn.Linear(_DETECTOR, width)
        self.place = nn.Parameter(torch.randn(side * side, width) * 0.02)
        self.image_layers = nn.ModuleList(
            Layer(width, heads, cells=side) for _ in range(config.image_layers)
        )
        self.name_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(config.names)))
        narrow = config.fusion_width
        self.narrow = nn.Linear(width, narrow)
        self.similar = nn.Linear(text_width, text_width, bias=False)
        self.words = nn.Linear(text_width, narrow)
        self.word_place = nn.Parameter(torch.randn(_MAX_QUESTION, narrow) * 0.02)
        self.query_layers = nn.ModuleList(Layer(narrow, heads) for _ in range(config.query_layers))
        self.query_norm = nn.LayerNorm(narrow)
        self.match = nn.Linear(4 * len(_MATCH_POWERS), narrow)
        self.layers = nn.ModuleList(
            Layer(narrow, heads, cells=side, reads=True, expansion=2)
            for _ in range(config.fusion_layers)
        )
        self.norm = nn.LayerNorm(narrow)
        self.target = nn.Linear(narrow, 1)
        nn.init.eye_(self.similar.weight)
        self.matching = OpenVocabularyMatcher(config, _DETECTOR) if config.sentence_width else None
        self.spatial = SpatialReasoner(config, Layer) if config.attributes else None
        self._cells, self._channels = side * side, config.vision_channels

    def encode_image(self, features: Tensor) -> ImageState:
        """`b rows columns`, as the eyes give them → what does not depend on a question.

        Boxes and colors, behind the channels of the cells, are read only where terms are; features
        that have none (kept by an earlier version) will do.
        """
        behind, features = features, features[:, : self._cells, : self._channels]
        visual, boxes = features[..., :-_DETECTOR], features[..., -_DETECTOR:]
        visual = (visual - self.feature_mean) / self.feature_std
        x = self.visual(visual.clamp(-8, 8)) + self.boxes(spread_scores(boxes)) + self.place
        for layer in self.image_layers:
            x = layer(x)
        state = ImageState(self.narrow(x), self.name_head(x), boxes)
        if self.matching is None:
            return state
        classes = self.matching.classify(features[..., :-_DETECTOR][..., :FINAL_CHANNELS])
        state = replace(state, classes=classes, meanings=self.matching.mean_of_cells(x))
        if self.spatial is None or behind.shape[1] == self._cells:
            return state
        columns = slice(self._channels, self._channels + len(COLORS))
        return replace(
            state,
            objects=behind[:, self._cells :, :BOX_WIDTH],
            colors=behind[:, : self._cells, columns],
        )

    def ground(
        self, image: ImageState, words: Tensor, mask: Tensor, phrases: Phrases | None = None
    ) -> tuple[Tensor, Tensor]:
        """Question's token embeddings `b t text_width` and mask `b t` → states, target logits.

        The states of the cells are `b n d`, the logits that a cell is of the target `b n`.
        Tokens beyond the 64th of a question are not read. `phrases` are what it asks for, for open
        matching; without them the question is matched by its tokens alone.
        """
        return self.ground_with_boxes(image, words, mask, phrases)[:2]

    def ground_with_boxes(
        self, image: ImageState, words: Tensor, mask: Tensor, phrases: Phrases | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `ask`; besides logits `b k` that a box is meant, where terms are read."""
        words, mask = words[:, :_MAX_QUESTION], mask[:, :_MAX_QUESTION]
        query = self.words(words * _scale(words)) + self.word_place[: words.shape[1]]
        for layer in self.query_layers:
            query = layer(query, mask)
        query = self.query_norm(query)
        x = image.cells + self.match(self._match_channels(image, words, mask))
        of_boxes = None
        if phrases is not None and self.matching is not None:
            assert image.classes is not None  # noqa: S101 - made together
            assert image.meanings is not None  # noqa: S101
            seen = (image.names.sigmoid(), image.boxes, image.classes.exp())
            found = self.matching.look_up(seen, phrases)
            x = x + self.matching(found, seen, image.classes, image.meanings, phrases)
            query = torch.cat([query, self.matching.token(phrases.vectors)], dim=1)
            mask = torch.cat([mask, phrases.mask], dim=1)
            attributes, objects, colors = phrases.attributes, image.objects, image.colors
            if (
                self.spatial
                and attributes is not None
                and objects is not None
                and colors is not None
            ):
                evidence = _gather_evidence(self.matching, found, seen, attributes)
                placed, of_boxes = self.spatial(
                    objects, colors, evidence, attributes.to(x), query, mask
                )
                x = x + placed
        for layer in self.layers:
            x = layer(x, None, query, mask)
        x = self.norm(x)
        return x, self.target(x)[..., 0], of_boxes

    def _match_channels(self, image: ImageState, words: Tensor, mask: Tensor) -> Tensor:
        windows, window_mask = _windows(words, mask)
        windows = functional.normalize(self.similar(windows).float(), dim=-1)
        channels = []
        for known, seen in (
            (self.name_embedding, image.names.float().sigmoid()),
            (self.detector_embedding, image.boxes.float()),
        ):
            names = functional.normalize(self.similar(known.to(words.dtype)).float(), dim=-1)
            cosine = (windows @ names.T).masked_fill(~window_mask[..., None], 0.0)
            similarity = cosine.amax(dim=1).clamp_min(0.0)
            for power in _MATCH_POWERS:
                weight = similarity[:, :, None] ** power
                channels += [(seen * weight.transpose(1, 2)).amax(dim=-1), (seen @ weight)[..., 0]]
        return torch.stack(channels, dim=-1).to(words.dtype)


def _gather_evidence(
    matching: OpenVocabularyMatcher,
    found: Sequence[ListMatch],
    seen: Sequence[Tensor],
    attributes: AttributeTensors,
) -> SpatialEvidence:
    """Of the things, and of the landmarks where questions have one: those alone are looked up."""
    cells, classes = _most(found), found[1].alike
    of_cells, of_classes = torch.zeros_like(cells), torch.zeros_like(classes)
    rows = attributes.landmarks.any(-1).nonzero()[:, 0]
    if len(rows):
        vectors = attributes.landmarks[rows, None]
        there = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
        landmarks = Phrases(vectors, there)
        marked = matching.look_up([s[rows] for s in seen], landmarks, found)
        of_cells = of_cells.index_copy(0, rows, _most(marked))
        of_classes = of_classes.index_copy(0, rows, marked[1].alike)
    return SpatialEvidence(cells, classes, of_cells, of_classes)


def _most(found: Sequence[ListMatch]) -> Tensor:
    return torch.stack([one.largest for one in found]).amax(0)


def spread_scores(score: Tensor) -> Tensor:
    """Detector scores spread over some orders of magnitude; 0 → -1, 1 → 1."""
    return (torch.log(score.float().clamp_min(0.01)) / 2.3026 + 1.0).to(score.dtype)


def _scale(words: Tensor) -> Tensor:
    """Factor to unit variance for each token: embeddings of a language model are small."""
    return words.float().pow(2).mean(-1, keepdim=True).clamp_min(1e-8).rsqrt().to(words.dtype)


def _windows(words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Means of 1, 2 and 3 neighbouring tokens, each normalised first: names have one to three."""
    unit = functional.normalize(words.float(), dim=-1).to(words.dtype)
    parts, masks = [], []
    for size in _WINDOWS:
        if words.shape[1] >= size:
            parts.append(unit.unfold(1, size, 1).mean(-1))
            masks.append(mask.unfold(1, size, 1).all(-1))
    return torch.cat(parts, dim=1), torch.cat(masks, dim=1)
