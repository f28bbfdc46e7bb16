"""Reading what a model wrote when it is not quite the format: which line is which row.

Every row is read and fitted to its width on its own, so that no row can harm another. How many
lines are looked at is bounded by the grid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from text4seg.codec.answer import SEG_CLOSE, find_body
from text4seg.codec.format import GridFormat, Repair, Salvage
from text4seg.codec.line_reader import Line, Run, Vocabulary, fit, read_line
from text4seg.core.errors import MaskSyntaxError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape

_MARK = re.compile(r"\||\*\s*[-+]?\d")


def salvage_rows(
    form: GridFormat,
    text: str,
    shape: GridShape,
    labels: Sequence[str] | None,
    write_row: Callable[[Sequence[str]], str],
    *,
    counted: bool,
) -> Salvage[DescriptorGrid]:
    """Read a format that writes one line a row; `write_row` writes the words of one row."""
    done, body, repairs = _read_strictly(form, text, shape, labels, end="\n")
    if done is not None:
        return done
    vocabulary = Vocabulary(labels)
    cut = not body.rstrip(" ").endswith("\n") and SEG_CLOSE not in text
    lines = _read_lines(body, vocabulary, shape, shape.cols, counted=counted, cut=cut)
    chosen = _choose_rows(lines, shape.rows)
    kept = sum(not line.is_blank for line in chosen)
    left_out = sum(not line.is_blank for line in lines) - kept
    if left_out:
        repairs.append(Repair(None, f"lines left out: {left_out}"))
    if len(lines) - len(chosen) > left_out:
        repairs.append(Repair(None, "blank lines left out"))
    rows: list[list[str]] = []
    free = shape.rows - len(chosen)
    for line in chosen:
        parts = _split(line.runs, shape.cols, free, alone=len(chosen) == 1)
        free -= len(parts) - 1
        for part in parts:
            words, notes = _fit_row(line, part, shape.cols)
            if len(parts) > 1:
                notes.insert(0, "a missing line break put in")
            elif not notes and line.text != (" " if rows else "") + write_row(words):
                notes.append("spacing put right")
            repairs += [Repair(len(rows), note) for note in notes]
            rows.append(words)
    missing = range(len(rows), shape.rows)
    repairs += [Repair(row, f"missing, filled with {OTHERS!r}") for row in missing]
    rows += [[OTHERS] * shape.cols for _ in missing]
    return _salvage(rows, repairs, unparsable=not chosen)


def salvage_cells(
    form: GridFormat, text: str, shape: GridShape, labels: Sequence[str] | None
) -> Salvage[DescriptorGrid]:
    """Read a format whose runs go on over the ends of rows; line breaks are separators."""
    done, body, repairs = _read_strictly(form, text, shape, labels, end="")
    if done is not None:
        return done
    vocabulary = Vocabulary(labels)
    cut = SEG_CLOSE not in text
    lines = _read_lines(body, vocabulary, shape, shape.cells, counted=True, cut=cut)
    chosen = [line for line in lines if line.trust]
    if len(chosen) > 1:
        repairs.append(Repair(None, f"{len(chosen)} lines joined"))
    runs = [run for line in chosen for run in line.runs]
    repairs += [Repair(None, note) for line in chosen for note in line.notes]
    notes: list[str] = []
    words = fit(runs, shape.cells, notes, slack=0)
    written = sum(run.count or 1 for run in runs)
    row = min(written // shape.cols, shape.rows - 1)
    repairs += [Repair(row, note) for note in notes]
    rows = [words[at : at + shape.cols] for at in range(0, shape.cells, shape.cols)]
    return _salvage(rows, repairs, unparsable=not runs)


def _salvage(
    rows: list[list[str]], repairs: list[Repair], *, unparsable: bool
) -> Salvage[DescriptorGrid]:
    # Text that only differs in spacing between runs leaves no other trace.
    repairs = repairs or [Repair(None, "spacing put right")]
    return Salvage(DescriptorGrid.from_rows(rows), tuple(repairs), unparsable)


def _read_strictly(
    form: GridFormat, text: str, shape: GridShape, labels: Sequence[str] | None, *, end: str
) -> tuple[Salvage[DescriptorGrid] | None, str, list[Repair]]:
    """Try the strict reader on the text, then on its tidied body; also give back that body."""
    grid = _decode(form, text, shape, labels)
    if grid is not None:
        return Salvage(grid, ()), text, []
    repairs: list[Repair] = []

    def tidy(old: str, new: str, what: str) -> str:
        if new != old:
            repairs.append(Repair(None, what))
        return new

    body = text
    for clean, what in (
        (str, ""),
        (_unix_lines, "line ends put right"),
        (find_body, "what stands around the mask left out"),
    ):
        body = tidy(body, clean(body), what)
        trimmed = body.strip(" \n\t") + end
        grid = _decode(form, trimmed, shape, labels)
        if grid is not None:
            tidy(body, trimmed, "the white space around the mask put right")
            return Salvage(grid, tuple(repairs)), body, repairs
    return None, body, repairs


def _decode(
    form: GridFormat, text: str, shape: GridShape, labels: Sequence[str] | None
) -> DescriptorGrid | None:
    try:
        return form.decode(text, shape, labels)
    except MaskSyntaxError:
        return None


def _unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_lines(
    body: str, vocabulary: Vocabulary, shape: GridShape, cells: int, *, counted: bool, cut: bool
) -> list[Line]:
    """The lines of the body, or of the part of it where a mask seems to stand."""
    texts = body.removesuffix("\n").split("\n")
    most = 8 * shape.rows + 64
    if len(texts) > most:
        first = next((at for at, text in enumerate(texts) if _MARK.search(text)), 0)
        start = max(0, first - shape.rows)
        cut = cut and start + most >= len(texts)
        texts = texts[start : start + most]
    last = len(texts) - 1
    return [
        read_line(text, vocabulary, cells, counted=counted, cut=cut and at == last)
        for at, text in enumerate(texts)
    ]


def _choose_rows(lines: list[Line], rows: int) -> list[Line]:
    """The lines that are rows, in order; a damaged row keeps its place where there is room."""
    likely = [at for at, line in enumerate(lines) if line.trust]
    if not likely:
        return []
    # Every row but the first starts with a space: what stands before such a first row is prose.
    first, *later = likely
    if later and lines[first].text[:1] != " " and lines[later[0]].text[:1] == " ":
        lines = lines[first:]
    full = [line for line in lines if not line.is_blank]
    if len(full) < len(lines) == rows and len(lines) - len(full) <= max(1, len(full) // 2):
        return lines
    if len(full) == rows:
        return full
    good = [line for line in lines if line.trust]
    if len(good) >= rows:
        while len(good) > rows and good[-1].trust == 1:
            good.pop()
        while len(good) > rows and good[0].trust == 1:
            good.pop(0)
        return good[:rows]
    return _fill_gaps(lines, good, rows)


def _fill_gaps(lines: list[Line], good: list[Line], rows: int) -> list[Line]:
    """Good lines with the unreadable ones between them (and before them) that may be rows."""
    numbers = [at for at, line in enumerate(lines) if line.trust]
    between = lines[numbers[0] : numbers[-1] + 1]
    readable = [line for line in between if not line.is_blank]
    if len(between) == rows and 3 * len(readable) >= 2 * rows:
        return between
    chosen = readable if len(readable) <= rows else good
    before = [line for line in lines[: numbers[0]] if not line.is_blank]
    if chosen[0].text[:1] == " " and len(before) + len(chosen) <= rows:
        chosen = before + chosen
    return chosen


def _split(runs: list[Run], cells: int, free: int, *, alone: bool) -> list[list[Run]]:
    """The runs of a line as rows, where it clearly holds several and there is room for them."""
    total = sum(run.count or 0 for run in runs)
    count, rest = divmod(total, cells)
    if rest or count < 2 or count - 1 > free or any(run.count is None for run in runs):
        return [runs]
    parts: list[list[Run]] = [[]]
    filled = 0
    aligned = True
    for run in runs:
        left = run.count or 0
        while left:
            if filled == cells:
                parts.append([])
                filled = 0
            part = min(left, cells - filled)
            aligned = aligned and part == left
            parts[-1].append(Run(run.label, part))
            filled, left = filled + part, left - part
    return parts if aligned or alone else [runs]


def _fit_row(line: Line, runs: list[Run], cells: int) -> tuple[list[str], list[str]]:
    """The words of a row, and what was repaired."""
    if not line.trust:
        return [OTHERS] * cells, [f"unreadable, filled with {OTHERS!r}"]
    notes = list(line.notes)
    return fit(runs, cells, notes, slack=max(1, cells // 8)), notes
