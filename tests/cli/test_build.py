from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Call, files_under, is_one_sentence
from tests.data.conftest import coco_document, write_image, write_json


def coco(tmp_path: Path) -> str:
    for seed, name in enumerate(("a.png", "b.png")):
        write_image(tmp_path / "coco" / name, seed=seed)
    write_json(tmp_path / "coco" / "instances.json", coco_document())
    return "coco/instances.json"


def test_build_and_inspect(call: Call, tmp_path: Path) -> None:
    data = coco(tmp_path)
    done = call("build", "data", "coco", data, "-o", "out", "--turns", 2, "--json")
    (told,) = done.json
    assert (done.code, told["report"]["images"]) == (0, 2)
    assert files_under(tmp_path / "out") == ["build.json", "manifest.json", "part-00000.jsonl"]
    looked = call("build", "inspect", "out", "--html", "sheet.html", "--json")
    assert looked.json[0]["samples"] == told["samples"]
    assert 0 < looked.json[0]["oracle_iou"] <= 1
    assert looked.json[0]["drawn"] == (tmp_path / "sheet.html").read_text().count("<figure>")
    assert "oracle iou" in call("build", "inspect", "out").out


def test_faults_are_told_and_strict_stops(call: Call, tmp_path: Path) -> None:
    document = coco_document()
    document["annotations"][0]["category_id"] = 99
    data = coco(tmp_path)
    write_json(tmp_path / data, document)
    done = call("build", "data", "coco", data, "-o", "out")
    assert done.code == 0
    assert "skipped: 1 × unknown category id, first: " in done.err
    strict = call("build", "data", "coco", data, "-o", "strict", "--strict")
    assert (strict.code, is_one_sentence(strict.err)) == (1, True)
    assert "annotation 100" in strict.err


def test_a_split_that_is_held_out(call: Call, tmp_path: Path) -> None:
    document = coco_document()
    for split, kept in (("train", 2), ("val", 1)):
        part = document | {"images": document["images"][:kept]}
        write_json(tmp_path / "root" / "annotations" / f"instances_{split}.json", part)
    for seed, name in enumerate(("a.png", "b.png")):
        write_image(tmp_path / "root" / "images" / name, seed=seed)
    arguments = ("build", "data", "coco", "root", "--split", "train", "--images", "root/images")
    done = call(*arguments, "--hold-out", "val", "-o", "out", "--json")
    assert done.code == 0, done.err
    assert done.json[0]["report"]["filtered"] == {"held out": 1}


def test_wrong_calls(call: Call, tmp_path: Path) -> None:
    data = coco(tmp_path)
    for more in (
        ("--grid", "big"), ("--rule", "x"), ("--schema", "x"), ("--files", "x"), ("--embed",),
        ("--format", "x"), ("--option", "novalue"), ("--option", "a=b"), ("--preset", "x"),
    ):  # fmt: skip
        done = call("build", "data", "coco", data, "-o", "out", *more)
        assert (done.code, is_one_sentence(done.err)) == (2, True), more
        assert not (tmp_path / "out").exists(), more
    assert call("build", "data", "cocoo", data, "-o", "out").code == 2
    assert call("build", "data", "coco", "none", "-o", "out").code == 1
    assert call("build", "inspect", ".").code == 1
    assert call("build", "inspect", ".", "--tokenizer", "none").code == 2


def test_the_list_of_readers(call: Call) -> None:
    listed = call("build", "readers", "--json").json[0]["readers"]
    assert {"coco", "refcoco", "label-studio"} <= {one["name"] for one in listed}
    assert json.dumps(listed[0]["layout"])
    assert "refs(unc).p" in call("build", "readers").out
