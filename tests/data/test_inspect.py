from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.conftest import coco_document, write_json
from text4seg.core.errors import InputError
from text4seg.core.types import GridShape
from text4seg.data import read_dataset
from text4seg.data.build import BuildPlan, build_dataset
from text4seg.data.inspect import count_records, open_build, oracle_iou, write_sheet
from text4seg.data.mixture import Mixture
from text4seg.data.targets import TargetEncoder


@pytest.fixture
def built(coco: Path, tmp_path: Path) -> Path:
    build_dataset(read_dataset("coco", coco), tmp_path / "out", plan=BuildPlan(Mixture(absent=1.0)))
    return tmp_path / "out"


def test_figures_are_those_of_the_records(built: Path) -> None:
    figures = count_records(open_build(built), len).to_json()
    manifest = json.loads((built / "manifest.json").read_text())
    assert figures["samples"] == manifest["samples"]
    assert figures["questions"] == manifest["questions"]
    assert figures["invalid_answers"] == 0
    assert figures["empty_share"] == manifest["kinds"]["absent"] / manifest["questions"]
    assert set(figures["most_frequent_labels"]) == {"dog", "hot dog"}
    records = [json.loads(line) for line in (built / "part-00000.jsonl").read_text().splitlines()]
    lengths = [sum(len(turn["content"]) for turn in record["messages"]) for record in records]
    assert figures["tokens_a_sample"]["max"] == max(lengths)


def test_duplicates_and_damage_are_found(built: Path) -> None:
    path = built / "part-00000.jsonl"
    first, *others = path.read_text().splitlines()
    broken = first.replace("others *16", "others *15", 1)
    path.write_text("\n".join([first, *others, first, broken]) + "\n")
    figures = count_records(open_build(built)).to_json()
    assert (figures["duplicates"], figures["invalid_answers"]) == (1, 1)


def test_the_oracle_is_the_grids_best(coco: Path, tmp_path: Path) -> None:
    # On the cells of a 16 x 16 grid over 48 x 64 pixels, every cell being 3 x 4.
    document = coco_document()
    document["annotations"] = document["annotations"][:1]
    document["annotations"][0]["segmentation"] = [[8, 6, 24, 6, 24, 18, 8, 18]]
    write_json(coco, document)
    build_dataset(read_dataset("coco", coco), tmp_path / "out", plan=BuildPlan())
    built = open_build(tmp_path / "out")
    assert oracle_iou(built) == {"mean": 1.0, "masks": 1}
    # A pixel wide and high inside a cell of twelve.
    document["annotations"][0]["segmentation"] = [[8, 6, 9, 6, 9, 7, 8, 7]]
    write_json(coco, document)
    assert oracle_iou(built) == {"mean": round(1 / 12, 4), "masks": 1}
    coco.unlink()
    assert oracle_iou(built) is None


def test_boxes_are_read_measured_and_drawn(coco: Path, tmp_path: Path) -> None:
    encoder = TargetEncoder("box", GridShape(8, 8), "iou")
    build_dataset(read_dataset("coco", coco), tmp_path / "out", plan=BuildPlan(encoder=encoder))
    built = open_build(tmp_path / "out")
    assert count_records(built).to_json()["invalid_answers"] == 0
    best = oracle_iou(built)
    assert best is not None
    assert best["mean"] > 0.9
    assert write_sheet(built, tmp_path / "sheet.html", {}) > 0


def test_a_page_with_drawn_samples(built: Path, tmp_path: Path) -> None:
    found = open_build(built)
    count = write_sheet(found, tmp_path / "sheet.html", {"samples": 3, "<b>": {"mean": 1.5}})
    page = (tmp_path / "sheet.html").read_text()
    assert count == page.count("<figure>")
    assert page.count("data:image/jpeg;base64,") == count
    assert "&lt;b&gt;" in page
    assert "http" not in page


def test_an_unfinished_build_is_told_apart(built: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="text4seg build makes one"):
        open_build(tmp_path)
    (built / "manifest.json").unlink()
    with pytest.raises(InputError, match="run the same build again"):
        open_build(built)
