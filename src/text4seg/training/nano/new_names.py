"""A user's own words as names that nano recognises in every cell.

nano's fusion knows a list of names: it recognises each in every cell, and a name counts for a
question as much as its embedding resembles the question's words. A word that the list lacks is
added to it as a mixture of the names most like it; `name_init` then looks at the masks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from text4seg.models.nano.modeling import NanoForConditionalGeneration

_ARTICLE = re.compile(r"^(all of the|the|an?|all|every)\s+", re.IGNORECASE)
_TOLD_APART = re.compile(
    r"\b(left|right|top|bottom|upper|lower|leftmost|rightmost|middle|first|second|third|last"
    r"|big|bigger|biggest|large|larger|largest|small|smaller|smallest|and|that|who|which|with)\b",
    re.IGNORECASE,
)
_MOST_WORDS = 3
_FEWEST_IMAGES = 2
_ALIKE, _SHARPNESS = 3, 0.1


def name_of(expression: str) -> str | None:
    """The name of a kind that an expression asks for; None where it tells one of several apart."""
    name = _ARTICLE.sub("", expression.strip()).strip().lower()
    if not name or len(name.split()) > _MOST_WORDS or _TOLD_APART.search(name):
        return None
    return name


def frequent_names(present: Iterable[tuple[str, object]]) -> list[str]:
    """Names that are present in two images or more, of pairs of a name and an image."""
    counts = Counter(name for name, _ in set(present))
    return sorted(name for name, count in counts.items() if count >= _FEWEST_IMAGES)


def add_names(
    model: NanoForConditionalGeneration,
    tokenizer: Tokenizer,
    names: Sequence[str],
    embed: Callable[[Sequence[str]], Tensor] | None = None,
) -> list[str]:
    """Let the model know these names, too; those that it did not know before.

    What it knew stays as it was: the new rows stand behind the old ones. `embed` tells what words
    mean, where the model matches by meaning.
    """
    known = list(model.config.names)
    new = [name for name in names if name not in known]
    if not new:
        return []
    fusion = model.fusion
    tokens = model.language.embed_tokens.weight.detach().float()
    head = fusion.name_head[-1]
    if not isinstance(head, nn.Linear) or head.out_features != len(known):
        raise TypeError("nano's name head has one output for each of its names")
    with torch.no_grad():
        embedded = torch.stack([embed_name(tokenizer, tokens, name) for name in new]).to(
            fusion.name_embedding
        )
        share = _alike(embedded, fusion.name_embedding)
        grown = nn.Linear(head.in_features, len(known) + len(new))
        grown.weight.copy_(torch.cat([head.weight, share @ head.weight]))
        grown.bias.copy_(torch.cat([head.bias, share @ head.bias]))
        fusion.name_head[-1] = grown.to(head.weight)
        fusion.name_embedding = torch.cat([fusion.name_embedding, embedded])
    if fusion.matching is not None:
        if embed is None:
            raise TypeError("a nano that matches by meaning needs what its new names mean")
        fusion.matching.add_names(embed(new))
        model.config.word_lists = fusion.matching.list_sizes()
        model.config.words = [*model.config.words, *new]
    if model.vqa_head is not None:
        model.vqa_head.add_names(new)
    model.config.names = [*known, *new]
    return new


def embed_name(tokenizer: Tokenizer, embedding: Tensor, name: str) -> Tensor:
    """Mean token embedding of a name as it stands inside a sentence (after a space), normalised."""
    unit = functional.normalize(embedding[tokenizer.encode(" " + name).ids].float(), dim=-1)
    return functional.normalize(unit.mean(0), dim=-1)


def _alike(new: Tensor, known: Tensor) -> Tensor:
    """What share each known name has in each new one: those most like it, `new known`."""
    cosine = functional.normalize(new.float(), dim=-1) @ functional.normalize(known.float()).T
    best = cosine.topk(min(_ALIKE, len(known)), dim=-1)
    share = torch.zeros_like(cosine)
    share.scatter_(1, best.indices, (best.values / _SHARPNESS).softmax(-1))
    return share.to(known)
