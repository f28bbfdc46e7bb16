"""Exports of labelling tools, pairs of pictures, and Hugging Face files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import SIZE, SQUARE, write_image, write_json
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Size
from text4seg.data import READERS, Sample, Selection, read_dataset

MASK = np.zeros((SIZE.height, SIZE.width), dtype=bool)
MASK[10:30, 10:30] = True


def words(sample: Sample) -> dict[str, int]:
    size = sample.size or Size(1, 1)
    return {one.expression: int(one.to_mask(size).sum()) for one in sample.targets}


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def test_pairs_of_pictures_named_in_three_ways(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_image(tmp_path / "images" / f"{name}.jpg")
    for place in ("a__the_dog", "a__cat", "red car/b", "c", "ghost__x"):
        path = tmp_path / "masks" / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(MASK.astype(np.uint8) * 255))
    write_json(tmp_path / "labels.json", {"c.png": "my thing"})
    reading = read_dataset("mask-pairs", tmp_path)
    assert [words(sample) for sample in reading] == [
        {"cat": 400, "the dog": 400}, {"red car": 400}, {"my thing": 400},
    ]  # fmt: skip
    assert reading.report.skipped == {"missing mask": 1, "missing image": 1}
    (tmp_path / "labels.json").unlink()
    reading = read_dataset("mask-pairs", tmp_path, options={"label": "thing"})
    assert [list(words(sample)) for sample in reading][2] == ["thing"]
    (tmp_path / "masks" / "c.png").write_bytes(png(np.ones((5, 5), dtype=np.uint8)))
    reading = read_dataset("mask-pairs", tmp_path, options={"label": "thing"})
    assert len(list(reading)) == 2
    assert reading.report.skipped["mask of another size"] == 1


@pytest.mark.parametrize("nested", [False, True])
def test_yolo(tmp_path: Path, nested: bool) -> None:
    images, labels = (
        ("train/images", "train/labels") if nested else ("images/train", "labels/train")
    )
    write_image(tmp_path / images / "a.png")
    write_image(tmp_path / images / "b.png")
    shares = " ".join(f"{value / (64, 48)[at % 2]:.6f}" for at, value in enumerate(SQUARE))
    (tmp_path / labels).mkdir(parents=True)
    text = f"1 {shares}\n\n7 {shares}\n0 0.5 0.5 0.2 0.2\n1 x\n1 0.1 0.1 0.2 0.2 0.3\n"
    (tmp_path / labels / "a.txt").write_text(text)
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: {0: cat, 1: hot_dog}\n")
    reading = read_dataset("yolo-seg", tmp_path)
    (sample,) = reading
    assert words(sample) == {"hot dog": 400}
    assert sample.absent == ("cat",)
    kinds = {"unknown category id": 1, "no mask": 1, "bad record": 1, "bad polygon": 1}
    assert reading.report.skipped == kinds
    (tmp_path / "data.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(InputError, match="no list of names"):
        read_dataset("yolo-seg", tmp_path)


def encode_brush(values: np.ndarray) -> list[int]:
    """Label Studio's code of these bytes, written plainly: runs with 16-bit counts."""
    bits = (
        f"{len(values):032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (4, 8, 12, 16))
    )
    at = 0
    while at < len(values):
        end = at
        while end < len(values) and values[end] == values[at] and end - at < 2**16:
            end += 1
        bits += "1" + "11" + f"{end - at - 1:016b}" + f"{values[at]:08b}"
        at = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def test_label_studio(tmp_path: Path) -> None:
    write_image(tmp_path / "upload" / "a.png")
    rgba = np.repeat(MASK.reshape(-1, 1), 4, axis=1).astype(np.uint8).ravel() * 255
    size = {"original_width": 64, "original_height": 48, "image_rotation": 0, "to_name": "image"}
    square = [[x / 64 * 100, y / 48 * 100] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]
    results: list[dict[str, Any]] = [
        {"id": "r1", "type": "polygonlabels",
         "value": {"points": square, "polygonlabels": ["dog"]}},
        {"id": "r2", "type": "brushlabels",
         "value": {"format": "rle", "rle": encode_brush(rgba), "brushlabels": ["wet_cat"]}},
        {"id": "r3", "type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["dog"]}},
        {"id": "r4", "type": "brushlabels", "value": {"rle": [1, 2, 3], "brushlabels": ["dog"]}},
        {"id": "r5", "type": "choices", "value": {"choices": ["good"]}},
    ]  # fmt: skip
    task = {
        "id": 17,
        "data": {"image": "/data/upload/3/1a2b3c4d-a.png"},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {"was_cancelled": False, "result": [size | one for one in results]},
        ],
    }
    broken = {"id": 18, "data": {}, "annotations": []}
    file = write_json(tmp_path / "export.json", [task, broken])
    reading = read_dataset("label-studio", file, images=tmp_path / "upload")
    (sample,) = reading
    assert words(sample) == {"dog": 400, "wet cat": 400}
    assert (sample.id, sample.size) == ("17", SIZE)
    assert reading.report.skipped == {"no mask": 1, "bad run lengths": 1, "bad record": 1}


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><labels><label><name>dog</name></label><label><name>cat</name></label></labels></task></meta>
<image id="0" name="a.png" width="64" height="48">
  <polygon label="dog" source="manual" occluded="0" points="10,10;30,10;30,30;10,30" z_order="0"/>
  <mask label="dog" rle="2, 4, 3" left="40" top="40" width="3" height="3" z_order="0"/>
  <mask label="cat" rle="2, 4" left="40" top="40" width="3" height="3" z_order="0"/>
  <mask label="cat" rle="9" left="63" top="40" width="3" height="3" z_order="0"/>
  <box label="dog" xtl="1" ytl="1" xbr="2" ybr="2"/>
  <tag label="sunny"/>
</image>
<image id="1" name="../../etc/passwd" width="64" height="48"/>
</annotations>"""


@pytest.mark.parametrize("packed", [False, True])
def test_cvat(tmp_path: Path, packed: bool) -> None:
    path = write_image(tmp_path / "images" / "a.png")
    file = tmp_path / "annotations.xml"
    file.write_text(CVAT)
    if packed:
        file = tmp_path / "export.zip"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("annotations.xml", CVAT)
            archive.write(path, "images/a.png")
            archive.writestr("../climbed.txt", "out")
        path.unlink()
    reading = read_dataset("cvat", file)
    (sample,) = reading
    assert words(sample) == {"dog": 404}
    mask = sample.targets[0].to_mask(SIZE)
    # Two of background, then four: the last of the first row, and the second row.
    assert mask[40:43, 40:43].tolist() == [[False, False, True], [True] * 3, [False] * 3]
    assert sample.absent == ("cat",)
    assert sample.open_image().size == (64, 48)
    skipped = dict(reading.report.skipped)
    assert skipped.pop("path outside the folder") == 1 + packed
    assert skipped == {"bad run lengths": 1, "mask outside the image": 1, "no mask": 1}
    assert not (tmp_path.parent / "climbed.txt").exists()


def test_cvat_refuses_bombs_and_rubbish(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;">]><annotations>&c;</annotations>'
    for text in (bomb, "<annotations><image", "<annotations/>"):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(InputError, match=r"a\.xml"):
            read_dataset("cvat", tmp_path / "a.xml")
    (tmp_path / "a.zip").write_bytes(b"PK but no archive")
    with pytest.raises(InputError, match="no ZIP archive"):
        read_dataset("cvat", tmp_path / "a.zip")


def hugging_face_rows() -> list[dict[str, Any]]:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    image = {"bytes": png(noise), "path": "a.png"}
    return [
        {
            "image": image,
            "mask": {"bytes": png(MASK.astype(np.uint8)), "path": None},
            "text": "dog",
        },
        {"image": image, "mask": None, "text": "cat"},
        {"image": {"bytes": b"rubbish", "path": "b.png"}, "mask": None, "text": "cow"},
    ]


def test_parquet_with_pictures(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pylist(hugging_face_rows())
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet", row_group_size=2)
    reading = read_dataset("hugging-face", tmp_path, split="train")
    dog, cat = reading
    assert words(dog) == {"dog": 400}
    assert (words(cat), cat.targets[0].mask) == ({"cat": 0}, None)
    assert dog.open_image().size == (64, 48)
    assert reading.report.skipped == {"broken image": 1}
    assert "row 2" in reading.report.messages["broken image"][0]
    with pytest.raises(UnknownNameError, match="column"):
        read_dataset("hugging-face", tmp_path, options={"text": "words"})
    with pytest.raises(InputError, match="has no"):
        read_dataset("hugging-face", tmp_path, split="test")
    (tmp_path / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read"):
        read_dataset("hugging-face", tmp_path)


def test_a_folder_that_the_datasets_library_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "mask": datasets.Image(), "caption": datasets.Value("string")}
    )
    rows = [
        {"image": one["image"], "mask": one["mask"], "caption": one["text"]}
        for one in hugging_face_rows()[:2]
    ]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "saved")
    dog, cat = read_dataset("hugging-face", tmp_path / "saved")
    assert (words(dog), words(cat)) == ({"dog": 400}, {"cat": 0})


def test_refcoco_m(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    sample = {
        "id": 5, "image_id": 7, "category": "dog", "supercategory": "animal", "label": "dog",
        "sentences": ["left dog", "the dog"], "bbox": [10.0, 10.0, 20.0, 20.0],
        "mask": mask_to_rle(MASK),
    }  # fmt: skip
    short = sample | {"id": 6, "mask": {"size": [48, 64], "counts": "11"}}
    row = {"image": hugging_face_rows()[0]["image"], "image_id": 7, "file_name": "a.jpg"}
    table = pa.Table.from_pylist([row | {"samples": [sample, short]}])
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data" / "validation-00000-of-00002.parquet")
    reading = read_dataset("refcoco-m", tmp_path)
    (found,) = reading
    assert words(found) == {"left dog": 400, "the dog": 400}
    assert found.targets[0].box is not None
    assert reading.report.skipped == {"bad run lengths": 2}


def test_every_reader_tells_its_layout_and_refuses_an_empty_folder(tmp_path: Path) -> None:
    for name, reader in READERS.items():
        assert (reader.name, bool(reader.layout), bool(reader.summary)) == (name, True, True)
        with pytest.raises(InputError) as caught:
            list(read_dataset(name, tmp_path, selection=Selection(strict=True)))
        assert str(tmp_path) in str(caught.value), name
