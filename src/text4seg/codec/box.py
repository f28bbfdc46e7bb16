r"""`box`, box-wise descriptors: a box, then the rows of a grid inside that box.

`[12-30, 34-61]\n others *2| dog *2\n others *1| dog *3\n`: columns 12 to 30 and rows 34 to 61 of
100 by 100 parts of the image, then the rows as in `rrle`, each after a line break and a space. One
such block a region, one after the other; no region at all is `others\n`. Columns stand before
rows, so that a grammar can say that each pair is in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from text4seg.codec.answer import find_body
from text4seg.codec.format import Format, Mask, Notation, Repair, Salvage
from text4seg.codec.grammar_builder import Alt, Grammar, Lit, Part, Ref, Times, add_runs, seq
from text4seg.codec.line_guesses import Cells
from text4seg.codec.rrle import RRLE
from text4seg.codec.run_text import LAST, NEXT_ROW, Words, expect, expect_end, read_runs, runs_of
from text4seg.codec.syntax import Array, Cursor, OpenRun, Span, Unit, split_spans
from text4seg.core.coverage import Rule
from text4seg.core.errors import GrammarError, InputError, MaskSyntaxError
from text4seg.core.regions import PARTS, LatticeBox, Region, Regions, masks_to_regions
from text4seg.core.types import MAX_GRID_SIDE, OTHERS, DescriptorGrid, GridShape, Size

NOTHING = OTHERS + LAST
"""The text of no region."""

MAX_REGIONS = 256
"""Regions that `salvage` reads at most; the rest is left out."""

_HEAD = re.compile(r"\[([0-9]{2})-([0-9]{2}), ([0-9]{2})-([0-9]{2})\]")
_ODD_HEAD = re.compile(
    r"\[?[ \t]{0,4}(\d{1,3})\D{1,4}(\d{1,3})\D{1,6}(\d{1,3})\D{1,4}(\d{1,3})[ \t]{0,4}\]"
)


# Edges and punctuation of a head, then counts and separators of rows. A label may hold a hyphen.
_TWO = "[0-9]{2}"
_SPANS = re.compile(
    rf"(?P<count>(?<=[^|\n] \*)[0-9]+|(?<=\[){_TWO}(?=-)|(?<=\[{_TWO}-){_TWO}"
    rf"|(?<=\[{_TWO}-{_TWO}, ){_TWO}|(?<=\[{_TWO}-{_TWO}, {_TWO}-){_TWO}(?=\]))"
    rf"|(?P<separator>\[(?={_TWO}-)|(?<=\[{_TWO})-|(?<=\[{_TWO}-{_TWO}), |(?<=, {_TWO})-"
    rf"|(?<=-{_TWO})\]| \*(?=[0-9])|\| |\n |[|\n])"
)
FINE = GridShape(MAX_GRID_SIDE, MAX_GRID_SIDE)
"""The grid over the image that boxes are drawn on, where one is wanted."""


@dataclass(frozen=True, slots=True)
class BoxSyntax:
    """Boxes have cells of their own: nothing is drafted from, and read as, cells of the image."""

    covers_image: ClassVar[bool] = False
    has_counts: ClassVar[bool] = True

    def line_shape(self, shape: GridShape) -> GridShape:
        """The grid inside a box."""
        return shape

    def run_width(self, shape: GridShape) -> int:
        """The columns inside a box."""
        return shape.cols

    def to_lines(self, cells: Array) -> Array:
        """The array itself."""
        return cells

    def from_lines(self, cells: Array) -> Array:
        """The array itself."""
        return cells

    def settled_cells(self, text: bytes, shape: GridShape) -> list[bytes]:
        """No cells of the image."""
        return []

    def complete(
        self,
        text: bytes,
        lines: Sequence[Cells],
        shape: GridShape,
    ) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    def repeat_lines(self, text: bytes, shape: GridShape | None) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    def open_run(self, text: bytes, shape: GridShape) -> OpenRun | None:
        """None: run lengths inside boxes are taken as the model writes them."""
        return None

    def units(self, text: bytes, shape: GridShape) -> Iterator[Unit]:
        """No cells of the image."""
        return iter(())

    def line_ends(self, text: bytes, shape: GridShape) -> list[int]:
        """None: boxes are streamed as a whole."""
        return []

    def cursor(self, shape: GridShape) -> Cursor | None:
        """None: boxes are few, and caching does not pay."""
        return None

    def spans(self, text: str) -> Iterator[Span]:
        """The edges of boxes and the counts of runs are counts."""
        return split_spans(_SPANS, text)


@dataclass(frozen=True, slots=True)
class BoxWise(Format[Regions]):
    """Boxes with a grid each."""

    name: ClassVar[str] = "box"
    syntax: ClassVar[BoxSyntax] = BoxSyntax()

    def encode(self, regions: Regions) -> str:
        """Write the one text of some regions."""
        return "".join(map(_write, regions.regions)) or NOTHING

    def decode(self, text: str, shape: GridShape, labels: Sequence[str] | None = None) -> Regions:
        """Read exactly what `encode` writes; raises `MaskSyntaxError` for anything else."""
        words = Words(labels)
        if text == NOTHING:
            return Regions()
        found: list[Region] = []
        at = 0
        while at < len(text) or not found:
            box, at = _read_box(text, at, first=not found)
            cells: list[int] = []
            for row in range(1, shape.rows + 1):
                at = expect(text, at, NEXT_ROW, f"a line break and a space before row {row}")
                numbers, at = read_runs(text, at, shape.cols, words)
                cells += numbers
            at = expect(text, at, LAST, f"a line break after the last of {shape.rows} rows")
            found.append(Region(box, words.grid(cells, shape)))
        expect_end(text, at)
        return Regions(tuple(found))

    def salvage(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> Salvage[Regions]:
        """Read anything, region by region; never raises, linear in the text.

        A region without a readable box is left out: its rows have no place. A box whose ends are
        out of order is turned round, one beyond the image is cut off at its edge.
        """
        try:
            return Salvage(self.decode(text, shape, labels), ())
        except MaskSyntaxError:
            pass
        body = find_body(text.replace("\r\n", "\n").replace("\r", "\n"))
        repairs = [Repair(None, "what stands around the mask left out")] if body != text else []
        heads = list(_ODD_HEAD.finditer(body[: 1 << 22]))
        if len(heads) > MAX_REGIONS:
            repairs.append(Repair(None, f"regions left out: {len(heads) - MAX_REGIONS}"))
            heads = heads[:MAX_REGIONS]
        found: list[Region] = []
        for head, after in zip(heads, [*heads[1:], None], strict=False):
            box, notes = _mend(head)
            rows = body[head.end() : after.start() if after else len(body)]
            read = RRLE.salvage(rows.strip("\n :").removeprefix(" ") + LAST, shape, labels)
            number = f"region {len(found) + 1}: "
            repairs += [Repair(None, number + note) for note in notes]
            repairs += [Repair(repair.row, number + repair.what) for repair in read.repairs]
            found.append(Region(box, read.value))
        if not heads and body.strip() != OTHERS:
            repairs.append(Repair(None, "no box could be read"))
        # Text that only differs in spacing leaves no other trace.
        repairs = repairs or [Repair(None, "spacing put right")]
        unparsable = not heads and body.strip() != OTHERS
        return Salvage(Regions(tuple(found)), tuple(repairs), unparsable)

    def grammar(
        self,
        shape: GridShape,
        labels: Sequence[str] | None = None,
        notation: Notation = "lark",
        *,
        tail: str = "",
    ) -> str:
        """A grammar of what `decode` accepts, each text followed by `tail`.

        As exact as that of `rrle`; not as `regex`. Raises `GrammarError`.
        """
        if notation == "regex":
            raise GrammarError(
                "any number of boxes is no regular expression that fits; "
                "ask for 'lark', 'gbnf' or 'ebnf'"
            )
        grammar = Grammar({"start": Lit("")})
        # A row ends where the next begins: its line break belongs to what follows.
        row = add_runs(grammar, labels, shape.cols, LAST)
        rows = Times(seq(Lit(" "), row), shape.rows)
        ends = _add_ends(grammar)
        region = seq(Lit("["), ends, Lit(", "), ends, Lit("]" + LAST), rows)
        grammar.rules["regions"] = Alt((Ref("region"), seq(Ref("region"), Ref("regions"))))
        grammar.rules["region"] = region
        grammar.rules["start"] = seq(Alt((Lit(NOTHING), Ref("regions"))), Lit(tail))
        return grammar.write(notation)

    def from_masks(
        self, masks: Sequence[Mask], shape: GridShape, rule: Rule = "coverage"
    ) -> Regions:
        """A box for each mask, large ones first: later boxes lie on top, a part on its whole."""
        if rule == "center":
            raise InputError("boxes do not take the rule center: use coverage or iou")
        large_first = sorted(masks, key=lambda one: -int(np.count_nonzero(one[1])))
        return masks_to_regions(large_first, shape, rule)

    def to_grid(self, value: Regions) -> DescriptorGrid:
        """The regions drawn on the finest grid."""
        labels = value.label_map(Size(FINE.rows, FINE.cols))
        return DescriptorGrid.build(value.labels, labels)


def _write(region: Region) -> str:
    box = region.box
    head = f"[{box.x0:02}-{box.x1:02}, {box.y0:02}-{box.y1:02}]"
    return NEXT_ROW.join([head, *map(runs_of, region.grid.rows_of_labels())]) + LAST


def _read_box(text: str, at: int, *, first: bool) -> tuple[LatticeBox, int]:
    match = _HEAD.match(text, at)
    if match is None:
        box = "a box like '[12-30, 34-61]'"
        raise MaskSyntaxError(text, at, f"{box} or {NOTHING!r}" if first else box)
    x0, x1, y0, y1 = map(int, match.groups())
    for low, high, group in ((x0, x1, 2), (y0, y1, 4)):
        if low > high:
            raise MaskSyntaxError(
                text, match.start(group), f"an end from {low:02} to {PARTS - 1} of the box"
            )
    return LatticeBox(x0, x1, y0, y1), match.end()


def _mend(head: re.Match[str]) -> tuple[LatticeBox, list[str]]:
    numbers = [min(int(digits), PARTS - 1) for digits in head.groups()]
    x0, x1, y0, y1 = numbers
    notes = []
    if _HEAD.fullmatch(head[0]) is None:
        notes.append("the box put right")
    if x0 > x1 or y0 > y1:
        notes.append("the ends of the box put in order")
    return LatticeBox(min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)), notes


def _add_ends(grammar: Grammar) -> Ref:
    """Rules for two numbers of two digits in order, a hyphen between them."""
    digits = "0123456789"
    grammar.rules["digit"] = Alt(tuple(map(Lit, digits)))
    for low in range(10):
        grammar.rules[f"unit_{low}"] = Alt(tuple(map(Lit, digits[low:])))
    pairs: list[Part] = []
    for low in range(PARTS):
        ten, unit = divmod(low, 10)
        same = seq(Lit(str(ten)), Ref(f"unit_{unit}"))
        more = [seq(Lit(digit), Ref("digit")) for digit in digits[ten + 1 :]]
        grammar.rules[f"from_{low}"] = Alt((same, *more))
        pairs.append(seq(Lit(f"{low:02}-"), Ref(f"from_{low}")))
    grammar.rules["ends"] = Alt(tuple(pairs))
    return Ref("ends")


BOX = BoxWise()
