"""The benchmark of refiners on the images with masks that come with the project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import refine, refine_summary, refine_tables

IMAGES = Path(__file__).parents[2] / "examples" / "photos"


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The masks of the example images as COCO annotates."""
    images: dict[str, dict[str, object]] = {}
    annotations = []
    for line in (IMAGES / "examples.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["mask"]:
            name = record["image"]
            with Image.open(IMAGES / name) as image:
                width, height = image.size
            images.setdefault(
                name, {"id": len(images), "file_name": name, "height": height, "width": width}
            )
            annotations.append(
                {"image_id": images[name]["id"], "segmentation": record["mask"], "iscrowd": 0}
            )
    file = tmp_path_factory.mktemp("coco") / "instances.json"
    file.write_text(json.dumps({"images": list(images.values()), "annotations": annotations}))
    return file


def test_gains_costs_and_going_on(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--coco", str(coco), "--images", str(IMAGES), "--inputs", "soft,hard"]
    options += ["--refiners", "none,smooth", "--records", str(tmp_path / "records.jsonl")]
    assert refine.main([*options, "--limit", "2", "--json"]) == 0
    short = json.loads(capsys.readouterr().out)
    kept = (tmp_path / "records.jsonl").read_text()
    assert refine.main([*options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (tmp_path / "records.jsonl").read_text().startswith(kept)
    assert [r["images"] for r in (short["results"][0], report["results"][0])] == [2, 3]
    soft = next(r for r in report["results"] if (r["refiner"], r["input"]) == ("smooth", "soft"))
    mean, low, high = soft["gain"]
    assert low <= mean <= high
    assert mean > 0.03
    assert soft["iou"] > 0.8
    assert sum(count for _, count in soft["by size"].values()) == soft["objects"]
    assert "smooth" in refine_tables.table(report)
    assert "`smooth`" in refine_summary.table(report)
    assert "--refiners none,smooth" in refine_tables.command(report)


def test_records_of_another_measurement_are_not_mixed(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--coco", str(coco), "--images", str(IMAGES), "--refiners", "none", "--limit", "1"]
    options += ["--records", str(tmp_path / "records.jsonl"), "--inputs", "hard"]
    assert refine.main(options) == 0
    assert refine.main([*options, "--grid", "8x8"]) == 1
    assert "grid 8x8" in capsys.readouterr().err


def test_damage_is_the_same_in_every_run_and_is_damage() -> None:
    mask = np.zeros((160, 160), dtype=bool)
    mask[40:120, 40:120] = True
    shape = refine.GridShape(16, 16)
    first, again = (dict(refine.lay(mask, shape, np.random.default_rng(3))) for _ in range(2))
    assert all(np.array_equal(first[way], again[way]) for way in refine.INPUTS)
    hard = first["hard"] >= 0.5
    assert np.array_equal(first["soft"] >= 0.5, hard)
    assert (first["spurious"] >= 0.5).sum() in range(hard.sum(), hard.sum() + 5)
    assert (first["halved"] >= 0.5).sum() == hard.sum() / 2
    flipped = (first["flipped"] >= 0.5) ^ hard
    assert 0 < flipped.sum() < 30


BAD = [
    pytest.param(["--inputs", "soft,odd"], "unknown inputs", id="an unknown input"),
    pytest.param(["--refiners", "smoth"], "smooth", id="an unknown refiner"),
    pytest.param(["--grid", "16"], "ROWSxCOLS", id="a bad grid"),
    pytest.param(["--coco", "missing.json"], "is not a COCO", id="no annotations"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input_is_told(
    coco: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    given = ["--coco", str(coco), "--images", str(IMAGES), "--refiners", "none", *options]
    assert refine.main(given) == 1
    assert message in capsys.readouterr().err
