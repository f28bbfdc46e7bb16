"""`convert` to the formats of others, read back by what owns them; and the box format's verbs."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call, is_one_sentence
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask
from text4seg.images import mask_to_png, open_mask

TEXT = "others *2| dog 1 *2\n others *1| dog 2 *3\n"
GRID = ("--grid", "2x4")
SIZE = ("--size", "20x40")
FIRST = np.zeros((20, 40), dtype=np.bool_)
FIRST[:10, 20:] = True
SECOND = np.zeros((20, 40), dtype=np.bool_)
SECOND[10:, 10:] = True


@pytest.fixture(autouse=True)
def text(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)


def test_pictures(call: Call, tmp_path: Path) -> None:
    done = call("convert", "text", "--to", "png", *GRID, *SIZE, "-o", "a.png")
    assert (done.code, done.out, done.err) == (0, "", "wrote a.png\n")
    assert np.array_equal(open_mask(tmp_path / "a.png"), FIRST | SECOND)
    call("convert", "text", "--to", "png", "-l", "dog 2", *GRID, *SIZE, "-o", "b.png")
    assert np.array_equal(open_mask(tmp_path / "b.png"), SECOND)
    record = call("convert", "text", "--to", "labels", *GRID, *SIZE, "-o", "c.png", "--json").json
    assert record == [
        {"format": "labels", "labels": ["others", "dog 1", "dog 2"], "out": "c.png", "repairs": []}
    ]
    labels = Image.open(tmp_path / "c.png")
    assert labels.mode == "P"
    assert np.array_equal(np.asarray(labels), FIRST + 2 * SECOND)


def test_a_cut_out_of_the_image(call: Call, tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (9, 8, 7)).save(tmp_path / "image.png")
    done = call(
        *("convert", "text", "--to", "cutout", "-l", "dog 1", *GRID),
        *("--image", "image.png", "-o", "cut.png"),
    )
    assert (done.code, done.err) == (0, "wrote cut.png\n")
    cut = np.asarray(Image.open(tmp_path / "cut.png"))
    assert np.array_equal(cut[..., 3] > 0, FIRST)
    assert (cut[..., :3] == (9, 8, 7)).all()
    wrong = ("--size", "9x9", "--image", "image.png", "-o", "x.png")
    done = call("convert", "text", "--to", "cutout", *GRID, *wrong)
    assert (done.code, (tmp_path / "x.png").exists()) == (2, False)
    assert "20x40" in done.err


def test_outlines_and_records(call: Call) -> None:
    done = call("convert", "text", "--to", "svg", *GRID, *SIZE)
    assert [path[0].text for path in ET.fromstring(done.out)] == ["dog 1", "dog 2"]
    (first, second) = json.loads(call("convert", "text", "--to", "coco", *GRID, *SIZE).out)
    assert first["category_name"] == "dog 1"
    assert first["bbox"] == [20, 0, 20, 10]
    assert np.array_equal(rle_to_mask(second["segmentation"]), SECOND)
    (only,) = call("convert", "text", "--to", "coco", "-l", "dog 2", "--json", *GRID, *SIZE).json
    assert [one["area"] for one in only["coco"]] == [SECOND.sum()]


def test_detections_of_supervision(call: Call) -> None:
    pytest.importorskip("supervision")
    rows = json.loads(call("convert", "text", "--to", "detections", *GRID, *SIZE).out)
    assert [row["class_name"] for row in rows] == ["dog 1", "dog 2"]
    assert (rows[0]["x_min"], rows[0]["y_max"]) == (20, 9)
    assert np.array_equal(rle_to_mask(rows[1]["segmentation"]), SECOND)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        pytest.param(("--to", "png", *SIZE), "-o", id="a picture for stdout"),
        pytest.param(("--to", "svg"), "--size", id="pixels of no size"),
        pytest.param(("--to", "cutout", *SIZE, "-o", "x"), "--image", id="no image to cut from"),
        pytest.param(("--to", "png", *SIZE, "-o", "x", "-l", "cat"), "dog 1", id="no such label"),
        pytest.param(("--to", "gif"), "labels", id="an unknown kind"),
        pytest.param(("--to", "svg", "--size", "0x3"), "0x3", id="no size"),
    ],
)
def test_wrong_calls(call: Call, tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    done = call("convert", "text", *GRID, *options)
    assert (done.code, done.out) == (2, "")
    assert is_one_sentence(done.err)
    assert word in done.err
    assert not (tmp_path / "x").exists()


def test_boxes_there_and_back(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(mask_to_png(SECOND))
    box = ("--format", "box", *GRID)
    text = call("encode", "mask.png", "-l", "dog", *box).out
    assert text == "[25-99, 50-99]\n dog *4\n dog *4\n"
    (tmp_path / "boxes").write_text(f"Here it is:\n<seg>{text}</seg>")
    record = call("decode", "boxes", *SIZE, "--json", *box).json[0]
    assert np.array_equal(rle_to_mask(record["mask"]), SECOND)
    assert record["regions"][0]["box"] == [25, 99, 50, 99]
    assert "columns 25 to 99" in call("decode", "boxes", *SIZE, *box).out
    assert call("convert", "boxes", "--to", "rrle", *SIZE, *box).out == (
        "others *4\n others *1| dog *3\n"
    )
    (tmp_path / "json").write_text(call("convert", "boxes", "--to", "json", *box).out)
    assert call("convert", "json", "--format", "json", "--to", "box", *GRID).out == text
    (things,) = call("convert", "boxes", "--to", "coco", "--json", *SIZE, *box).json
    assert things["coco"][0]["bbox"] == [10, 10, 30, 10]
    done = call("convert", "text", "--to", "box", *GRID)
    assert (done.code, done.out) == (1, "")
    assert "--size" in done.err
    boxes = call("convert", "text", "--to", "box", *GRID, *SIZE).out
    assert boxes.startswith("[50-99, 00-49]\n dog 1 *4\n dog 1 *4\n[25-99, 50-99]\n dog 2 *4")


def test_boxes_of_a_coco_file_grammar_and_salvage(call: Call, tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "height": 20, "width": 40}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": mask_to_rle(SECOND)}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    box = ("--format", "box", *GRID)
    assert call("encode", "coco.json", *box).out == "[25-99, 50-99]\n dog *4\n dog *4\n"
    assert call("encode", "coco.json", "--rule", "center", *box).code == 2
    assert '"["' in call("grammar", "-l", "dog", *box).out
    (tmp_path / "damaged").write_text("[99-25, 50-99]\n dog *5\n dog *4\n")
    assert call("decode", "damaged", *SIZE, *box).code == 1
    done = call("decode", "damaged", *SIZE, "--salvage", "--json", *box)
    assert np.array_equal(rle_to_mask(done.json[0]["mask"]), SECOND)
    assert "put in order" in done.err


def test_nothing_is_nothing_in_every_format(call: Call, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("others\n")
    box = ("--format", "box", *GRID)
    (path,) = ET.fromstring(call("convert", "none", "--to", "svg", *SIZE, *box).out)
    assert path.get("d") == ""
    assert call("convert", "none", "--to", "coco", *SIZE, *box).out == "[]\n"
    call("convert", "none", "--to", "png", "-o", "none.png", *SIZE, *box)
    assert not open_mask(tmp_path / "none.png").any()
    assert call("convert", "none", "--to", "rrle", *SIZE, *box).out == "others *4\n others *4\n"
    assert "no box" in call("decode", "none", *SIZE, *box).out


def test_the_rule_that_fits_best(call: Call, tmp_path: Path) -> None:
    thin = np.zeros((20, 40), dtype=np.bool_)
    thin[:4, :] = True  # 40 % of the upper half: less than half a cell, yet better than nothing
    thin[:6, :10] = True
    (tmp_path / "thin.png").write_bytes(mask_to_png(thin))
    half = call("encode", "thin.png", "-l", "dog", *GRID).out
    best = call("encode", "thin.png", "-l", "dog", "--rule", "iou", *GRID).out
    assert half == "dog *1| others *3\n others *4\n"
    assert best == "dog *4\n others *4\n"
