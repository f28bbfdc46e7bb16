"""Segmentations as text for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from text4seg.codec import get_format
from text4seg.core.types import DescriptorGrid
from text4seg.segmenter import Segmentation

COLORS = ("red", "blue", "yellow", "green", "magenta", "cyan")


def print_grid(grid: DescriptorGrid) -> None:
    """Print a grid: a block for each cell in its label's color, and each row as run lengths."""
    console = Console(soft_wrap=True, highlight=False)
    full, empty = ("█", "·") if _supports_unicode(console) else ("#", ".")
    texts = get_format("rrle").encode(grid).splitlines()
    for row, text in zip(grid.cells.tolist(), texts, strict=True):
        line = Text("  ")
        for index in row:
            line.append((full if index else empty) * 2, style=_style(index))
        line.append("   ")
        for at, run in enumerate(text.strip().split("| ")):
            line.append("| " if at else "", style="dim")
            label = run.rpartition(" *")[0]
            line.append(run, style=_style(grid.labels.index(label)))
        console.print(line)


def _style(index: int) -> str:
    return COLORS[(index - 1) % len(COLORS)] if index else "dim"


def _supports_unicode(console: Console) -> bool:
    return console.encoding.lower().replace("-", "").startswith("utf")


def stats_line(segmentation: Segmentation) -> str:
    """Summarize a segmentation in one line."""
    stats = segmentation.stats
    found = (
        "nothing found"
        if segmentation.empty
        else f"{100 * stats.share:.1f} % of the image, score {stats.score:.2f}"
    )
    return (
        f"grid {stats.grid}, {stats.tokens} tokens of {stats.format}, {stats.passes} passes, "
        f"{stats.seconds:.2f} s, {found}"
    )
