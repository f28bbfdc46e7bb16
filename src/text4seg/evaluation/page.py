"""The report as one self-contained HTML page with a gallery of failures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from text4seg.codec import FORMATS
from text4seg.codec.answer import find_body
from text4seg.core.errors import MissingExtraError
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape
from text4seg.evaluation.groups import VERDICTS, Verdict, verdict
from text4seg.evaluation.report import settings_lines, tables, title_of
from text4seg.evaluation.rows import Rle, Row
from text4seg.images import draw_overlay

OpenImage: TypeAlias = Callable[[Row], Image.Image | None]
"""Opens the image of a row; None where there is none to be had."""

GALLERY = 60
WIDTH = 320
TRUTH_TINT = (20, 184, 120)
ANSWER_TINT = (255, 64, 84)


def to_html(
    report: Mapping[str, Any],
    rows: Sequence[Row],
    open_image: OpenImage | None = None,
    *,
    limit: int = GALLERY,
) -> str:
    """The page; images are small JPEGs inside it, so that it can be sent as one file.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "cli") from None
    source = (resources.files("text4seg.evaluation") / "page.html.j2").read_text("utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
    below = report["empty_below"]
    worst = failures(rows, empty_below=below)
    return template.render(
        title=title_of(report),
        settings=settings_lines(report),
        tables=tables(report),
        splits=_bars(report),
        kinds=VERDICTS,
        failed=len(worst),
        cards=[_card(row, open_image, below) for row in worst[:limit]],
    )


def failures(rows: Sequence[Row], *, empty_below: int = 1) -> list[Row]:
    """What went wrong, worst first; among equals, what covers most of the image."""
    wrong = [row for row in rows if verdict(row, empty_below=empty_below) != "right"]
    return sorted(
        wrong,
        key=lambda row: (row.pixels.iou, -max(row.pixels.target, row.pixels.predicted), row.index),
    )


def _bars(report: Mapping[str, Any]) -> list[tuple[str, list[tuple[Verdict, int, float]]]]:
    bars = []
    for name, split in report["errors"].items():
        total = sum(split.values())
        bars.append((name, [(kind, split[kind], 100 * split[kind] / total) for kind in VERDICTS]))
    return bars


def _card(row: Row, open_image: OpenImage | None, empty_below: int) -> dict[str, Any]:
    image = open_image(row) if open_image is not None else None
    height, width = row.size
    return {
        "row": row,
        "kind": verdict(row, empty_below=empty_below),
        "iou": f"{row.pixels.iou:.3f}" if row.present else "–",
        "oracle": "–" if row.oracle is None else f"{row.oracle:.3f}",
        "truth": _picture(image, row.truth, (height, width), TRUTH_TINT),
        "answer": _picture(image, row.answer, (height, width), ANSWER_TINT),
        "grid": _grid(row),
    }


def _picture(
    image: Image.Image | None, rle: Rle | None, size: tuple[int, int], tint: tuple[int, int, int]
) -> str:
    """A small JPEG with the mask over the image, or over grey, as a data address."""
    height, width = size
    base = image or Image.new("RGB", (width, height), (222, 222, 222))
    scale = min(1.0, WIDTH / base.width)
    small = base.resize((max(1, round(base.width * scale)), max(1, round(base.height * scale))))
    if rle is not None:
        mask = Image.fromarray(rle_to_mask(rle).astype(np.uint8) * 255).resize(small.size)
        small = draw_overlay(small, np.asarray(mask) > 127, tint=tint)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _grid(row: Row) -> list[list[str]] | None:
    """What became of each cell of the text: hit, extra, missed or none."""
    form = FORMATS.get(row.format or "")  # boxes have cells of their own
    if row.grid is None or form is None or row.text is None:
        return None
    shape = GridShape.parse(row.grid)
    read = form.salvage(find_body(row.text), shape, (row.expression,))
    said = read.grid.select(row.expression)
    true = np.zeros_like(said)
    if row.truth is not None:
        true = coverage_to_cells(mask_to_coverage(rle_to_mask(row.truth), shape))
    names = np.array(["none", "missed", "extra", "hit"])
    return [list(map(str, line)) for line in names[true + 2 * said]]
