"""Open matching: which cells may be what a phrase means, whatever words it is put in.

A phrase and the words of three lists (the fusion's own names, the detector's, the image
classifier's) are sentence embeddings; what one of the lists sees in a cell counts for a phrase as
far as its words mean the same. Besides, each cell has a meaning of its own in the same space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from text4seg.models.nano.config import NanoConfig
    from text4seg.models.nano.text.attributes import AttributeTensors

CLASSES = 1000
FINAL_CHANNELS = 1280
# Embeddings nearer than this are the same word.
SAME = 0.985
_HIDDEN_FEATURES = 64
_LISTS = 3
# Of a list: the sum of what is alike, its largest, a sharp choice, how near the nearest word is.
_CHANNELS_A_LIST = 4
_CHANNELS = _LISTS * _CHANNELS_A_LIST + 3


@dataclass(frozen=True, slots=True)
class Phrases:
    """What questions ask for: `vectors q p 384`, which of them there are (`mask q p`).

    Words of `hidden q` questions match nothing that is the very same word: so training shows what
    it is to be asked in words that are in no list. `terms` are what is said of them besides, where
    the model reads that.
    """

    vectors: Tensor
    mask: Tensor
    hidden: Tensor | None = None
    attributes: AttributeTensors | None = None


@dataclass(frozen=True, slots=True)
class ListMatch:
    """What one list makes of the phrases of `q` questions.

    Its `words` as they were adapted, how `near` each name is and how far that counts (`alike`,
    both `q names`), and the `largest` of what is seen of such names in each cell, `q n`.
    """

    words: Tensor
    near: Tensor
    alike: Tensor
    largest: Tensor


class WordList(nn.Module):
    """Names, each with the embeddings of all words for it: phrases → how near each name is."""

    vectors: Tensor
    members: Tensor

    def __init__(self, names: int, words: int, most: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(words, width))
        # Rows of `vectors` for each name; the first one again where there are fewer.
        self.register_buffer("members", torch.zeros(names, most, dtype=torch.long))
        self.threshold = nn.Parameter(torch.tensor(0.6))
        self.sharpness = nn.Parameter(torch.tensor(math.log(12.0)))
        self._adapted: tuple[tuple[object, ...], Tensor] | None = None

    def fill(self, words: Sequence[Sequence[str]], embed: dict[str, Tensor]) -> None:
        unique = {word: i for i, word in enumerate(dict.fromkeys(w for ws in words for w in ws))}
        self.vectors.copy_(torch.stack([embed[word] for word in unique]))
        for row, name in enumerate(words):
            index = [unique[word] for word in name]
            index += index[:1] * (self.members.shape[1] - len(index))
            self.members[row] = torch.tensor(index)

    def add(self, vectors: Tensor) -> None:
        """Further names, behind the known ones, with one word each: `n width`."""
        rows = torch.arange(len(vectors), device=self.members.device) + len(self.vectors)
        members = rows[:, None].expand(-1, self.members.shape[1])
        self.members = torch.cat([self.members, members.to(self.members)])
        self.vectors = torch.cat([self.vectors, vectors.to(self.vectors)])

    def adapted(self, adapter: nn.Module) -> Tensor:
        """The words as the adapter turns them, `words width`; kept where nothing is learned."""
        given = (*adapter.parameters(), self.vectors)
        if torch.is_grad_enabled() or any(tensor.is_inference() for tensor in given):
            return functional.normalize(adapter(self.vectors), dim=-1)
        # Training changes parameters in place, which their version tells; loading replaces them.
        # In mixed precision the words come out in another type.
        mixed = torch.is_autocast_enabled(self.vectors.device.type)
        state = mixed, *((t.data_ptr(), t._version, len(t)) for t in given)
        if self._adapted is None or self._adapted[0] != state:
            self._adapted = state, functional.normalize(adapter(self.vectors), dim=-1)
        return self._adapted[1]

    def forward(
        self, phrases: Phrases, adapter: nn.Module, adapted: Tensor | None = None
    ) -> Tensor:
        """`q names`: cosine of the nearest pair of a phrase and a word for the name."""
        words = self.adapted(adapter) if adapted is None else adapted
        asked = functional.normalize(adapter(phrases.vectors), dim=-1)
        near = asked @ words.T
        if phrases.hidden is not None:
            same = (phrases.vectors @ self.vectors.T) > SAME
            near = near.masked_fill(same & phrases.hidden[:, None, None], 0.0)
        near = near.masked_fill(~phrases.mask[..., None], 0.0).amax(dim=1)
        return near[:, self.members].amax(dim=-1)

    def knows(self, vectors: Tensor) -> Tensor:
        """Whether each of `n 384` is the embedding of a word in the list."""
        return (vectors.to(self.vectors) @ self.vectors.T).amax(dim=-1) > SAME

    def alike(self, near: Tensor) -> Tensor:
        """Nearness → 0 to 1, how far what is seen of the name counts."""
        return torch.sigmoid((near - self.threshold) * self.sharpness.exp())


class OpenVocabularyMatcher(nn.Module):
    classifier_weight: Tensor
    classifier_bias: Tensor

    def __init__(self, config: NanoConfig, detected: int) -> None:
        super().__init__()
        width, narrow = config.sentence_width, config.fusion_width
        channels = min(FINAL_CHANNELS, config.vision_channels - detected)
        self.register_buffer("classifier_weight", torch.zeros(CLASSES, channels))
        self.register_buffer("classifier_bias", torch.zeros(CLASSES))
        counts = (len(config.names), detected, CLASSES)
        self.lists = nn.ModuleList(
            WordList(names, words, most, width)
            for names, (words, most) in zip(counts, config.word_lists, strict=True)
        )
        self.adapter = nn.Linear(width, width, bias=False)
        self.meaning = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, width))
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.offset = nn.Parameter(torch.tensor(-4.0))
        self.channels = nn.Sequential(
            nn.Linear(_CHANNELS, _HIDDEN_FEATURES),
            nn.GELU(),
            nn.Linear(_HIDDEN_FEATURES, narrow),
        )
        self.token = nn.Linear(width, narrow)
        nn.init.eye_(self.adapter.weight)
        for last in self.channels[-1].parameters():
            nn.init.zeros_(last)

    @property
    def word_lists(self) -> list[WordList]:
        """What the fusion's head, the detector and the classifier tell apart, in this order."""
        return cast("list[WordList]", list(self.lists))

    def add_names(self, vectors: Tensor) -> None:
        """Further names of the fusion's own head, by what they mean: `n 384`."""
        self.word_lists[0].add(vectors)

    def list_sizes(self) -> list[list[int]]:
        """As the configuration tells of them."""
        return [[len(words.vectors), words.members.shape[1]] for words in self.word_lists]

    def knows(self, vectors: Tensor) -> Tensor:
        """Whether each of `n 384` is the embedding of a word in one of the lists."""
        return torch.stack([words.knows(vectors) for words in self.word_lists]).any(dim=0)

    def classify(self, final: Tensor) -> Tensor:
        """EfficientNet's features of cells `b n 1280` → log-probabilities of its classes."""
        logits = functional.linear(final, self.classifier_weight, self.classifier_bias)
        return logits.log_softmax(dim=-1)

    def mean_of_cells(self, states: Tensor) -> Tensor:
        """Cells `b n width` → their own meanings, unit vectors `b n 384`."""
        return functional.normalize(self.meaning(states).float(), dim=-1).to(states.dtype)

    def own_logits(self, meanings: Tensor, phrases: Phrases) -> Tensor:
        """`q n 384` and the phrases → logits `q n` that a cell means one of the phrases."""
        asked = functional.normalize(self.adapter(phrases.vectors), dim=-1)
        near = meanings @ asked.transpose(1, 2)
        near = near.masked_fill(~phrases.mask[:, None, :], -1.0).amax(dim=-1)
        return near * self.scale.exp() + self.offset

    def look_up(
        self, seen: Sequence[Tensor], phrases: Phrases, before: Sequence[ListMatch] = ()
    ) -> list[ListMatch]:
        """What each list makes of the phrases, where it sees `seen` (0 to 1) in the cells.

        A look-up of other phrases `before` saves to adapt the lists' words again.
        """
        adapted = [found.words for found in before]
        adapted = adapted or [words.adapted(self.adapter) for words in self.word_lists]
        made = []
        for words, turned, there in zip(self.word_lists, adapted, seen, strict=True):
            near = words(phrases, self.adapter, turned)
            alike = words.alike(near)
            made.append(ListMatch(turned, near, alike, _largest(there, alike)))
        return made

    def forward(
        self,
        looked_up: Sequence[ListMatch],
        seen: Sequence[Tensor],
        classes: Tensor,
        meanings: Tensor,
        phrases: Phrases,
    ) -> Tensor:
        """A look-up of phrases, logarithms of `classes`, and the cells' meanings → `q n narrow`."""
        found: list[Tensor] = []
        for one, there in zip(looked_up, seen, strict=True):
            chosen = torch.softmax(one.near * 25.0, dim=-1)
            weights = torch.stack([one.alike, chosen], dim=-1)
            sums = there @ weights
            nearest = one.near.amax(dim=-1)[:, None].expand_as(one.largest)
            found += [sums[..., 0].clamp_max(2.0), one.largest, sums[..., 1], nearest]
        likely = (classes @ chosen[..., None])[..., 0] / 7.0 + 1.0
        # The mean of the cells' evidence: what the classifier says of the whole image.
        whole = found[-4].mean(dim=-1, keepdim=True).expand_as(likely)
        found += [
            likely.clamp(-1.0, 1.0),
            whole,
            torch.tanh(self.own_logits(meanings, phrases) / 4),
        ]
        made: Tensor = self.channels(torch.stack(found, dim=-1))
        return made


def _largest(seen: Tensor, alike: Tensor) -> Tensor:
    """Of what a list sees in each cell, the most that is also alike: `q n`."""
    best = alike.topk(min(12, alike.shape[-1]), dim=-1)
    index = best.indices[:, None, :].expand(-1, seen.shape[1], -1)
    return (seen.gather(2, index) * best.values[:, None, :]).amax(dim=-1)
