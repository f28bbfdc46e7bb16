"""What a user's own names are asked as, and the table of the results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.nano.benchmarks import own_data

GARMENTS = ["dress", "hat", "coat", "shirt", "skin", "hair", "shoes"]


@pytest.fixture
def clothing(tmp_path: Path) -> Path:
    """Three images in the layout of the clothing set: a dress and hair in each."""
    folder = tmp_path / "clothing"
    (folder / "masks").mkdir(parents=True)
    stems = ["0001", "0002", "0003"]
    (folder / "index.json").write_text(json.dumps({"labels": ["null", *GARMENTS], "val": stems}))
    for stem in stems:
        pixels = np.zeros((40, 30), dtype=np.uint8)
        pixels[:20], pixels[30:] = 1, 6
        Image.fromarray(pixels).save(folder / "masks" / f"{stem}.png")
    return tmp_path


@pytest.mark.parametrize(("names", "dress"), [("known", "the dress"), ("own", "the Kleid")])
def test_more_absent_things_are_asked_of_the_images_to_learn(
    clothing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str, dress: str
) -> None:
    monkeypatch.setattr(own_data, "IMAGES_TO_LEARN", 2)
    out = tmp_path / "out"
    arguments = ["--data", clothing, "--out", out, "--names", names, "--absent", 4]
    monkeypatch.setattr(sys, "argv", ["own_data", *map(str, arguments)])
    own_data.main()
    learned, held = (
        [json.loads(line) for line in (out / f"{part}.jsonl").read_text().splitlines()]
        for part in ("train", "val")
    )
    assert not {record["image"] for record in learned} & {record["image"] for record in held}
    assert [sum(r["mask"] is None for r in part) for part in (learned, held)] == [2 * 4, 2]
    asked = [(record["image"], record["expression"]) for record in learned]
    assert len(asked) == len(set(asked)) == 2 * (2 + 4)
    assert sum(r["expression"] == dress and r["mask"] is not None for r in learned) == 2


def test_kinds_are_asked_whether_present_or_not(clothing: Path) -> None:
    records = list(own_data.kind_lines(clothing))
    assert len(records) == 3 * len(own_data.OWN_KINDS)
    there = {record["expression"] for record in records if record["mask"] is not None}
    assert there == {"the Ganzteile", "the Frisur"}
    names = [name for kind in own_data.OWN_KINDS.values() for name in kind]
    assert len(names) == len(set(names))
    assert set(names) <= set(own_data.OWN_NAMES)


def test_own_names_are_told_apart() -> None:
    assert len(set(own_data.OWN_NAMES.values())) == len(own_data.OWN_NAMES) == 58
    renamed = own_data.rename({"expression": "the t-shirt", "mask": None})
    assert renamed == {"expression": "the Kurzarmhemd", "mask": None}


def test_the_table_of_own_data() -> None:
    figures = {"grid_iou": 0.5, "miss_rate": 0.25, "n_acc": 0.9}
    told = {"seconds": 610, "cores": 1, "weights": "nano v3", "interpolation": {"share": 0.5}}
    row = {"names": "own", **told, "before": {**figures, "grid_iou": 0.1}, "after": figures}
    lines = own_data.table({"rows": [row]}).splitlines()
    assert lines[2:] == [
        "| own | before |  | 0.100 | 25.0% | 90.0% |  |",
        "| own | after | 50% | 0.500 | 25.0% | 90.0% | 10 |",
        "",
        "With nano v3, on 1 core.",
    ]
