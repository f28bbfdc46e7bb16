from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import write_image
from tests.data.readers.helpers import (
    LABELS,
    label_map,
    words,
)
from text4seg.data import read_dataset
from text4seg.data.readers.scenes import CONTEXT_NUMBERS


def scene(root: Path, reader: str) -> None:
    """An image `x` in the true layout of each scene data set; labels 1 and 2, and 255 or 0 void."""
    if reader == "coco-stuff":
        write_image(root / "images" / "train2017" / "x.jpg")
        label_map(
            root / "stuffthingmaps" / "train2017" / "x.png", np.where(LABELS == 0, 255, LABELS)
        )
    elif reader == "ade20k-150":
        ade = root / "ADEChallengeData2016"
        write_image(ade / "images" / "training" / "x.jpg")
        label_map(ade / "annotations" / "training" / "x.png", LABELS % 255)
        rows = (
            "Idx\tRatio\tTrain\tVal\tStuff\tName",
            "1\t.1\t1\t1\t1\twall",
            "2\t.1\t1\t1\t0\tbed , cot",
        )
        names = "\n".join(rows)
        (ade / "objectInfo150.txt").write_text(names)
    elif reader == "ade20k-847":
        ade = root / "ADE20K_2021_17_01"
        write_image(ade / "images_detectron2" / "training" / "x.jpg")
        deep = np.where(LABELS % 255 == 0, 65535, LABELS.astype(np.int64)).astype(np.uint16)
        label_map(ade / "annotations_detectron2" / "training" / "x.tif", deep)
        (ade / "ade847.json").write_text(json.dumps(["wall", "building, edifice", "sky"]))
    elif reader == "voc":
        voc = root / "VOCdevkit" / "VOC2012"
        write_image(voc / "JPEGImages" / "x.jpg")
        label_map(voc / "SegmentationClass" / "x.png", mode="P")
        (voc / "ImageSets" / "Segmentation").mkdir(parents=True)
        (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("x\n")
    else:
        voc = root / "VOCdevkit" / "VOC2010"
        write_image(voc / "JPEGImages" / "x.jpg")
        label_map(voc / "SegmentationClassContext" / "x.png")
        (voc / "ImageSets" / "SegmentationContext").mkdir(parents=True)
        (voc / "ImageSets" / "SegmentationContext" / "train.txt").write_text("x\n")


SCENES = [
    ("coco-stuff", ["bicycle", "car"], 171),
    ("ade20k-150", ["wall", "bed"], 2),
    ("ade20k-847", ["building", "sky"], 3),
    ("voc", ["aeroplane", "bicycle"], 20),
    ("pascal-context-59", ["aeroplane", "bag"], 59),
]


@pytest.mark.parametrize(("reader", "names", "classes"), SCENES)
def test_scenes(tmp_path: Path, reader: str, names: list[str], classes: int) -> None:
    scene(tmp_path, reader)
    (sample,) = reading = read_dataset(reader, tmp_path)
    assert reading.report.skipped == {}
    assert words(sample) == {names[0]: 640, names[1]: 28 * 20}
    assert sample.void is not None
    # Of COCO-Stuff's names several become one, as `wall-other` and `wall`.
    assert len(reading.dataset.names) == classes  # type: ignore[attr-defined]
    assert len(sample.absent) == len(reading.classes) - 2


def test_pascal_context_as_published(tmp_path: Path) -> None:
    from scipy.io import savemat

    scene(tmp_path, "pascal-context-59")
    root = tmp_path / "VOCdevkit" / "VOC2010"
    for path in (root / "SegmentationClassContext").iterdir():
        path.unlink()
    (root / "SegmentationClassContext").rmdir()
    (root / "trainval").mkdir()
    values = np.full((48, 64), 1, dtype=np.uint16)
    values[:10], values[10:20] = CONTEXT_NUMBERS[36], CONTEXT_NUMBERS[58]
    savemat(root / "trainval" / "x.mat", {"LabelMap": values})
    (sample,) = read_dataset("pascal-context-59", tmp_path)
    assert words(sample) == {"person": 640, "wood": 640}
    assert sample.void is not None
    assert sample.void.area() == 28 * 64
