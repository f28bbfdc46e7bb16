"""RefCOCO-M: refCOCO's validation split with cleaned masks, as parquet files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from text4seg.core.errors import InputError
from text4seg.core.types import Box
from text4seg.data.arrow_rows import ArrowRows, open_arrow_rows, read_picture
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.mask_sources import RunLengthMask
from text4seg.data.reports import ReadReport, RecordError

LAYOUT = """\
ROOT/data/validation-*.parquet
  image {"bytes", "path"}, image_id, file_name,
  samples [{"id", "category", "sentences": [...], "bbox": [x, y, w, h], "mask": {"size", "counts"}}]
"""


@dataclass(frozen=True, slots=True)
class RefcocoMDataset:
    """Rows with the sentences and masks of an image."""

    rows: ArrowRows
    split: str
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with all its sentences."""
        row, where = self.rows.row(index), self.rows.place(index)
        path, content = read_picture(row["image"], None, where)
        targets: list[ReferringTarget] = []
        for one in row["samples"] or ():
            source = f"{where}, sample {one.get('id')}"
            try:
                targets += _sentences(one, source)
            except (RecordError, InputError) as error:
                kind = error.kind if isinstance(error, RecordError) else "bad run lengths"
                report.skip(kind, f"{source}: {error}")
        return Sample(
            path, tuple(targets), None, str(row.get("image_id", index)), "refcoco-m", self.split,
            content=content,
        )  # fmt: skip


def _sentences(record: dict[str, Any], source: str) -> list[ReferringTarget]:
    try:
        region = RunLengthMask.from_coco(record["mask"])
        sentences = [str(one) for one in record["sentences"]]
        box = None
        if record.get("bbox"):
            x, y, width, height = map(float, record["bbox"])
            box = Box(x, y, x + width, y + height)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError("bad record", f"no {error}") from error
    return [
        ReferringTarget(
            one, region, "refcoco-m", source, category=str(record.get("category") or ""), box=box,
            ids=(str(record.get("id")),),
        )
        for one in sentences
    ]  # fmt: skip


def _open(source: Source) -> RefcocoMDataset:
    rows = open_arrow_rows(source.root, None if source.root.is_file() else source.split)
    missing = [name for name in ("image", "samples") if name not in rows.columns]
    if missing:
        raise LayoutError(f"{source.root} has no column {missing[0]!r}")
    return RefcocoMDataset(rows, source.split or "")


REFCOCO_M = Reader(
    name="refcoco-m",
    summary="RefCOCO-M: refCOCO's validation split with cleaned masks",
    layout=LAYOUT,
    open=_open,
    splits=("validation",),
)
