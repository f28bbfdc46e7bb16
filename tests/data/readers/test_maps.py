"""Layouts whose masks are pictures: panoptic, label maps, MATLAB files, polygons drawn by order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import SIZE, write_image, write_json
from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data import Sample, read_dataset
from text4seg.data.readers.pascal_part import part_name
from text4seg.data.readers.scenes import CONTEXT_NUMBERS

LABELS = np.zeros((SIZE.height, SIZE.width), dtype=np.uint8)
LABELS[:20, :32] = 1
LABELS[20:, 10:30] = 2
LABELS[-4:, -4:] = 255


def label_map(path: Path, values: np.ndarray = LABELS, mode: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    if mode == "P":
        picture = picture.convert("P") if values.max() < 2 else Image.fromarray(values, mode="L")
        picture.putpalette([value for at in range(256) for value in (at, 255 - at, at // 2)])
    picture.save(path)
    return path


def words(sample: Sample) -> dict[str, int]:
    size = sample.size or Size(1, 1)
    return {one.expression: int(one.to_mask(size).sum()) for one in sample.targets}


def test_panoptic_segments_are_joined_by_class(tmp_path: Path) -> None:
    ids = np.zeros((SIZE.height, SIZE.width), dtype=np.int64)
    ids[:10], ids[10:20], ids[20:30] = 70_001, 513, 7
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    label_map(tmp_path / "annotations" / "panoptic_val2017" / "a.png", rgb)
    write_image(tmp_path / "val2017" / "a.png")
    segments = [
        {"id": 70_001, "category_id": 1, "iscrowd": 0, "area": 640, "bbox": [0, 0, 64, 10]},
        {"id": 513, "category_id": 1, "iscrowd": 0},
        {"id": 7, "category_id": 199, "iscrowd": 0},
        {"id": 99, "category_id": 1, "iscrowd": 0},
        {"id": 7, "category_id": 1000, "iscrowd": 0},
    ]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 48, "width": 64}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [
            {"id": 1, "name": "person", "isthing": 1},
            {"id": 199, "name": "wall-other-merged", "isthing": 0},
            {"id": 2, "name": "floor-wood", "isthing": 0},
        ],
    }
    write_json(tmp_path / "annotations" / "panoptic_val2017.json", document)
    (sample,) = reading = read_dataset("coco-panoptic", tmp_path, split="val2017")
    assert words(sample) == {"person": 20 * 64, "wall": 10 * 64}
    assert sample.absent == ("wood floor",)
    assert sample.void is not None
    assert sample.void.area() == 18 * 64
    assert reading.report.skipped == {"mask without a pixel": 1, "unknown category id": 1}


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


def test_label_maps_of_ones_own(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "s" / "x.jpg")
    label_map(tmp_path / "masks" / "s" / "x.png")
    (tmp_path / "names.txt").write_text("background\nroad\nside_walk\n")
    (sample,) = read_dataset("label-maps", tmp_path)
    assert words(sample) == {"road": 640, "side walk": 560}
    (tmp_path / "names.txt").write_text("1: road\n")
    (sample,) = reading = read_dataset("label-maps", tmp_path)
    assert words(sample) == {"road": 640}
    assert reading.report.skipped == {"unknown label": 1}
    label_map(tmp_path / "masks" / "s" / "x.png", LABELS[:-1])
    reading = read_dataset("label-maps", tmp_path)
    assert list(reading) == []
    assert reading.report.skipped["mask of another size"] == 1
    (tmp_path / "masks" / "s" / "x.png").unlink()
    reading = read_dataset("label-maps", tmp_path)
    assert list(reading) == []
    assert reading.report.skipped == {"missing mask": 1}


def test_label_maps_as_cityscapes_names_them(tmp_path: Path) -> None:
    write_image(tmp_path / "leftImg8bit" / "val" / "ulm" / "ulm_1_leftImg8bit.png")
    label_map(tmp_path / "gtFine" / "val" / "ulm" / "ulm_1_gtFine_labelIds.png")
    (tmp_path / "names.txt").write_text("1: road\n2: car\n")
    options = {"image_suffix": "_leftImg8bit", "map_suffix": "_gtFine_labelIds"}
    (sample,) = read_dataset("label-maps", tmp_path, split="val", options=options)
    assert words(sample) == {"road": 640, "car": 560}


def matlab_parts(path: Path) -> None:
    """A file of PASCAL-Part: structs in cells of structs, as MATLAB saves them."""
    from scipy.io import savemat

    head = (LABELS == 1).astype(np.uint8)
    part = np.zeros((1, 2), dtype=[("part_name", "O"), ("mask", "O")])
    part[0, 0] = ("head", head)
    part[0, 1] = ("lfleg", (LABELS == 2).astype(np.uint8))
    thing = np.zeros(
        (1, 1), dtype=[("class", "O"), ("class_ind", "O"), ("mask", "O"), ("parts", "O")]
    )
    thing[0, 0] = ("dog", 12.0, (LABELS % 255 > 0).astype(np.uint8), part)
    anno: Any = np.zeros((1, 1), dtype=[("imname", "O"), ("objects", "O")])
    anno[0, 0] = ("x", thing)
    path.parent.mkdir(parents=True)
    savemat(path, {"anno": anno})


def test_pascal_part(tmp_path: Path) -> None:
    matlab_parts(tmp_path / "Annotations_Part" / "x.mat")
    write_image(tmp_path / "JPEGImages" / "x.jpg")
    (sample,) = reading = read_dataset("pascal-part", tmp_path)
    assert reading.report.skipped == {}
    expected = {"dog": 1200, "head of the dog": 640, "left front leg of the dog": 560}
    assert words(sample) == expected
    assert [one.whole for one in sample.targets] == ["", "dog", "dog"]
    (tmp_path / "Annotations_Part" / "y.mat").write_bytes(b"MATLAB 5.0 MAT-file, but cut")
    reading = read_dataset("pascal-part", tmp_path)
    assert len(list(reading)) == 1
    assert reading.report.skipped == {"broken mask": 1}


def test_names_of_parts() -> None:
    said = {"leye": "left eye", "wheel_12": "wheel", "rebrow": "right eyebrow", "torso": "torso"}
    assert {raw: part_name(raw) for raw in said} == said


def reason(path: Path, shapes: list[dict], **more: Any) -> Path:
    document = {
        "text": ["the one that barks", "which barks?"],
        "is_sentence": True,
        "shapes": shapes,
    }
    return write_json(path, document | more)


def square(label: str, start: int, end: int) -> dict:
    points = [[start, start], [end, start], [end, end], [start, end]]
    return {"label": label, "labels": [label], "shape_type": "polygon", "points": points}


def test_reasonseg_draws_small_over_large(tmp_path: Path) -> None:
    write_image(tmp_path / "val" / "x.jpg")
    shapes = [square("ignore", 5, 9), square("target", 2, 20), square("flag", 0, 40)]
    reason(tmp_path / "val" / "x.json", shapes)
    (sample,) = read_dataset("reasonseg", tmp_path, split="val")
    assert [one.expression for one in sample.targets] == ["the one that barks", "which barks?"]
    assert sample.targets[0].to_mask(SIZE).sum() == 19 * 19 - 25
    assert sample.void is not None
    assert sample.void.area() == 25
    reason(tmp_path / "val" / "x.json", [{"label": "target", "points": [[1, 2], [3, 4]]}])
    reading = read_dataset("reasonseg", tmp_path, split="val")
    assert list(reading) == []
    assert reading.report.skipped == {"bad polygon": 1}
    with pytest.raises(InputError, match="reasonseg is laid out as"):
        read_dataset("reasonseg", tmp_path / "val" / "x.jpg")
