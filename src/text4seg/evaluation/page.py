"""The report as one self-contained HTML page with a gallery of failures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from text4seg.codec import FORMATS
from text4seg.codec.answer import find_body
from text4seg.core.errors import MissingExtraError
from text4seg.core.files import write_atomically
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape, Size
from text4seg.evaluation.ground_truth import Rle
from text4seg.evaluation.groups import VERDICTS, Verdict, verdict
from text4seg.evaluation.records import ScoreRecord
from text4seg.evaluation.report import Report
from text4seg.images import draw_overlay

OpenImage: TypeAlias = Callable[[ScoreRecord], Image.Image | None]
"""Opens the image of a record; None where there is none to be had."""

GALLERY = 60
WIDTH = 320
TRUTH_TINT = (20, 184, 120)
ANSWER_TINT = (255, 64, 84)


def to_html(report: Report, open_image: OpenImage | None = None, *, limit: int = GALLERY) -> str:
    """Write a report as a page; images are small JPEGs inside it, so that it is one file.

    Args:
        report: The report.
        open_image: Opens the images of failures; without it masks are drawn on gray.
        limit: How many failures are shown at most.

    Returns:
        The page as HTML.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "cli") from None
    source = (resources.files("text4seg.evaluation") / "page.html.j2").read_text("utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
    below = report.options.least_pixels
    worst = failures(report.records, empty_below=below)
    return template.render(
        title=report.title,
        settings=report.settings,
        tables=report.tables(),
        splits=_bars(report),
        kinds=VERDICTS,
        failed=len(worst),
        cards=[_card(record, open_image, below) for record in worst[:limit]],
    )


def save_report(report: Report, folder: Path, open_image: OpenImage | None = None) -> list[Path]:
    """Write `report.json`, `report.md` and `report.html`.

    Args:
        report: The report.
        folder: Where to; made if it is missing.
        open_image: Opens the images of failures.

    Returns:
        The files.

    Raises:
        MissingExtraError: Jinja2 is not installed.
        OutputError: A file cannot be written.
    """
    texts = {
        "report.json": json.dumps(report.to_json(), indent=1) + "\n",
        "report.md": report.to_markdown(),
        "report.html": to_html(report, open_image),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return [folder / name for name in texts]


def failures(records: Sequence[ScoreRecord], *, empty_below: int = 1) -> list[ScoreRecord]:
    """Select the records that are not right.

    Args:
        records: The records.
        empty_below: An answer of fewer pixels counts as empty.

    Returns:
        The failures, lowest IoU first; among equals, the largest first.
    """
    wrong = [record for record in records if verdict(record, empty_below=empty_below) != "right"]
    return sorted(
        wrong,
        key=lambda record: (
            record.pixels.iou,
            -max(record.pixels.target, record.pixels.predicted),
            record.truth.index,
        ),
    )


def _bars(report: Report) -> list[tuple[str, list[tuple[Verdict, int, float]]]]:
    bars = []
    for name, split in report.to_json()["errors"].items():
        total = sum(split.values())
        bars.append((name, [(kind, split[kind], 100 * split[kind] / total) for kind in VERDICTS]))
    return bars


def _card(record: ScoreRecord, open_image: OpenImage | None, empty_below: int) -> dict[str, Any]:
    image = open_image(record) if open_image is not None else None
    return {
        "record": record,
        "kind": verdict(record, empty_below=empty_below),
        "iou": f"{record.pixels.iou:.3f}" if record.present else "–",
        "oracle": "–" if record.oracle is None else f"{record.oracle:.3f}",
        "truth": _picture(image, record.truth.mask, record.size, TRUTH_TINT),
        "answer": _picture(image, record.prediction.mask, record.size, ANSWER_TINT),
        "grid": _grid(record),
    }


def _picture(
    image: Image.Image | None, rle: Rle | None, size: Size, tint: tuple[int, int, int]
) -> str:
    """A small JPEG with the mask over the image, or over gray, as a data address."""
    base = image or Image.new("RGB", (size.width, size.height), (222, 222, 222))
    scale = min(1.0, WIDTH / base.width)
    small = base.resize((max(1, round(base.width * scale)), max(1, round(base.height * scale))))
    if rle is not None:
        mask = Image.fromarray(rle_to_mask(rle).astype(np.uint8) * 255).resize(small.size)
        small = draw_overlay(small, np.asarray(mask) > 127, tint=tint)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _grid(record: ScoreRecord) -> list[list[str]] | None:
    """For each cell of the text: hit, extra, missed or none."""
    prediction = record.prediction
    form = FORMATS.get(prediction.format or "")
    if prediction.grid is None or form is None or prediction.text is None:
        return None
    if not form.syntax.covers_image:
        return None
    shape = GridShape.parse(prediction.grid)
    read = form.salvage(find_body(prediction.text), shape, (record.truth.expression,))
    predicted = read.value.select(record.truth.expression)
    true = np.zeros_like(predicted)
    if record.truth.mask is not None:
        true = coverage_to_cells(mask_to_coverage(rle_to_mask(record.truth.mask), shape))
    names = np.array(["none", "missed", "extra", "hit"])
    return [list(map(str, line)) for line in names[true + 2 * predicted]]
