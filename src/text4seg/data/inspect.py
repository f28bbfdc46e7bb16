"""Statistics and drawn samples of a finished build, to look at before training."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from text4seg.codec.answer import body_of
from text4seg.core.coverage import Rule, get_rule
from text4seg.core.errors import InputError, MaskSyntaxError
from text4seg.core.files import write_atomically
from text4seg.core.run_lengths import cells_to_runs, rle_to_runs
from text4seg.core.types import OTHERS, GridShape, Size
from text4seg.data.build import MANIFEST, PLAN
from text4seg.data.mask_sources import MaskSource
from text4seg.data.reading import Selection, read_dataset
from text4seg.data.schemas import Record, image_of_record, turns_of
from text4seg.data.shards import read_records
from text4seg.data.targets import TargetEncoder, Value, decode_mask
from text4seg.images import TINTS, draw_overlay, open_image
from text4seg.metrics import iou

Count = Callable[[str], int]
"""Counts the tokens of a text."""

SHEET = 24
_THUMB = 320


@dataclass(slots=True)
class BuildStatistics:
    """What was counted.

    Attributes:
        samples: Records.
        questions: Questions in them.
        empty: Questions whose answer is background alone.
        invalid: Answers that are not strict text of the build's format and grid.
        labels: Questions by label.
        label_characters: Their lengths in characters.
        tokens: Of each sample's texts together, where a tokenizer was given.
        seen: Hashes of questions with their answers and pictures.
        duplicates: Records that were there before, to the letter.
    """

    samples: int = 0
    questions: int = 0
    empty: int = 0
    invalid: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    label_characters: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    duplicates: int = 0

    def to_json(self) -> dict[str, Any]:
        """The figures; a share of nothing is None."""
        return {
            "samples": self.samples,
            "questions": self.questions,
            "labels": len(self.labels),
            "most_frequent_labels": dict(self.labels.most_common(20)),
            "label_characters": _spread(self.label_characters),
            "tokens_a_sample": _spread(self.tokens),
            "empty_share": self.empty / self.questions if self.questions else None,
            "invalid_answers": self.invalid,
            "duplicates": self.duplicates,
        }


def _spread(values: list[int]) -> dict[str, float] | None:
    if not values:
        return None
    array = np.asarray(values)
    return {
        "mean": round(float(array.mean()), 2),
        "median": float(np.median(array)),
        "p95": float(np.percentile(array, 95)),
        "max": int(array.max()),
    }


@dataclass(frozen=True, slots=True)
class FinishedBuild:
    """A finished build: its folder, its plan and the files in order."""

    folder: Path
    plan: dict[str, Any]
    manifest: dict[str, Any]

    @property
    def encoder(self) -> TargetEncoder:
        """How the masks of the build became text."""
        saved = self.plan["plan"]["encoder"]
        grid = GridShape(saved["grid"]["rows"], saved["grid"]["cols"])
        return TargetEncoder(saved["format"], grid, get_rule(saved["rule"]))

    def records(self) -> Iterator[Record]:
        """Every record, in order."""
        for part in self.manifest["parts"]:
            yield from read_records(self.folder / part["file"])


def open_build(folder: Path) -> FinishedBuild:
    """Open a finished build.

    Args:
        folder: What `build_dataset` wrote.

    Returns:
        The build, with its records still unread.

    Raises:
        InputError: The folder holds no finished build.
    """
    try:
        plan = json.loads((folder / PLAN).read_bytes())
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        unfinished = (folder / PLAN).is_file()
        hint = "run the same build again to finish it" if unfinished else "text4seg build makes one"
        raise InputError(
            f"{folder} holds no finished build: no {error.filename}; {hint}"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"the build in {folder} cannot be read: {error}") from error
    return FinishedBuild(folder, plan, manifest)


def count_records(built: FinishedBuild, tokens: Count | None = None) -> BuildStatistics:
    """Go over all records once; memory grows by a hash of 16 bytes per record.

    Args:
        built: The build.
        tokens: Counts the tokens of a text, where token counts are wanted.

    Returns:
        The counts.
    """
    findings = BuildStatistics()
    for record in built.records():
        findings.samples += 1
        turns = turns_of(record)
        for question, answer in turns:
            _count_turn(findings, built, question, answer)
        if tokens is not None:
            findings.tokens.append(sum(tokens(text) for turn in turns for text in turn))
        image = image_of_record(record)
        name = image if isinstance(image, str) else image.get("path") or image.get("bytes")
        key = hashlib.blake2b(repr((name, turns)).encode(), digest_size=16).digest()
        findings.duplicates += key in findings.seen
        findings.seen.add(key)
    return findings


def _count_turn(
    findings: BuildStatistics, built: FinishedBuild, question: str, answer: str
) -> None:
    del question
    findings.questions += 1
    grid = _read(built, answer)
    if grid is None:
        findings.invalid += 1
        return
    findings.empty += grid.is_empty
    for label in grid.labels:
        if label != OTHERS:
            findings.labels[label] += 1
            findings.label_characters.append(len(label))


def _read(built: FinishedBuild, answer: str) -> Value | None:
    try:
        encoder = built.encoder
        return decode_mask(body_of(answer), grid=encoder.grid, format=encoder.format)
    except MaskSyntaxError:
        return None


def oracle_iou(built: FinishedBuild, *, images: int = 200) -> dict[str, Any] | None:
    """Measure the best IoU that the grid allows: true masks, encoded and decoded again.

    Args:
        built: The build, whose data set is read again. Whole images are measured, not crops.
        images: The most images to look at, evenly spread over the data set.

    Returns:
        The `mean` IoU and the number of `masks`; None where the data set is no longer where it
        was, or has no masks.
    """
    data = built.plan["data"]
    try:
        reading = read_dataset(
            data["reader"], data["path"], split=data["split"], images=data["images"],
            selection=Selection(check_images=False), options=data["options"],
        )  # fmt: skip
    except InputError:
        return None
    # The rule `center` may lose what the grid could hold: coverage tells what is possible.
    rule: Rule = "iou" if built.encoder.rule == "iou" else "coverage"
    encoder = replace(built.encoder, rule=rule)
    step = max(1, -(-len(reading) // images))
    values: list[float] = []
    for index in range(0, len(reading), step):
        sample = reading.load(index, reading.report)
        for target in sample.targets if sample is not None else ():
            if target.mask is not None:
                with contextlib.suppress(InputError):  # the build's own report tells of it
                    values.append(_best_iou(target.mask, encoder))
    if not values:
        return None
    return {"mean": round(float(np.mean(values)), 4), "masks": len(values)}


def _best_iou(mask: MaskSource, encoder: TargetEncoder) -> float:
    if encoder.has_boxes:
        pixels = mask.to_mask()
        return iou(encoder.to_value([("a", pixels)]).mask("a", mask.size), pixels)
    (cells,) = encoder.to_cells([mask])
    best = cells_to_runs(cells, mask.size)
    true = rle_to_runs(mask.undrawn_rle() or mask.to_rle())
    both = true.overlap(best)
    union = true.area + best.area - both
    return both / union if union else 1.0


def write_sheet(built: FinishedBuild, path: Path, figures: dict[str, Any], *, seed: int = 0) -> int:
    """Write a page of HTML with figures and drawn samples.

    Args:
        built: The build, from which samples are drawn at random.
        path: The file; its images are inside it.
        figures: Names and values of the table.
        seed: The seed of the draw.

    Returns:
        The number of questions on the page.
    """
    total = built.manifest["samples"]
    chosen = set(
        np.random.default_rng(seed).choice(total, min(SHEET, total), replace=False).tolist()
    )
    cards = [
        card
        for at, record in enumerate(built.records())
        if at in chosen
        for card in _cards(built, record)
    ]
    rows = "".join(
        f"<tr><th>{html.escape(key.replace('_', ' '))}</th><td>{html.escape(_say(value))}</td></tr>"
        for key, value in figures.items()
    )
    page = _PAGE.format(
        title=html.escape(built.folder.name), rows=rows, cards="".join(cards), count=len(cards)
    )
    write_atomically(path, page.encode())
    return len(cards)


def _say(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_say(one)}" for key, one in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cards(built: FinishedBuild, record: Record) -> Iterator[str]:
    """One card for each question of a record."""
    try:
        image = _open(image_of_record(record))
    except InputError as error:
        yield f"<figure><figcaption>{html.escape(str(error))}</figcaption></figure>"
        return
    image.thumbnail((_THUMB, _THUMB))
    for question, answer in turns_of(record):
        value = _read(built, answer)
        drawn = image.copy()
        names = [] if value is None else [label for label in value.labels if label != OTHERS]
        size = Size(drawn.height, drawn.width)
        masks = [] if value is None else [value.mask(label, size) for label in names]
        for at, mask in enumerate(masks):
            drawn = draw_overlay(drawn, mask, tint=TINTS[at % len(TINTS)])
        said = "".join(
            f'<b style="color:rgb{TINTS[at % len(TINTS)]}">{html.escape(label)}</b> '
            for at, label in enumerate(names)
        )
        said = said or ("<i>nothing</i>" if value is not None else "<i>not strict text</i>")
        buffer = io.BytesIO()
        drawn.save(buffer, format="JPEG", quality=85)
        data = base64.b64encode(buffer.getvalue()).decode()
        yield (
            f'<figure><img alt="" src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{html.escape(question)}<br>{said}"
            f"<details><summary>text</summary><pre>{html.escape(answer)}</pre></details>"
            f"</figcaption></figure>"
        )


def _open(image: Any) -> Image.Image:
    if isinstance(image, dict):
        return open_image(image.get("path") or "picture", content=image.get("bytes"))
    return open_image(image)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
  color: #1c1c1e; background: #fff }}
table {{ border-collapse: collapse; margin: 1rem 0 2rem }}
th {{ text-align: left; font-weight: 600; padding: .15rem 1.5rem .15rem 0; vertical-align: top }}
main {{ display: grid; align-items: start; gap: 1.2rem;
  grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)) }}
figure {{ margin: 0; border: 1px solid #ddd; border-radius: 8px; overflow: hidden }}
img {{ width: 100%; display: block }}
figcaption {{ padding: .6rem .8rem; overflow-wrap: anywhere }}
pre {{ font-size: 11px; overflow-x: auto; margin: .4rem 0 0 }}
summary {{ color: #666; cursor: pointer }}
</style>
<h1>{title}</h1><table>{rows}</table>
<h2>{count} questions, drawn at random</h2><main>{cards}</main></html>
"""
