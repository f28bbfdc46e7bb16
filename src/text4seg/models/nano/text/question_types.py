"""Types of questions whose answer is words: `How many dogs are there?` → a count, of dogs."""

from __future__ import annotations

import re
from dataclasses import dataclass

QUESTION_TYPES = ("there", "count", "color", "where", "names", "name", "other")
"""Presence, number, color, position, all things, the main thing, and any other question.

The VQA head knows a type by its index.
"""

_IMAGE = r"(?:photo|photograph|picture|image|pic|scene|shot)"
_IN_IMAGE = rf"(?:(?:anywhere\s+)?(?:in|on|of|within)\s+(?:the|this|that|my|your)\s+{_IMAGE})"
_TAIL = rf"(?:\s+(?:here|there|visible|shown|to\s+be\s+seen))?(?:\s+{_IN_IMAGE})?"
_SEE = r"(?:(?:do|can|could)\s+you\s+(?:see|find|spot|count)|can\s+be\s+seen|does\s+it\s+show)"
_BE = r"(?:is|are)"
_PLACE = r"(?:on|at|in|to|under|above|below|near|next\s+to|left\s+of|right\s+of)\s.+?"
# In order: the first that fits the whole question decides, so special wordings stand first.
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("count", rf"how\s+many\s+(?P<thing>.+?)\s+(?:{_BE}|{_SEE})\b{_TAIL}"),
    ("count", rf"how\s+many\s+(?P<thing>.+?)\s+does\s+(?:the|this)\s+{_IMAGE}\s+(?:show|have)"),
    ("count", rf"how\s+many\s+(?P<thing>.+?)\s+{_BE}\s+(?P<place>{_PLACE}){_TAIL}"),
    ("count", rf"how\s+many\s+(?P<thing>.+?){_TAIL}"),
    ("count", rf"(?:please\s+)?count\s+(?P<thing>.+?){_TAIL}"),
    ("count", rf"what\s+is\s+the\s+number\s+of\s+(?P<thing>.+?){_TAIL}"),
    ("color", rf"(?:what|which)\s+colou?rs?\s+{_BE}\s+(?P<thing>.+?){_TAIL}"),
    ("color", rf"(?:what|which)\s+colou?rs?\s+(?:does|do)\s+(?P<thing>.+?)\s+have{_TAIL}"),
    ("color", rf"(?:what|which)\s+{_BE}\s+the\s+colou?rs?\s+of\s+(?P<thing>.+?){_TAIL}"),
    ("where", rf"where\s+(?:{_IN_IMAGE}\s+)?{_BE}\s+(?P<thing>.+?){_TAIL}"),
    (
        "where",
        rf"(?:in|on)\s+(?:what|which)\s+(?:part|side)\s+of\s+the\s+{_IMAGE}\s+{_BE}\s+(?P<thing>.+?)",
    ),
    ("names", rf"what\s+all\s+{_BE}\s+.+"),
    ("names", rf"what\s+(?:things|objects)\s+(?:{_BE}|{_SEE}).*"),
    ("names", rf"what\s+(?:{_BE}\s+there|{_SEE})\b{_TAIL}"),
    ("names", rf"what(?:\s+is|'s|\s+are)\s+{_IN_IMAGE}"),
    ("names", rf"what\s+does\s+(?:the|this|that)\s+{_IMAGE}\s+show"),
    ("names", rf"(?:please\s+)?(?:describe|list|name)\s+.*\b{_IMAGE}.*"),
    ("name", rf"what(?:\s+is|'s)\s+(?:this|that|it)(?:\s+{_IN_IMAGE})?"),
    ("name", rf"what\s+is\s+the\s+main\s+(?:thing|object)\b{_TAIL}"),
    ("there", rf"{_BE}\s+there\s+(?P<thing>.+?){_TAIL}"),
    ("there", rf"(?:do|can|could)\s+you\s+(?:see|find|spot)\s+(?P<thing>.+?){_TAIL}"),
    (
        "there",
        rf"(?:does|do)\s+(?:the|this|that)\s+{_IMAGE}\s+(?:show|have|contain|include)\s+(?P<thing>.+)",
    ),
    (
        "there",
        rf"{_BE}\s+(?P<thing>.+?)\s+(?:(?:visible|shown|present|seen|there)(?:\s+{_IN_IMAGE})?|{_IN_IMAGE})",
    ),
)
_READ = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _PATTERNS)
_ARTICLE = re.compile(
    r"^(?:(?:a|an|any|some|the|this|that|these|those|all|every|one|more\s+than\s+one|of)\s+)+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ParsedQuestion:
    """A question of a known type.

    Attributes:
        kind: One of `QUESTION_TYPES`.
        expression: The thing that is asked about, as one would ask for its mask, if any.
    """

    kind: str
    expression: str | None = None


def parse_question(question: str) -> ParsedQuestion:
    """Read type and thing off a question.

    Args:
        question: English, one sentence.

    Returns:
        By the first pattern that fits the whole question; of type `other` where none does.
    """
    asked = re.sub(r"\s+", " ", question.strip()).rstrip(" ?.!")
    for kind, pattern in _READ:
        found = pattern.fullmatch(asked)
        if found is None:
            continue
        if "thing" not in pattern.groupindex:
            return ParsedQuestion(kind)
        # The expression gets `the`, as in questions for masks.
        thing = _ARTICLE.sub("", found["thing"].strip().lower())
        # `how many dogs are on the left` is about `the dogs on the left`.
        if "place" in pattern.groupindex:
            thing = f"{thing} {found['place'].lower()}"
        if thing:
            return ParsedQuestion(kind, f"the {thing}")
    return ParsedQuestion("other")
