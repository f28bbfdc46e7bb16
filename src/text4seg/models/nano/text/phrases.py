"""Phrases: the things that a question asks for, as text and as sentence embeddings.

`Where is the left dog? Answer with a mask.` → `dog`. A word that was never taught is read as a
taught one that means the same, where the thesaurus or the embeddings find one (`hound` → `dog`),
and as `thing` otherwise; its own embedding is matched in any case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from text4seg.models.nano.matching import OpenVocabularyMatcher, Phrases
from text4seg.models.nano.text.attributes import Attributes, read_attributes, stack_attributes
from text4seg.models.nano.text.lexicon import taught_words, thesaurus
from text4seg.prompts import PART, QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

    from text4seg.models.nano.config import NanoConfig

MOST = 4
# Replaces a word that the fusion's tokens never met in training, where it is replaced likewise.
STAND_IN = "thing"
# The cosine from which on a word is read as another one, and what an entry of the thesaurus adds.
_ALIKE, _TOLD = 0.6, 0.3
_NEARLY_AS_GOOD = 0.12
_WORDINGS = tuple(
    re.compile(
        re.escape(wording).replace(r"\{expression\}", "(.+)").replace(r"\{name\}", "(.+)"),
        re.IGNORECASE,
    )
    for wording in (*QUESTIONS, *PART)
)
_ORDER = re.compile(
    r"^(?:please\s+)?(?:can\s+you\s+)?(?:segment|find|show(?:\s+me)?|where\s+(?:is|are)|mask|outline|"
    r"highlight|select)\s+",
    re.IGNORECASE,
)
_JOINED = re.compile(r"\s*(?:,|;|\band\b|\bor\b)\s*", re.IGNORECASE)
_BEFORE = re.compile(
    r"^(?:(?:all|both|each|every|any|some|most)\s+(?:of\s+)?)?"
    r"(?:(?:the|a|an|this|that|these|those|my|your|his|her|its|their)\s+)?",
    re.IGNORECASE,
)
_SIZE_OR_SIDE = (
    r"(?:left|right|top|bottom|upper|lower|middle|leftmost|rightmost|big|bigger|biggest|large"
    r"|larger|largest|small|smaller|smallest|first|second|third|last)"
)
_PLACE_BEFORE = re.compile(rf"^(?:{_SIZE_OR_SIDE}\s+)+(?=\S)", re.IGNORECASE)
_PLACE_AFTER = re.compile(
    rf"\s+(?:on|at|to|in|from)\s+the\s+(?:very\s+|far\s+)?{_SIZE_OR_SIDE}\b.*$", re.IGNORECASE
)
_RELATION = re.compile(
    r"\s+(?:in|on|at|with|without|near|behind|under|above|below|beside|between|next|left|right|"
    r"wearing|holding|carrying|that|which|who|whose|from|inside|around)\s.*$",
    re.IGNORECASE,
)


def find_phrases(question: str) -> list[str]:
    """The things that a question names.

    Args:
        question: A whole question, or an expression alone.

    Returns:
        At most `MOST` phrases, without articles, positions and sizes; a phrase with a relation
        comes whole and as what stands before the relation.
    """
    return _name_phrases(_find_expression(question))


def find_attributes(question: str) -> tuple[list[str], Attributes]:
    """The things that a question names, without attributes, and the attributes."""
    attributes = read_attributes(_find_expression(question))
    return _name_phrases(attributes.thing), attributes


def _find_expression(question: str) -> str:
    """The expression in a question of a known wording, else the question without its verb."""
    asked = question.strip()
    # The wordings of training come first: they say exactly where the expression is.
    for wording in _WORDINGS:
        found = wording.fullmatch(asked)
        if found:
            asked = found[1]
            break
    else:
        asked = _ORDER.sub("", asked)
    return asked.rstrip(" .?!")


def _name_phrases(expression: str) -> list[str]:
    """The phrases of `a, b and c`, each with and without its relation."""
    phrases: list[str] = []
    for piece in _JOINED.split(expression):
        bare = _bare(piece)
        phrases += [bare, _RELATION.sub("", bare)]
    return [p for p in dict.fromkeys(phrases) if p][:MOST]


def _bare(piece: str) -> str:
    """A phrase without article, position and size."""
    # Twice: some wordings have an article, and the expression may have its own.
    words = _PLACE_AFTER.sub("", _BEFORE.sub("", _BEFORE.sub("", piece.strip())))
    return _PLACE_BEFORE.sub("", words).strip().lower()


@dataclass(frozen=True, slots=True)
class QuestionReading:
    """A question as the fusion reads it.

    Attributes:
        text: The question with taught words in place of others.
        vectors: Sentence embeddings of its phrases, `p 384`.
        attributes: What it says of the things, where the model reads that.
        landmark: Sentence embedding of the landmark, `384`, if it has one.
    """

    text: str
    vectors: Tensor
    attributes: Attributes | None = None
    landmark: Tensor | None = None


class PhraseReader:
    """Questions → what they ask for, by sentence embeddings and a thesaurus.

    Args:
        embed: Phrases → unit vectors `n 384`.
        matching: Its first list holds the names of the fusion's head.
        config: Holds the words of that list; fine-tuning may append to them.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[str]], Tensor],
        matching: OpenVocabularyMatcher,
        config: NanoConfig,
    ) -> None:
        self._embed, self._matching, self._config = embed, matching, config

    def read(self, question: str) -> QuestionReading:
        """Read one question."""
        text, phrases, core = question, [], self._config.words
        attributes, landmark = None, None
        if self._config.attributes:
            named, attributes = find_attributes(question)
            if attributes.landmark:
                landmark = self.landmark(attributes.landmark)
        else:
            named = find_phrases(question)
        for phrase in named or [question]:
            phrases.append(phrase)
            if self._is_taught(phrase):
                continue
            meant = self._meant(phrase, core)
            # Both are matched: the word itself, and what it is read as.
            phrases += meant
            word = meant[0] if meant else STAND_IN
            text = re.sub(rf"\b{re.escape(phrase)}\b", lambda _: word, text, flags=re.IGNORECASE)  # noqa: B023
        vectors = self._embed(list(dict.fromkeys(phrases))[: 2 * MOST])
        return QuestionReading(text, vectors, attributes, landmark)

    def _is_taught(self, phrase: str) -> bool:
        """Whether training asked for things by this phrase."""
        if phrase in self._config.aliases:
            return False  # a user's word, whatever it means elsewhere
        return phrase in self._config.words or phrase in taught_words()

    def landmark(self, phrase: str) -> Tensor:
        """Sentence embedding `384` of a landmark, by a taught word where there is one."""
        meant = [] if self._is_taught(phrase) else self._meant(phrase, self._config.words)
        return self._embed([meant[0] if meant else phrase])[0]

    def read_tokens(
        self, tokenizer: Tokenizer, ids: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Phrases]:
        """Read questions that are tokens already, as `generate` and training have them.

        Args:
            tokenizer: Of those tokens.
            ids: `q t`, padded.
            mask: `q t`, true where there is a token.

        Returns:
            Tokens and mask as the fusion is to read them, and the phrases.
        """
        texts = [
            tokenizer.decode(row[there].tolist(), skip_special_tokens=False)
            for row, there in zip(ids, mask, strict=True)
        ]
        read = [self.read(text) for text in texts]
        # Questions that were read as they are keep their tokens: encoding may split them otherwise.
        rows = [
            row[there]
            if one.text == text
            else torch.tensor(
                tokenizer.encode(one.text, add_special_tokens=False).ids, device=ids.device
            )
            for row, there, one, text in zip(ids, mask, read, texts, strict=True)
        ]
        pad = torch.nn.utils.rnn.pad_sequence
        there = [torch.ones(len(row), dtype=torch.bool, device=ids.device) for row in rows]
        phrases = gather_phrases(read)
        phrases = replace(
            phrases, vectors=phrases.vectors.to(ids.device), mask=phrases.mask.to(ids.device)
        )
        return pad(rows, batch_first=True), pad(there, batch_first=True), phrases

    def _meant(self, phrase: str, core: Sequence[str]) -> list[str]:
        """Taught words for an untaught one, the best first.

        In this order: a user's own alias, its singular, then names with a near embedding and
        entries of the thesaurus; where there is none, the same for the phrase's last word.
        """
        if phrase in self._config.aliases:
            return [self._config.aliases[phrase]]
        singulars = _singulars(phrase)
        # Plurals are frequent among untaught words, and need no embedding.
        for words in (core, taught_words()):
            for single in singulars:
                if single in words:
                    return [single]
        # A word of one of the lists is matched by its embedding and needs no substitute.
        vector = self._embed([phrase])
        if bool(self._matching.knows(vector)[0]):
            return []
        near = (self._matching.word_lists[0].vectors @ vector[0]).topk(2)
        scores = {
            core[i]: float(score)
            for score, i in zip(near.values, near.indices.tolist(), strict=True)
            if score >= _ALIKE
        }
        for word in (phrase, *singulars):
            found = list(thesaurus().get(word, ()))
            if found:
                close = (self._embed(found) @ vector[0]).tolist()
                for name, score in zip(found, close, strict=True):
                    scores[name] = max(scores.get(name, 0.0), score + _TOLD)
        last = phrase.rsplit(" ", maxsplit=1)[-1]
        # `garden gnome` → `gnome`: in English the last word says what a thing is.
        if not scores and last != phrase:
            return [last] if last in taught_words() else self._meant(last, core)
        best = max(scores.values(), default=0.0)
        order = sorted(scores, key=lambda name: -scores[name])
        good = [name for name in order[:2] if scores[name] > best - _NEARLY_AS_GOOD]
        known = [name for name in order if name in core and scores[name] >= _ALIKE]
        # A name with true masks in training comes first: the fusion knows it by its tokens, too.
        return list(dict.fromkeys((*known[:1], *good)))


def _singulars(phrase: str) -> list[str]:
    """What may be the singular of a phrase, by its ending."""
    endings = (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""))
    return [
        phrase.removesuffix(plural) + single
        for plural, single in endings
        if phrase.endswith(plural) and len(phrase) > len(plural) + 2
    ]


def gather_phrases(read: Sequence[QuestionReading]) -> Phrases:
    """Stack the phrases of several questions, and their attributes where those were read."""
    phrases = stack_phrases([one.vectors for one in read])
    attributes = [one.attributes for one in read if one.attributes is not None]
    if not attributes:
        return phrases
    made = stack_attributes(attributes, [one.landmark for one in read], phrases.vectors.shape[-1])
    return replace(phrases, attributes=made.to(phrases.vectors))


def stack_phrases(vectors: Sequence[Tensor], hidden: Tensor | None = None) -> Phrases:
    """Pad the phrases of several questions.

    Args:
        vectors: Sentence embeddings of each question's phrases, `p 384`.
        hidden: `q`, questions whose words are to match no equal word; for training.

    Returns:
        A row a question.
    """
    mask = [torch.ones(len(v), dtype=torch.bool) for v in vectors]
    pad = torch.nn.utils.rnn.pad_sequence
    return Phrases(pad(list(vectors), batch_first=True), pad(mask, batch_first=True), hidden)
