"""Hugging Face data sets as files: parquet, or a folder that `save_to_disk` wrote; and RefCOCO-M.

A row has a picture, a text and a mask: a picture too, or COCO run lengths. Pictures are
`{"bytes", "path"}`, as `datasets.Image` keeps them. Nothing is fetched, and no script is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.types import Box
from text4seg.data.arrow_rows import ArrowRows, open_arrow_rows
from text4seg.data.checks import inside_folder
from text4seg.data.interface import ReferringTarget, Sample
from text4seg.data.mask_sources import LabelMapMask, MaskSource, RunLengthMask
from text4seg.data.reading import Reader, Source
from text4seg.data.reports import ReadReport, RecordError
from text4seg.images import check_image

HF_LAYOUT = """\
FILE.parquet, or ROOT/**/<split>-*.parquet, or ROOT/ of save_to_disk (*.arrow)
  image   {"bytes", "path"}; a path alone lies below --images
  mask    the same, what is not black is meant; or {"size", "counts"}; or null
  text    a sentence, or a list of sentences that mean the same
Other names of columns: --option image=…, mask=…, text=…
"""
REFCOCO_M_LAYOUT = """\
ROOT/data/validation-*.parquet
  image {"bytes", "path"}, image_id, file_name,
  samples [{"id", "category", "sentences": [...], "bbox": [x, y, w, h], "mask": {"size", "counts"}}]
"""
_USUAL = {
    "image": ("image", "img", "photo", "jpg"),
    "mask": ("mask", "label", "segmentation", "annotation", "masks"),
    "text": ("text", "expression", "caption", "prompt", "sentence", "sentences", "label_text"),
}
_OPTIONS = {key: f"The column of the {key}." for key in _USUAL}


@dataclass(frozen=True, slots=True)
class HuggingFaceDataset:
    """Rows with one mask each."""

    rows: ArrowRows
    columns: Mapping[str, str]
    images: Path | None
    split: str
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, index: int, report: ReadReport) -> Sample:  # noqa: ARG002 - the protocol's
        """One row: an image, and what is asked of it."""
        row, where = self.rows.row(index), self.rows.place(index)
        image, mask, text = (row[self.columns[key]] for key in ("image", "mask", "text"))
        path, content = _picture(image, self.images, where)
        texts = [text] if isinstance(text, str) else text
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise RecordError("bad record", f"{where}: the text is no text and no list of texts")
        region = None if mask is None else _mask(mask, self.images, where)
        group = f"hugging-face {self.split}".strip()
        asked = tuple(ReferringTarget(one, region, group, where) for one in texts)
        return Sample(
            path, asked, id=str(index), dataset="hugging-face", split=self.split, content=content
        )


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
        path, content = _picture(row["image"], None, where)
        asked: list[ReferringTarget] = []
        for one in row["samples"] or ():
            source = f"{where}, sample {one.get('id')}"
            try:
                asked += _sentences(one, source)
            except (RecordError, InputError) as error:
                kind = error.kind if isinstance(error, RecordError) else "bad run lengths"
                report.skip(kind, f"{source}: {error}")
        return Sample(
            path, tuple(asked), None, str(row.get("image_id", index)), "refcoco-m", self.split,
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


def _picture(value: Any, folder: Path | None, where: str) -> tuple[Path, bytes | None]:
    """The path of a picture, and its bytes where the row holds them."""
    if isinstance(value, str):
        value = {"path": value, "bytes": None}
    if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
        raise RecordError("bad record", f"{where}: the picture is neither bytes nor a path")
    name = str(value.get("path") or "picture")
    if value.get("bytes"):
        return Path(f"{where}, {Path(name).name}"), bytes(value["bytes"])
    if folder is None:
        raise RecordError("missing image", f"{where}: {name!r} needs the folder of images")
    return inside_folder(folder, name), None


def _mask(value: Any, folder: Path | None, where: str) -> MaskSource:
    if isinstance(value, dict) and "counts" in value:
        try:
            return RunLengthMask.from_coco(value)
        except InputError as error:
            raise RecordError("bad run lengths", f"{where}: {error}") from error
    path, content = _picture(value, folder, where)
    try:
        size = check_image(path, content=content)
    except InputError as error:
        raise RecordError("broken mask", str(error)) from error
    return LabelMapMask(size, path, None, content)


def _open(source: Source) -> HuggingFaceDataset:
    rows = open_arrow_rows(source.root, source.split)
    columns = {}
    for key, usual in _USUAL.items():
        given = source.options.get(key)
        if given is not None and given not in rows.columns:
            raise UnknownNameError(f"column of {source.root}", given, rows.columns)
        found = given or next((name for name in usual if name in rows.columns), None)
        if found is None:
            raise InputError(
                f"{source.root} has no column named {' or '.join(usual)}; its columns are "
                f"{', '.join(rows.columns)}: name one with the option {key}=…"
            )
        columns[key] = found
    return HuggingFaceDataset(rows, columns, source.images, source.split or "")


def _open_refcoco_m(source: Source) -> RefcocoMDataset:
    rows = open_arrow_rows(source.root, None if source.root.is_file() else source.split)
    missing = [name for name in ("image", "samples") if name not in rows.columns]
    if missing:
        raise InputError(
            f"{source.root} has no column {missing[0]!r}; refcoco-m is laid out as\n"
            f"{REFCOCO_M_LAYOUT}"
        )
    return RefcocoMDataset(rows, source.split or "")


HUGGING_FACE = Reader(
    name="hugging-face",
    what="parquet or save_to_disk folders with columns of image, mask and text",
    layout=HF_LAYOUT,
    open=_open,
    options=_OPTIONS,
)
REFCOCO_M = Reader(
    name="refcoco-m",
    what="RefCOCO-M: refCOCO's validation split with cleaned masks",
    layout=REFCOCO_M_LAYOUT,
    open=_open_refcoco_m,
    splits=("validation",),
)
