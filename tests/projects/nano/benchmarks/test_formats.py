"""Runs of two formats are compared on the questions of both."""

from __future__ import annotations

import json
from pathlib import Path

from projects.nano.benchmarks import formats


def write_run(folder: Path, name: str, rows: list[tuple[str, str, list[int]]]) -> None:
    folder.mkdir()
    lines: list[dict[str, object]] = [{"text4seg evaluation": 1, "settings": {}}]
    for image, expression, cells in rows:
        truth = {"image": image, "expression": expression, "set": "coco"}
        prediction = {"mask": None, "format": name, "tokens": 8, "passes": 2}
        lines.append({"truth": truth, "prediction": prediction, "cells": cells})
    (folder / "records.0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_formats_are_compared_on_what_both_were_asked(tmp_path: Path) -> None:
    asked = [("a", "the dog", [20, 20, 20]), ("a", "the cat", [0, 0, 0]), ("b", "the cup", [2] * 3)]
    write_run(tmp_path / "sd", "sd", [*asked, ("c", "the tie", [0, 1, 0])])
    write_run(tmp_path / "rrle", "rrle", [*asked[:2], ("b", "the cup", [0, 2, 0])])
    runs = [formats.read(tmp_path / name) for name in ("sd", "rrle")]
    found = formats.compare(*runs)["coco"]
    assert found["sd"]["questions"] == found["rrle"]["questions"] == 3
    assert (found["sd"]["grid_iou"], found["rrle"]["grid_iou"]) == (1.0, 0.5)
    assert (found["sd"]["large_grid_iou"], found["rrle"]["miss_rate"]) == (1.0, 0.5)
    assert found["gain"] == [0.5, 0.0, 1.0], "one of the two images, or none, or both"
    table = formats.table({"sets": {"coco": found}, "command": "c"}).splitlines()
    assert [line.count("|") for line in table[:4]] == [11] * 4
    assert "+0.500 (+0.000 to +1.000)" in table[2]
