"""The fusion of image features and a question: a state and a target logit for every cell.

It is the projector of this vision-language model and its grounding model at once. The image part
(`Fusion.encode_image`) does not depend on a question and is computed once an image;
`Fusion.ground` adds one question. Three signals match the question to the cells:

- *match channels*: the fusion recognises a list of names in every cell, and a name counts for a
  question as far as its token embedding resembles the question's. Without them the same matching
  is learned an order of magnitude later;
- open-vocabulary matching by sentence embeddings (`matching`);
- spatial reasoning about colors, positions, sizes and relations (`spatial`).
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
from text4seg.models.nano.layers import Layer
from text4seg.models.nano.matching import FINAL_CHANNELS, ListMatch, OpenVocabularyMatcher, Phrases
from text4seg.models.nano.spatial import SpatialEvidence, SpatialReasoner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from text4seg.models.nano.text.attributes import AttributeTensors

# A low power keeps related names in play, a high one leaves little but the same word.
_MATCH_POWERS = (2.0, 8.0)
# Names have one to three words, so means of so many neighbouring tokens are compared with them.
_WINDOWS = (1, 2, 3)
_MAX_QUESTION = 64
_DETECTOR = len(COCO_CLASSES)


@dataclass(frozen=True, slots=True)
class ImageState:
    """The encoding of `b` images, before any question.

    Attributes:
        cells: States `b n d` of the n = 256 cells, row by row.
        names: Logits `b n names` of the names that the fusion recognises.
        boxes: The detector's class map `b n 80`, 0 to 1.
        classes: Log-probabilities `b n 1000` of the image classifier; for open matching.
        meanings: The cells' own sentence embeddings `b n 384`; for open matching.
        objects: The detector's boxes one by one, `b k 6`; for attributes.
        colors: Shares of colors in each cell, `b n 12`; for attributes.
    """

    cells: Tensor
    names: Tensor
    boxes: Tensor
    classes: Tensor | None = None
    meanings: Tensor | None = None
    objects: Tensor | None = None
    colors: Tensor | None = None

    def select(self, index: Tensor) -> ImageState:
        """The images at `index`, which may repeat: one row for each of several questions."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: v[index] for k, v in kept.items() if v is not None})


class Fusion(nn.Module):
    """Features of an image and a question's tokens → cell states and target logits.

    Args:
        config: Sizes and the names to recognise.
        text_width: Width of the language model's token embeddings.
    """

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
        # One row a known name: its mean token embedding, of unit length, set before training.
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
        self.spatial = SpatialReasoner(config) if config.attributes else None
        self._cells, self._channels = side * side, config.vision_channels

    def encode_image(self, features: Tensor) -> ImageState:
        """Encode the part of the image that no question changes.

        Args:
            features: `b rows columns` of the vision encoder: 256 rows of cells, then the detected
                objects; visual channels, the class map, then colors.

        Returns:
            The image state; without `objects` and `colors` where the features lack them.
        """
        full, features = features, features[:, : self._cells, : self._channels]
        # The class map has a scale of its own, so it has a projection of its own.
        visual, boxes = features[..., :-_DETECTOR], features[..., -_DETECTOR:]
        visual = (visual - self.feature_mean) / self.feature_std
        x = self.visual(visual.clamp(-8, 8)) + self.boxes(spread_scores(boxes)) + self.place
        for layer in self.image_layers:
            x = layer(x)
        state = ImageState(self.narrow(x), self.name_head(x), boxes)
        if self.matching is None:
            return state
        # EfficientNet's final features stand first in the channels.
        classes = self.matching.classify(features[..., :-_DETECTOR][..., :FINAL_CHANNELS])
        state = replace(state, classes=classes, meanings=self.matching.mean_of_cells(x))
        # Features kept by earlier versions have neither objects nor colors.
        if self.spatial is None or full.shape[1] == self._cells:
            return state
        columns = slice(self._channels, self._channels + len(COLORS))
        return replace(
            state,
            objects=full[:, self._cells :, :BOX_WIDTH],
            colors=full[:, : self._cells, columns],
        )

    def ground(
        self, image: ImageState, words: Tensor, mask: Tensor, phrases: Phrases | None = None
    ) -> tuple[Tensor, Tensor]:
        """Find what questions ask for in their images.

        Args:
            image: One row a question (`ImageState.select`).
            words: Token embeddings of the questions, `b t text_width`; those beyond the 64th are
                ignored.
            mask: `b t`, true where there is a token.
            phrases: The phrases of the questions, for open matching and attributes. Without them
                the tokens alone are matched.

        Returns:
            Cell states `b n d` and target logits `b n`: positive where a cell is of the target.
        """
        return self.ground_with_boxes(image, words, mask, phrases)[:2]

    def ground_with_boxes(
        self, image: ImageState, words: Tensor, mask: Tensor, phrases: Phrases | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `ground`, with the logits `b k` that each box is meant, where attributes are read."""
        words, mask = words[:, :_MAX_QUESTION], mask[:, :_MAX_QUESTION]
        # Token embeddings are small: `_scale` brings them to unit variance.
        query = self.words(words * _scale(words)) + self.word_place[: words.shape[1]]
        for layer in self.query_layers:
            query = layer(query, mask)
        query = self.query_norm(query)
        # Match channels enter before the layers that read the question, so that these only have to
        # refine a first guess.
        x = image.cells + self.match(self._match_channels(image, words, mask))
        of_boxes = None
        if phrases is not None and self.matching is not None:
            assert image.classes is not None  # noqa: S101 - made together
            assert image.meanings is not None  # noqa: S101
            evidence = (image.names.sigmoid(), image.boxes, image.classes.exp())
            found = self.matching.look_up(evidence, phrases)
            x = x + self.matching(found, evidence, image.classes, image.meanings, phrases)
            # Phrases also join the question's tokens, so that the layers below can attend to them.
            query = torch.cat([query, self.matching.token(phrases.vectors)], dim=1)
            mask = torch.cat([mask, phrases.mask], dim=1)
            attributes, objects, colors = phrases.attributes, image.objects, image.colors
            if (
                self.spatial
                and attributes is not None
                and objects is not None
                and colors is not None
            ):
                spatial_evidence = _gather_evidence(self.matching, found, evidence, attributes)
                placed, of_boxes = self.spatial(
                    objects, colors, spatial_evidence, attributes.to(x), query, mask
                )
                x = x + placed
        for layer in self.layers:
            x = layer(x, None, query, mask)
        x = self.norm(x)
        return x, self.target(x)[..., 0], of_boxes

    def _match_channels(self, image: ImageState, words: Tensor, mask: Tensor) -> Tensor:
        """`b n 8`: of the fusion's names and the detector's, the largest and the sum of what is
        found in a cell, weighted by powers of the name's similarity to the question.
        """
        windows, window_mask = _windows(words, mask)
        windows = functional.normalize(self.similar(windows).float(), dim=-1)
        channels = []
        for known, evidence in (
            (self.name_embedding, image.names.float().sigmoid()),
            (self.detector_embedding, image.boxes.float()),
        ):
            names = functional.normalize(self.similar(known.to(words.dtype)).float(), dim=-1)
            cosine = (windows @ names.T).masked_fill(~window_mask[..., None], 0.0)
            # Float32: powers of small cosines vanish in bfloat16.
            similarity = cosine.amax(dim=1).clamp_min(0.0)
            for power in _MATCH_POWERS:
                weight = similarity[:, :, None] ** power
                channels += [
                    (evidence * weight.transpose(1, 2)).amax(dim=-1),
                    (evidence @ weight)[..., 0],
                ]
        return torch.stack(channels, dim=-1).to(words.dtype)


def _gather_evidence(
    matching: OpenVocabularyMatcher,
    found: Sequence[ListMatch],
    evidence: Sequence[Tensor],
    attributes: AttributeTensors,
) -> SpatialEvidence:
    """Where and as which classes the asked things, and their landmarks, are found.

    Only the questions with a landmark are looked up a second time.
    """
    cells, classes = _most(found), found[1].alike
    of_cells, of_classes = torch.zeros_like(cells), torch.zeros_like(classes)
    rows = attributes.landmarks.any(-1).nonzero()[:, 0]
    if len(rows):
        vectors = attributes.landmarks[rows, None]
        there = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
        landmarks = Phrases(vectors, there)
        marked = matching.look_up([s[rows] for s in evidence], landmarks, found)
        of_cells = of_cells.index_copy(0, rows, _most(marked))
        of_classes = of_classes.index_copy(0, rows, marked[1].alike)
    return SpatialEvidence(cells, classes, of_cells, of_classes)


def _most(found: Sequence[ListMatch]) -> Tensor:
    """The strongest evidence of any list in each cell, `q n`."""
    return torch.stack([one.largest for one in found]).amax(0)


def spread_scores(score: Tensor) -> Tensor:
    """Detector scores on a log scale of two orders of magnitude: .01 and less → -1, 1 → 1."""
    return (torch.log(score.float().clamp_min(0.01)) / 2.3026 + 1.0).to(score.dtype)


def _scale(words: Tensor) -> Tensor:
    """The factor `b t 1` that brings each token's embedding to unit variance."""
    return words.float().pow(2).mean(-1, keepdim=True).clamp_min(1e-8).rsqrt().to(words.dtype)


def _windows(words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Means `b w d` of 1, 2 and 3 neighbouring unit vectors, and which of them are whole `b w`."""
    unit = functional.normalize(words.float(), dim=-1).to(words.dtype)
    parts, masks = [], []
    for size in _WINDOWS:
        if words.shape[1] >= size:
            parts.append(unit.unfold(1, size, 1).mean(-1))
            masks.append(mask.unfold(1, size, 1).all(-1))
    return torch.cat(parts, dim=1), torch.cat(masks, dim=1)
