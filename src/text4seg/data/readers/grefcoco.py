"""gRefCOCO: sentences that mean one thing, several, or nothing in the image."""

from __future__ import annotations

import json

from text4seg.core.errors import InputError
from text4seg.data.coco_index import index_coco
from text4seg.data.interface import LayoutError, Reader, Source
from text4seg.data.readers.refcoco import RefDataset, group_refs

LAYOUT = """\
ROOT/grefcoco/
  grefs(unc).json       [{"ref_id", "image_id", "ann_id": […], "no_target", "split", "sentences"}]
  instances.json        COCO: images, annotations, categories
IMAGES/<file_name>      --images; by default ROOT/images/mscoco/images/train2014
"""


def _open(source: Source) -> RefDataset:
    nested = source.root / "grefcoco"
    folder = nested if nested.is_dir() else source.root
    file, instances = folder / "grefs(unc).json", folder / "instances.json"
    for path in (file, instances):
        if not path.is_file():
            raise LayoutError(f"there is no file {path}")
    try:
        records = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON, or is cut off: {error}") from error
    index = index_coco(instances, source.report)
    split = source.split or "train"
    refs = group_refs(records, split, index, file, source.report)
    usual = (
        folder.parent / "images" / "mscoco" / "images" / "train2014",
        folder.parent / "images" / "train2014",
    )
    return RefDataset("grefcoco", split, index, source.find_images(folder, usual), refs, file)


GREFCOCO = Reader(
    name="grefcoco",
    summary="gRefCOCO: sentences with one, several or no targets",
    layout=LAYOUT,
    open=_open,
    splits=("train", "val", "testA", "testB"),
)
