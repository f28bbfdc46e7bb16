"""New names for nano's name head, from the user's expressions.

The fusion predicts a list of known names in every cell; a name contributes to an answer as far as
its embedding resembles the question's words. A word that is missing from the list gets a row that
mixes those of the most similar names; `name_init` then fits it to the masks.
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

# What is left of an expression without these is a name.
_ARTICLE = re.compile(r"^(all of the|the|an?|all|every)\s+", re.IGNORECASE)
# Expressions with these words mean one of several things, not a kind of thing.
_SINGLES_OUT = re.compile(
    r"\b(left|right|top|bottom|upper|lower|leftmost|rightmost|middle|first|second|third|last"
    r"|big|bigger|biggest|large|larger|largest|small|smaller|smallest|and|that|who|which|with)\b",
    re.IGNORECASE,
)
_MOST_WORDS = 3
# A name seen in one image alone cannot be told from the image's other content.
_FEWEST_IMAGES = 2
# Known names that are mixed for a new one, and the temperature of their weights.
_NEAREST, _TEMPERATURE = 3, 0.1


def name_of(expression: str) -> str | None:
    """Get the kind of thing that an expression names.

    Args:
        expression: Such as `the red car` or `all of the cups`.

    Returns:
        The name in lower case without its article; None if the expression is long or singles out
        one of several things (`the left cup`).
    """
    name = _ARTICLE.sub("", expression.strip()).strip().lower()
    if not name or len(name.split()) > _MOST_WORDS or _SINGLES_OUT.search(name):
        return None
    return name


def frequent_names(present: Iterable[tuple[str, object]]) -> list[str]:
    """Find the names that are present in at least two images.

    Args:
        present: Pairs of a name and an image that it is present in.

    Returns:
        The names, sorted.
    """
    counts = Counter(name for name, _ in set(present))
    return sorted(name for name, count in counts.items() if count >= _FEWEST_IMAGES)


def add_names(
    model: NanoForConditionalGeneration,
    tokenizer: Tokenizer,
    names: Sequence[str],
    embed: Callable[[Sequence[str]], Tensor] | None = None,
) -> list[str]:
    """Add names to the model's name head, word lists and configuration.

    The new rows come after the old ones, so answers about known names do not change.

    Args:
        model: The model; changed in place.
        tokenizer: Its tokenizer.
        names: Names to know; those that it knows already are left out.
        embed: Sentence embeddings of words, `n d`; needed by models that match by meaning.

    Returns:
        The names that were added.

    Raises:
        TypeError: The name head does not fit the configuration, or `embed` is missing.
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
        # A mixture of similar names is a better start than noise where there are no masks to fit.
        share = _alike(embedded, fusion.name_embedding)
        # A larger layer whose first rows are the old ones: answers about known names do not change.
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
    # Answers in words list names, too.
    if model.vqa_head is not None:
        model.vqa_head.add_names(new)
    model.config.names = [*known, *new]
    return new


def embed_name(tokenizer: Tokenizer, embedding: Tensor, name: str) -> Tensor:
    """Mean token embedding of a name as it stands inside a sentence (after a space), normalised."""
    # Tokens differ at the start of a text; questions have the name after a space.
    unit = functional.normalize(embedding[tokenizer.encode(" " + name).ids].float(), dim=-1)
    return functional.normalize(unit.mean(0), dim=-1)


def _alike(new: Tensor, known: Tensor) -> Tensor:
    """Get the weight of each known name in each new one, `new known`."""
    cosine = functional.normalize(new.float(), dim=-1) @ functional.normalize(known.float()).T
    best = cosine.topk(min(_NEAREST, len(known)), dim=-1)
    share = torch.zeros_like(cosine)
    share.scatter_(1, best.indices, (best.values / _TEMPERATURE).softmax(-1))
    return share.to(known)
