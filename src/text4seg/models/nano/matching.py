"""Open-vocabulary matching: which cells may be what a phrase means, whatever its words.

Phrases and the words of three lists (the names of the fusion's head, the detector's classes, the
image classifier's classes) are sentence embeddings. What a list's network finds in a cell counts
for a phrase as far as the embeddings of name and phrase are alike. Besides, each cell has a learned
embedding of its own in the same space, as in open-vocabulary segmentation (LSeg, Li et al. 2022,
arXiv:2201.03546).

Shapes: `q` questions, `p` phrases of a question, `n` cells, 384 = width of a sentence embedding.
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
# Cosines above this are the same word: lists are stored in bfloat16.
SAME = 0.985
_HIDDEN_FEATURES = 64
_LISTS = 3
# Of a list: sum and maximum of what is alike, a sharp choice, the cosine of the nearest word.
_CHANNELS_A_LIST = 4
_CHANNELS = _LISTS * _CHANNELS_A_LIST + 3


@dataclass(frozen=True, slots=True)
class Phrases:
    """What questions ask for.

    Attributes:
        vectors: Sentence embeddings of the phrases, unit vectors, `q p 384`.
        mask: `q p`, true where there is a phrase.
        hidden: `q`: phrases of these questions match no list entry that is the very same word.
            Training so practises words that are in no list.
        attributes: What is said of the things besides their names, where the model reads that.
    """

    vectors: Tensor
    mask: Tensor
    hidden: Tensor | None = None
    attributes: AttributeTensors | None = None


@dataclass(frozen=True, slots=True)
class ListMatch:
    """The match of one list with the phrases of `q` questions.

    Attributes:
        words: Adapted embeddings of the list's words, `words 384`.
        near: Cosine of each name's nearest word and the nearest phrase, `q names`.
        alike: `near` on a learned scale of 0 to 1: how far the name counts, `q names`.
        largest: The strongest evidence for names that count, in each cell, `q n`.
    """

    words: Tensor
    near: Tensor
    alike: Tensor
    largest: Tensor


class WordList(nn.Module):
    """Names with the embeddings of all words for them: phrases → how near each name is.

    Args:
        names: Number of names.
        words: Number of words of all names together.
        most: The most words of one name.
        width: Width of an embedding.
    """

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
        """Set the list: the words of each name, and the embedding `384` of every word."""
        unique = {word: i for i, word in enumerate(dict.fromkeys(w for ws in words for w in ws))}
        self.vectors.copy_(torch.stack([embed[word] for word in unique]))
        for row, name in enumerate(words):
            index = [unique[word] for word in name]
            index += index[:1] * (self.members.shape[1] - len(index))
            self.members[row] = torch.tensor(index)

    def add(self, vectors: Tensor) -> None:
        """Append names of one word each, given as embeddings `n width`."""
        rows = torch.arange(len(vectors), device=self.members.device) + len(self.vectors)
        members = rows[:, None].expand(-1, self.members.shape[1])
        self.members = torch.cat([self.members, members.to(self.members)])
        self.vectors = torch.cat([self.vectors, vectors.to(self.vectors)])

    def adapted(self, adapter: nn.Module) -> Tensor:
        """The words' embeddings through the adapter, `words width`, unit vectors; cached."""
        given = (*adapter.parameters(), self.vectors)
        if torch.is_grad_enabled() or any(tensor.is_inference() for tensor in given):
            return functional.normalize(adapter(self.vectors), dim=-1)
        # The cache key: training changes parameters in place, which raises their version; loading
        # replaces them, which changes the pointer; autocast gives the result another type.
        mixed = torch.is_autocast_enabled(self.vectors.device.type)
        state = mixed, *((t.data_ptr(), t._version, len(t)) for t in given)
        if self._adapted is None or self._adapted[0] != state:
            self._adapted = state, functional.normalize(adapter(self.vectors), dim=-1)
        return self._adapted[1]

    def forward(
        self, phrases: Phrases, adapter: nn.Module, adapted: Tensor | None = None
    ) -> Tensor:
        """Cosine of the nearest pair of a phrase and a word for the name, `q names`."""
        words = self.adapted(adapter) if adapted is None else adapted
        asked = functional.normalize(adapter(phrases.vectors), dim=-1)
        near = asked @ words.T
        if phrases.hidden is not None:
            # The adapter moves words, so equality is decided on the embeddings as they came.
            same = (phrases.vectors @ self.vectors.T) > SAME
            near = near.masked_fill(same & phrases.hidden[:, None, None], 0.0)
        near = near.masked_fill(~phrases.mask[..., None], 0.0).amax(dim=1)
        return near[:, self.members].amax(dim=-1)

    def knows(self, vectors: Tensor) -> Tensor:
        """Whether each of `n 384` is the embedding of a word in the list."""
        return (vectors.to(self.vectors) @ self.vectors.T).amax(dim=-1) > SAME

    def alike(self, near: Tensor) -> Tensor:
        """Cosines → 0 to 1, how far the evidence for a name counts, by a learned threshold."""
        return torch.sigmoid((near - self.threshold) * self.sharpness.exp())


class OpenVocabularyMatcher(nn.Module):
    """Evidence of three lists of names for phrases that may be in none of them.

    Args:
        config: Names, sizes of the lists, and widths.
        detected: Classes of the detector.
    """

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
        # The adapter begins as the identity, and the result as zero: sentence embeddings are good
        # already, and the rest of the fusion answers without this module at first.
        nn.init.eye_(self.adapter.weight)
        for last in self.channels[-1].parameters():
            nn.init.zeros_(last)

    @property
    def word_lists(self) -> list[WordList]:
        """The lists of the fusion's head, the detector and the classifier, in this order."""
        return cast("list[WordList]", list(self.lists))

    def add_names(self, vectors: Tensor) -> None:
        """Append names to the fusion's own list, as embeddings `n 384`."""
        self.word_lists[0].add(vectors)

    def list_sizes(self) -> list[list[int]]:
        """Words, and most words of a name, of each list: `word_lists` of the configuration."""
        return [[len(words.vectors), words.members.shape[1]] for words in self.word_lists]

    def knows(self, vectors: Tensor) -> Tensor:
        """Whether each of `n 384` is the embedding of a word in one of the lists."""
        return torch.stack([words.knows(vectors) for words in self.word_lists]).any(dim=0)

    def classify(self, final: Tensor) -> Tensor:
        """EfficientNet's final features `b n 1280` → log-probabilities of ImageNet, `b n 1000`.

        Its classifier follows a global mean; applied to each cell instead, it gives a class
        activation map (Zhou et al. 2016, arXiv:1512.04150, eq. 2).
        """
        logits = functional.linear(final, self.classifier_weight, self.classifier_bias)
        return logits.log_softmax(dim=-1)

    def mean_of_cells(self, states: Tensor) -> Tensor:
        """Cell states `b n width` → embeddings of the cells, unit vectors `b n 384`."""
        return functional.normalize(self.meaning(states).float(), dim=-1).to(states.dtype)

    def own_logits(self, meanings: Tensor, phrases: Phrases) -> Tensor:
        """Logits `q n` that a cell, embedded as `q n 384`, is what one of the phrases means."""
        asked = functional.normalize(self.adapter(phrases.vectors), dim=-1)
        near = meanings @ asked.transpose(1, 2)
        near = near.masked_fill(~phrases.mask[:, None, :], -1.0).amax(dim=-1)
        return near * self.scale.exp() + self.offset

    def look_up(
        self, evidence: Sequence[Tensor], phrases: Phrases, before: Sequence[ListMatch] = ()
    ) -> list[ListMatch]:
        """Match phrases with each list.

        Args:
            evidence: For each list, the evidence for its names in the cells, `q n names`, 0 to 1.
            phrases: What is looked for.
            before: An earlier look-up, whose adapted words are used again.

        Returns:
            One match a list.
        """
        adapted = [found.words for found in before]
        adapted = adapted or [words.adapted(self.adapter) for words in self.word_lists]
        made = []
        for words, turned, there in zip(self.word_lists, adapted, evidence, strict=True):
            near = words(phrases, self.adapter, turned)
            alike = words.alike(near)
            made.append(ListMatch(turned, near, alike, _largest(there, alike)))
        return made

    def forward(
        self,
        looked_up: Sequence[ListMatch],
        evidence: Sequence[Tensor],
        classes: Tensor,
        meanings: Tensor,
        phrases: Phrases,
    ) -> Tensor:
        """Combine the evidence for the phrases.

        Args:
            looked_up: The result of `look_up`.
            evidence: What it was made of.
            classes: Log-probabilities of the classifier, `q n 1000`.
            meanings: The cells' own embeddings, `q n 384`.
            phrases: What is looked for.

        Returns:
            An addition to the cell states, `q n narrow`.
        """
        found: list[Tensor] = []
        for one, there in zip(looked_up, evidence, strict=True):
            # Two readings of one list: all names that are alike, and nearly only the nearest one.
            chosen = torch.softmax(one.near * 25.0, dim=-1)
            weights = torch.stack([one.alike, chosen], dim=-1)
            sums = there @ weights
            nearest = one.near.amax(dim=-1)[:, None].expand_as(one.largest)
            found += [sums[..., 0].clamp_max(2.0), one.largest, sums[..., 1], nearest]
        # `chosen` is that of the last list, the classifier's; 7 is about log(1,000 classes).
        likely = (classes @ chosen[..., None])[..., 0] / 7.0 + 1.0
        # Mean evidence of the cells: the classifier's opinion of the whole image.
        whole = found[-4].mean(dim=-1, keepdim=True).expand_as(likely)
        found += [
            likely.clamp(-1.0, 1.0),
            whole,
            torch.tanh(self.own_logits(meanings, phrases) / 4),
        ]
        made: Tensor = self.channels(torch.stack(found, dim=-1))
        return made


def _largest(evidence: Tensor, alike: Tensor) -> Tensor:
    """The strongest evidence in each cell, weighted by likeness: `q n`.

    Only the twelve likest names are compared, which is much less work than all 1,000 classes.
    """
    best = alike.topk(min(12, alike.shape[-1]), dim=-1)
    index = best.indices[:, None, :].expand(-1, evidence.shape[1], -1)
    return (evidence.gather(2, index) * best.values[:, None, :]).amax(dim=-1)
