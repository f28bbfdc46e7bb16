"""Hugging Face data sets as files: parquet, or a folder that `save_to_disk` wrote.

A row has a picture, a text and a mask: a picture too, or COCO run lengths. Pictures are
`{"bytes", "path"}`, as `datasets.Image` keeps them. Nothing is downloaded, and no script is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, UnknownNameError
from text4seg.data.arrow_rows import ArrowRows, open_arrow_rows, read_picture
from text4seg.data.interface import Reader, ReferringTarget, Sample, Source
from text4seg.data.mask_sources import LabelMapMask, MaskSource, RunLengthMask
from text4seg.data.reports import ReadReport, RecordError
from text4seg.images import check_image

LAYOUT = """\
FILE.parquet, or ROOT/**/<split>-*.parquet, or ROOT/ of save_to_disk (*.arrow)
  image   {"bytes", "path"}; a path alone lies below --images
  mask    the same, what is not black is meant; or {"size", "counts"}; or null
  text    a sentence, or a list of sentences that mean the same
Other names of columns: --option image=…, mask=…, text=…
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
        """One row: an image and its targets."""
        row, where = self.rows.row(index), self.rows.place(index)
        image, mask, text = (row[self.columns[key]] for key in ("image", "mask", "text"))
        path, content = read_picture(image, self.images, where)
        texts = [text] if isinstance(text, str) else text
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise RecordError("bad record", f"{where}: the text is no text and no list of texts")
        region = None if mask is None else _mask(mask, self.images, where)
        group = f"hugging-face {self.split}".strip()
        targets = tuple(ReferringTarget(one, region, group, where) for one in texts)
        return Sample(
            path, targets, id=str(index), dataset="hugging-face", split=self.split, content=content
        )


def _mask(value: Any, folder: Path | None, where: str) -> MaskSource:
    if isinstance(value, dict) and "counts" in value:
        try:
            return RunLengthMask.from_coco(value)
        except InputError as error:
            raise RecordError("bad run lengths", f"{where}: {error}") from error
    path, content = read_picture(value, folder, where)
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


HUGGING_FACE = Reader(
    name="hugging-face",
    summary="parquet or save_to_disk folders with columns of image, mask and text",
    layout=LAYOUT,
    open=_open,
    options=_OPTIONS,
)
