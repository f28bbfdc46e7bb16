"""From the outcome of each question to the figures of each set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from text4seg.segmenter import Validity

LARGE_CELLS = 13
"""From so many true cells on an object is large enough for the coarse grid to show its shape."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one question went.

    Attributes:
        set: The set it belongs to.
        truth_cells: Cells of the true mask; 0 where nothing is meant.
        grid_iou: IoU of cells with the true mask's cells; None where nothing is meant.
        pixel_iou: The same in pixels, after the refiner.
        empty: Whether the answer was empty.
        validity: How the text could be read.
        tokens: Tokens of the mask text.
        passes: Forward passes after the prompt.
        seconds: Wall time, with the question's part of opening the photo.
    """

    set: str
    truth_cells: int
    grid_iou: float | None
    pixel_iou: float | None
    empty: bool
    validity: Validity
    tokens: int
    passes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a set; None where there is nothing to average.

    Attributes:
        questions: How many there were.
        present: How many of them mean something that is in the photo.
        absent: How many mean something that is not.
        grid_iou: Mean IoU of cells over present things.
        pixel_iou: The same in pixels.
        large: How many present things have 13 true cells and more.
        large_grid_iou: Mean IoU of cells over those.
        large_pixel_iou: The same in pixels.
        false_empties: Share of present things that were answered empty.
        true_empties: Share of absent things that were answered empty.
        strict: Share of answers whose text was read as it stands.
        salvaged: Share that had to be repaired.
        hopeless: Share of which nothing could be read.
        tokens: Mean tokens of a mask text.
        passes: Mean forward passes of an answer.
        seconds: Mean wall time of an answer.
    """

    questions: int
    present: int
    absent: int
    grid_iou: float | None
    pixel_iou: float | None
    large: int
    large_grid_iou: float | None
    large_pixel_iou: float | None
    false_empties: float | None
    true_empties: float | None
    strict: float
    salvaged: float
    hopeless: float
    tokens: float
    passes: float
    seconds: float


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Summary]:
    """The figures of every set in order of appearance, and of `all` where there are several."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.set, []).append(outcome)
    summaries = {name: summarise_set(group) for name, group in groups.items()}
    if len(groups) > 1 and "all" not in groups:
        summaries["all"] = summarise_set(outcomes)
    return summaries


def summarise_set(outcomes: Sequence[Outcome]) -> Summary:
    """The figures of one set, which has at least one question."""
    present = [outcome for outcome in outcomes if outcome.truth_cells]
    absent = [outcome for outcome in outcomes if not outcome.truth_cells]
    large = [outcome for outcome in present if outcome.truth_cells >= LARGE_CELLS]

    def share(validity: Validity) -> float:
        return sum(outcome.validity == validity for outcome in outcomes) / len(outcomes)

    return Summary(
        questions=len(outcomes),
        present=len(present),
        absent=len(absent),
        grid_iou=_mean(outcome.grid_iou for outcome in present),
        pixel_iou=_mean(outcome.pixel_iou for outcome in present),
        large=len(large),
        large_grid_iou=_mean(outcome.grid_iou for outcome in large),
        large_pixel_iou=_mean(outcome.pixel_iou for outcome in large),
        false_empties=_mean(outcome.empty for outcome in present),
        true_empties=_mean(outcome.empty for outcome in absent),
        strict=share("strict"),
        salvaged=share("salvaged"),
        hopeless=share("hopeless"),
        tokens=_mean(outcome.tokens for outcome in outcomes) or 0.0,
        passes=_mean(outcome.passes for outcome in outcomes) or 0.0,
        seconds=_mean(outcome.seconds for outcome in outcomes) or 0.0,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _three(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


COLUMNS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "questions": ("questions", str),
    "grid_iou": ("IoU, grid", _three),
    "pixel_iou": ("IoU, pixels", _three),
    "large_grid_iou": (f"IoU, grid, ≥ {LARGE_CELLS} cells", _three),
    "large_pixel_iou": (f"IoU, pixels, ≥ {LARGE_CELLS} cells", _three),
    "false_empties": ("false empties", _percent),
    "true_empties": ("absent, answered empty", _percent),
    "strict": ("strictly valid", _percent),
    "tokens": ("tokens", "{:.0f}".format),
    "passes": ("passes", "{:.1f}".format),
    "seconds": ("seconds", "{:.2f}".format),
}
"""What a table shows: the attribute of a summary, its heading and how it is written."""


def to_cells(summary: Summary) -> list[str]:
    """The figures of a set as the table writes them; – where there is nothing to average."""
    cells = []
    for key, (_, write) in COLUMNS.items():
        value = getattr(summary, key)
        cells.append("–" if value is None else write(value))
    return cells
