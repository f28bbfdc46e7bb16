"""Grammars as a few rules, written out in the notation that a decoder reads.

The three formats build one small grammar each from the parts below; only this file knows how
llguidance (Lark), llama.cpp (GBNF), xgrammar (EBNF) and regular expressions spell it.

Counts are what makes run lengths hard: after `16` of 16 cells nothing may follow, after `1` of 16
either a separator or a second digit. Rules are therefore named after what is left to fill, and
counts are spelled digit by digit, so that a row of C cells takes a number of rules linear in C.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from text4seg.codec.format import NOTATIONS, Notation
from text4seg.codec.run_text import NEXT, names_of
from text4seg.core.errors import GrammarError, UnknownNameError
from text4seg.core.types import OTHERS

MAX_ALTERNATIVES = 40_000
"""Above about 60,000 symbols llguidance gives up; at this many it compiles in about a second."""

MAX_REGEX = 200_000
"""Characters of a regular expression; engines refuse or crawl beyond."""

_MAX_REGEX_RULES = 200  # more than any grammar whose expression is short enough


@dataclass(frozen=True, slots=True)
class Lit:
    """These characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Ref:
    """What the rule of this name describes."""

    name: str


@dataclass(frozen=True, slots=True)
class OpenLabel:
    """Any legal label or `others`, and then these characters."""

    then: str


@dataclass(frozen=True, slots=True)
class Seq:
    """One after the other."""

    items: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of these."""

    items: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """The same, `count` times over."""

    item: Part
    count: int


Part = Lit | Ref | OpenLabel | Seq | Alt | Times


def seq(*items: Part) -> Part:
    """A sequence without empty or nested parts; neighbouring literals are joined."""
    flat: list[Part] = []
    for item in items:
        for part in item.items if isinstance(item, Seq) else (item,):
            if isinstance(part, Lit) and flat and isinstance(flat[-1], Lit):
                flat[-1] = Lit(flat[-1].text + part.text)
            elif part != Lit("") and not (isinstance(part, Times) and part.count == 0):
                flat.append(part)
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


@dataclass(slots=True)
class Grammar:
    """Rules by name; the one called `start` is the whole."""

    rules: dict[str, Part] = field(default_factory=dict)

    def write(self, notation: Notation) -> str:
        """This grammar in a notation; raises `GrammarError` where it does not fit."""
        if notation not in NOTATIONS:
            raise UnknownNameError("grammar notation", str(notation), NOTATIONS)
        if notation == "regex":
            return _regex(self)
        return _lark(self) if notation == "lark" else _bnf(self)


def label_part(names: Sequence[str] | None, then: str = "") -> Part:
    """A label followed by `then`: any of `names` and `others`, or every legal one."""
    if names is None:
        return OpenLabel(then)
    return Alt(tuple(Lit(name + then) for name in names_of(names)))


def add_runs(grammar: Grammar, names: Sequence[str] | None, cells: int, end: str) -> Part:
    """Add the rules for runs that fill `cells` cells, followed by `end`.

    With few enough names neighbouring runs must differ. That takes a set of rules for each name,
    so with many, and with open labels, it is left to `decode`: the grammar then also accepts a
    row that repeats a label. Raises `GrammarError` for more cells than can be counted.
    """
    if names is None:
        heads: tuple[Part, ...] = (OpenLabel(" *"),)
    else:
        heads = tuple(Lit(name + " *") for name in names_of(names))
    if len(heads) == 1 and names is not None:
        return Lit(f"{OTHERS} *{cells}{end}")
    attempts = [heads] if names is not None else []
    attempts.append((Ref("head"),))
    for attempt in attempts:
        built = _Runs(attempt, end).build(cells)
        if built is not None:
            first, rules = built
            grammar.rules.update(rules)
            if attempt is not heads:
                grammar.rules["head"] = Alt(heads)
            return first
    raise GrammarError(
        f"{cells} cells counted as one row are too many for a grammar; "
        "use the format 'rrle', which counts each row apart"
    )


class _Runs:
    """Rules for runs, named after the run before and the cells that are left.

    With one head (a rule for all labels) the run before does not matter; with several it is the
    one head that may not follow.
    """

    def __init__(self, heads: tuple[Part, ...], end: str) -> None:
        self.heads = heads
        self.end = end
        self.rules: dict[str, Part] = {}
        self.todo: list[tuple[str, Callable[[], list[Part]]]] = []
        self.size = 0

    def build(self, cells: int) -> tuple[Part, dict[str, Part]] | None:
        """The first rule and all of them, or None where they are more than a compiler takes."""
        first = self._runs("", cells)
        while self.todo:
            name, make = self.todo.pop()
            items = make()
            self.rules[name] = Alt(tuple(items))
            self.size += len(items)
            if self.size > MAX_ALTERNATIVES:
                return None
        return first, self.rules

    def _rule(self, name: str, make: Callable[[], list[Part]]) -> Ref:
        if name not in self.rules:
            self.rules[name] = Alt(())
            self.todo.append((name, make))
        return Ref(name)

    def _runs(self, last: str, left: int) -> Ref:
        """A run and all that follows it, `left` cells in all."""
        numbers = [""] if len(self.heads) == 1 else [f"_{at}" for at in range(len(self.heads))]
        return self._rule(
            f"runs{last}_{left}",
            lambda: [
                Seq((head, self._count(number, left)))
                for number, head in zip(numbers, self.heads, strict=True)
                if not number or number != last
            ],
        )

    def _count(self, last: str, left: int) -> Ref:
        """A count of at most `left`, without a leading zero, and all that follows it."""
        places = len(str(left))
        if places == 1:
            return self._digits(last, left, 1)
        return self._rule(
            f"count{last}_{left}",
            lambda: [self._digits(last, left, place) for place in range(1, places + 1)],
        )

    def _digits(self, last: str, left: int, places: int) -> Ref:
        """A count of `places` digits of which the first is not 0, and all that follows it."""
        unit = 10 ** (places - 1)
        return self._rule(
            f"digits{last}_{left}_{places}",
            lambda: [
                self._after(str(digit), last, left - digit * unit, places - 1)
                for digit in range(1, min(9, left // unit) + 1)
            ],
        )

    def _after(self, digit: str, last: str, left: int, places: int) -> Part:
        """This digit, `places` more of them and all that follows, `left` cells being left."""
        if places == 0 and left == 0:
            return Lit(digit + self.end)
        if places == 0:
            return Seq((Lit(digit + NEXT), self._runs(last, left)))
        return Seq((Lit(digit), self._more(last, left, places)))

    def _more(self, last: str, left: int, places: int) -> Ref:
        """`places` further digits, 0 allowed, and all that follows them."""

        def make() -> list[Part]:
            items = [self._after("0", last, left, places - 1)]
            if left >= 10 ** (places - 1):
                items.append(self._digits(last, left, places))
            return items

        return self._rule(f"more{last}_{left}_{places}", make)


_WORD = r"[^ |\n\r]"
# A word after a space: it may start with `*`, but then no digit may follow.
_LATER = r"([^ *|\n\r]{word}*|\*([^ 0-9|\n\r]{word}*)?)".replace("{word}", _WORD)
_OPEN = rf"{_WORD}+( {_LATER})*"


def _lark(grammar: Grammar) -> str:
    """Llguidance's dialect of Lark."""

    def write(part: Part) -> str:
        match part:
            case Lit(text):
                return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
            case Ref(name):
                return name
            case OpenLabel(then):
                # One terminal: the lexer is greedy and could not give back the start of ` *2`.
                return f"/{_OPEN}{_regex_literal(then)}/"
            case Seq(items):
                return " ".join(map(write, items))
            case Alt(items):
                return "(" + " | ".join(map(write, items)) + ")"
            case Times(item, count):
                return f"({write(item)}){{{count}}}"

    return _rules(grammar, write, lambda name: name, ":")


def _bnf(grammar: Grammar) -> str:
    """GBNF, and the EBNF that xgrammar reads: the same text suits both."""

    def write(part: Part) -> str:
        match part:
            case Lit(text):
                return '"' + "".join(map(_bnf_char, text)) + '"'
            case Ref(name):
                return name.replace("_", "-")
            case OpenLabel(then):
                return f"open-label {write(Lit(then))}" if then else "open-label"
            case Seq(items):
                return " ".join(map(write, items))
            case Alt(items):
                return "(" + " | ".join(map(write, items)) + ")"
            case Times(item, count):
                return f"({write(item)}){{{count}}}"

    text = _rules(
        grammar, write, lambda name: "root" if name == "start" else name.replace("_", "-"), " ::="
    )
    if "open-label" in text:
        text += (
            f'open-label ::= {_WORD}+ (" " later-word)*\n'
            f'later-word ::= [^ *|\\n\\r] {_WORD}* | "*" ([^ 0-9|\\n\\r] {_WORD}*)?\n'
        )
    return text


def _bnf_char(char: str) -> str:
    # Not \x: of `\x01b` xgrammar reads three digits. Other control characters stand for themselves.
    escapes = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\", "\0": "\\u0000"}
    return escapes.get(char, char)


def _rules(
    grammar: Grammar, write: Callable[[Part], str], name_of: Callable[[str], str], sign: str
) -> str:
    lines = []
    for name, part in grammar.rules.items():
        body = " | ".join(map(write, part.items)) if isinstance(part, Alt) else write(part)
        lines.append(f"{name_of(name)}{sign} {body}\n")
    return "".join(lines)


def _regex(grammar: Grammar) -> str:
    """One regular expression, every rule written out where it is used."""
    texts: dict[str, str] = {}

    def write(part: Part) -> str:
        match part:
            case Lit(text):
                return _regex_literal(text)
            case Ref(name):
                return expand(name)
            case OpenLabel(then):
                return _OPEN.replace("(", "(?:") + _regex_literal(then)
            case Seq(items):
                return "".join(map(write, items))
            case Alt(items):
                return "(?:" + "|".join(map(write, items)) + ")"
            case Times(item, count):
                return f"(?:{write(item)}){{{count}}}"

    def expand(name: str) -> str:
        if name not in texts:
            texts[name] = _checked(write(grammar.rules[name]))
        return texts[name]

    return _checked("" if len(grammar.rules) > _MAX_REGEX_RULES else expand("start"))


def _checked(regex: str) -> str:
    if not 0 < len(regex) <= MAX_REGEX:
        raise GrammarError(
            f"the regular expression of this grammar is longer than {MAX_REGEX} characters; "
            "ask for 'lark', 'gbnf' or 'ebnf'"
        )
    return regex


def _regex_literal(text: str) -> str:
    """`text` as a pattern for Python, Rust and JavaScript alike."""
    escaped = re.sub(r"([\\.^$*+?{}\[\]|()/])", r"\\\1", text)
    return escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
