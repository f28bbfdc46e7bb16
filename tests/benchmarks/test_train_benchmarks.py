"""The benchmarks of training: what they ask, and the tables of what they recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import loss_weights, nano_loss_weights, own_data, train_speed

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
    monkeypatch.setattr(own_data, "PHOTOS_TO_LEARN", 2)
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
    told = {"seconds": 610, "cores": 1, "weights": "nano v3", "choice": {"share": 0.5}}
    row = {"names": "own", **told, "before": {**figures, "grid_iou": 0.1}, "after": figures}
    lines = own_data.table({"rows": [row]}).splitlines()
    assert lines[2:] == [
        "| own | before |  | 0.100 | 25.0% | 90.0% |  |",
        "| own | after | 50% | 0.500 | 25.0% | 90.0% | 10 |",
        "",
        "With nano v3, on 1 core.",
    ]


def test_the_table_of_speed() -> None:
    def rounds(tokens: float) -> list[dict[str, float]]:
        row = {"tokens_a_second": tokens, "seconds_a_step": 1.5, "peak_bytes": 8e8}
        return [row, row, {**row, "tokens_a_second": 1.0}]

    report = {"rounds": {"ours": rounds(990), "plain": rounds(1000)}, "speed_ratio": 0.99,
              "memory_ratio": 1.0, "model": "toy", "batch": 4}  # fmt: skip
    text = train_speed.table(report)
    assert "| plain TRL | 1000 | 1.50 | 0.80 |" in text
    assert "| ratio | **0.990** | | **1.000** |" in text


def test_the_table_of_loss_weights() -> None:
    rows = [
        {"setting": "as it is", "ious": [1.0, 0.5]},
        {"setting": "as it is", "ious": [1.0, 0.9]},
    ]
    text = loss_weights.table({"rows": rows, "steps": 9})
    assert "| as it is | 1 | 1 | 0.850 | 0.700 |" in text
    assert "digits" not in text.splitlines()[2].removeprefix("| as it is")


def test_the_table_of_nanos_loss_weights() -> None:
    rows = [
        {"image": image, "seen": seen, "true": 0.5, "passes": 3}
        for image, seen in (("a", 0.8), ("a", 0.6), ("b", 0.7))
    ]
    better = [{**row, "seen": row["seen"] + 0.1} for row in rows]
    plain = nano_loss_weights.AS_IT_IS
    settings = {
        plain: nano_loss_weights.figures(rows, rows),
        "digits twice": nano_loss_weights.figures(better, rows),
    }
    text = nano_loss_weights.table({"steps": 9, "questions": 3, "settings": settings})
    assert f"| {plain} | 1 | 1 | 0.700 |  | 0.500 |  |" in text
    assert "| digits twice | 2 | 1 | 0.800 | +0.100 (+0.100 to +0.100) | 0.500 | +0.000" in text
    assert "9 steps, 3 questions." in text


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_writing_is_unlearned_alone() -> None:
    from text4seg.models.nano.nano_model import NanoChat

    chat = NanoChat.load()
    before = {name: value.clone() for name, value in chat.model.state_dict().items()}
    nano_loss_weights.unlearn(chat)
    changed = {
        name.split(".")[0]
        for name, value in chat.model.state_dict().items()
        if not value.equal(before[name])
    }
    assert changed == {"image_projector", "reader", "run_reader", "language"}
