"""What is counted about nano: the probe, what is taken away, and gates chosen on other images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    nano_ablations,
    nano_baselines,
    nano_cells,
    nano_failures,
    nano_formats,
    nano_gates,
    nano_probe,
)
from benchmarks.nano_cells import Seen
from tests.reference.small_nano import small_config, small_features
from text4seg.core.run_lengths import mask_to_rle
from text4seg.models.nano.encoders.vision import CHANNELS, COLUMNS, DETECTOR_CHANNELS, ROWS
from text4seg.models.nano.fusion import Fusion
from text4seg.training.nano.features import FeatureStore
from text4seg.training.nano.scenes import Scene

VISUAL = CHANNELS - DETECTOR_CHANNELS


def seen(image: str, *, there: bool, logit: float, expression: str = "the dog") -> Seen:
    """Two true cells, if it is there; one of them, and no other, has the logit above zero."""
    truth = np.zeros((16, 16), dtype=bool)
    truth[0, :2] = True
    logits = np.full((16, 16), -5.0, dtype=np.float32)
    logits[0, 0] = logit
    return Seen(image, expression, truth if there else None, logits, "presence_gate")


# -- figures --------------------------------------------------------------------------------------


def test_figures_of_found_missed_and_absent_things() -> None:
    asked = [seen("a", there=True, logit=3), seen("b", there=True, logit=-1)]
    asked += [seen("c", there=False, logit=0.5), seen("d", there=False, logit=-2)]
    found = nano_cells.figures([(one.truth, one.cells(None)) for one in asked])
    expected = {"iou": 0.25, "large_iou": None, "miss_rate": 0.5, "n_acc": 0.5}
    assert found == expected
    gated = nano_cells.figures([(one.truth, one.cells(1.0)) for one in asked])
    assert gated == expected | {"n_acc": 1.0}
    assert not seen("a", there=True, logit=3).cells(3.5).any()


def test_questions_are_gathered_by_image(tmp_path: Path) -> None:
    mask = np.zeros((32, 32), dtype=bool)
    mask[:2, :2] = True
    records = [{"image": n, "mask": m} for n, m in (("a", mask_to_rle(mask)), ("b", None))]
    file = tmp_path / "set.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in [*records, records[0]]))
    found = nano_cells.by_image(file)
    assert {name: len(lines) for name, lines in found.items()} == {"a": 2, "b": 1}
    cells = nano_cells.true_cells(found["a"][0]["mask"])
    assert cells is not None
    assert np.argwhere(cells).tolist() == [[0, 0]]
    assert nano_cells.true_cells(None) is None


# -- the linear probe -----------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[list[Scene], FeatureStore]:
    """Twelve images: cups are where channel 3 is large, forks where channel 4 is."""
    store, random = FeatureStore(tmp_path / "features", tmp_path), np.random.default_rng(0)
    scenes = []
    for index in range(12):
        layers = {}
        features = torch.from_numpy(random.normal(size=(256, 8 + DETECTOR_CHANNELS))).float()
        features[:, 8:] = 0.0
        for channel, name in ((3, "cup"), (4, "fork")):
            layer = (random.random((16, 16)) < 0.2).astype(np.float32)
            features[:, channel] += 12.0 * torch.from_numpy(layer).flatten()
            layers[name] = layer
        image = tmp_path / f"{index}.jpg"
        store.keep(image, features.half())
        scenes.append(Scene(image, "coco", layers, frozenset({"cup", "fork", "teacup"})))
    return scenes, store


def test_a_probe_learns_what_is_linear(pictures: tuple[list[Scene], FeatureStore]) -> None:
    scenes, store = pictures
    probe = nano_probe.learn(scenes, store, epochs=300)
    truth = scenes[0].layers["fork"] > 0
    marked = probe.cells(store[scenes[0].image], "the left fork")
    assert (marked & truth).sum() / (marked | truth).sum() > 0.85
    assert not probe.cells(store[scenes[0].image], "the elephant").any()
    assert not probe.cells(store[scenes[0].image], "the teacup").any(), "the longest name counts"


def test_a_probe_reads_no_colors_and_no_boxes(tmp_path: Path) -> None:
    """Its threshold is chosen on features as the eyes give them."""
    store = FeatureStore(tmp_path / "features", tmp_path)
    store.keep(tmp_path / "0.jpg", torch.zeros(ROWS, COLUMNS).half())
    layer = np.ones((16, 16), dtype=np.float32)
    scenes = [Scene(tmp_path / "0.jpg", "coco", {"cup": layer}, frozenset({"cup"}))]
    still = torch.zeros(VISUAL), torch.ones(VISUAL), torch.zeros(1, CHANNELS), torch.zeros(1)
    probe = nano_probe.with_best_threshold(nano_probe.Probe(("cup",), *still), scenes, store)
    assert probe.cells(store[tmp_path / "0.jpg"], "the cup").all()


# -- what is taken away ---------------------------------------------------------------------------


def test_eyes_see_the_mean_and_the_detector_nothing() -> None:
    features, mean = torch.rand(2, CHANNELS) + 1.0, torch.full((VISUAL,), 0.5)
    blind = nano_ablations.ABLATIONS["without TinyViT"].change(features, mean)
    start, stop = nano_ablations.TINYVIT
    assert torch.equal(blind[:, start:stop], torch.full((2, stop - start), 0.5))
    assert torch.equal(blind[:, :start], features[:, :start])
    assert torch.equal(blind[:, stop:], features[:, stop:])
    alone = nano_ablations.ABLATIONS["the detector alone"].change(features, mean)
    assert (alone[:, :VISUAL] == 0.5).all()
    assert torch.equal(alone[:, VISUAL:], features[:, VISUAL:])
    nothing = nano_ablations.ABLATIONS["without the detector"].change(features, mean)
    assert not nothing[:, VISUAL:].any()
    assert (features >= 1.0).all(), "the features themselves stay as they are"
    with_boxes = torch.ones(258, CHANNELS + 12)
    unseen = nano_ablations.ABLATIONS["without the detector"].change(with_boxes, mean)
    assert not unseen[256:].any(), "boxes stand behind the cells"
    assert unseen[:256, CHANNELS:].all(), "colors stay"
    assert nano_ablations.ABLATIONS["without TinyViT"].change(with_boxes, mean)[256:].all()


def test_a_silent_module_adds_nothing_and_learns_nothing() -> None:
    fusion = Fusion(small_config(), 32)
    nano_ablations.ABLATIONS["without matching by tokens"].silence(fusion)
    image = fusion.encode_image(small_features()[:1])
    words = torch.randn(1, 3, 32)
    _, logits = fusion.ask(image, words, torch.ones(1, 3, dtype=torch.bool))
    assert not fusion.match(torch.randn(5, 8)).any()
    logits.sum().backward()
    assert fusion.match.weight.grad is None
    assert fusion.target.weight.grad is not None


def test_ablations_as_a_table() -> None:
    taken = {name: {"coco": {"iou": 0.5}} for name in ("all", "without TinyViT")}
    record = {"taken_away": taken, "command": "c", "learned": {"all": {"coco": {"iou": 0.25}}}}
    lines = nano_ablations.table(record).splitlines()
    assert lines[0] == "| | coco | coco, learned |"
    assert lines[2:4] == ["| all | 0.500 | 0.250 |", "| without TinyViT | 0.500 | – |"]
    del record["learned"]
    assert nano_ablations.table(record).splitlines()[2] == "| all | 0.500 |"


# -- gates ----------------------------------------------------------------------------------------


def test_the_lowest_gate_that_leaves_enough_empty() -> None:
    asked = [seen(str(i), there=False, logit=i / 2) for i in range(5)]
    asked += [seen(str(i), there=True, logit=i / 2) for i in range(5)]
    scores = nano_gates.score(nano_gates.tally(asked))
    chosen = nano_gates.lowest(0.75)(scores)
    assert nano_gates.GATES[chosen] == pytest.approx(1.6), "four of five are below"
    assert scores["n_acc"][chosen] == pytest.approx(0.8)
    assert scores["miss_rate"][chosen] == pytest.approx(0.8)
    assert scores["iou"][chosen] == pytest.approx(0.1)
    unreachable = nano_gates.lowest(1.1)(scores)
    assert scores["n_acc"][unreachable] == 1.0


def test_gates_chosen_on_other_images_flatter_nobody() -> None:
    random = np.random.default_rng(1)
    asked = [
        seen(str(i // 4), there=bool(i % 2), logit=float(random.normal(1.0 + 2 * (i % 2))))
        for i in range(160)
    ]
    found = nano_gates.check(nano_gates.tally(asked), nano_gates.largest_giou)
    assert found["loss"]["giou"] > 0, "the best gate of other images is not the best here"
    assert found["chosen on all"]["giou"] >= found["chosen on the other half"]["giou"]
    low, middle, high = found["gates"]
    assert low <= middle <= high
    result = {"shipped gate": 1.0, "shipped": found["chosen on all"], "rules": {"r": found}}
    lines = nano_gates.table({"sets": {"coco": result}, "command": "c"}).splitlines()
    assert [line.count("|") for line in lines[:5]] == [9] * 5


def test_ways_as_a_table() -> None:
    figures = {"iou": 0.5, "large_iou": None}
    record = {"sets": {"coco": {"head": figures, "boxes + MobileSAM": figures}}, "command": "c"}
    assert nano_baselines.table(record).splitlines()[2:4] == [
        "| head | 0.500 / 0.000 |",
        "| boxes + MobileSAM (pixels) | 0.500 / 0.000 |",
    ]


# -- formats --------------------------------------------------------------------------------------


def write_run(folder: Path, name: str, rows: list[tuple[str, str, list[int]]]) -> None:
    folder.mkdir()
    lines: list[dict[str, object]] = [{"text4seg evaluation": 1, "settings": {}}]
    for image, expression, cells in rows:
        lines.append({"image": image, "expression": expression, "set": "coco", "cells": cells,
                      "format": name, "tokens": 8, "passes": 2})  # fmt: skip
    (folder / "rows.0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_formats_are_compared_on_what_both_were_asked(tmp_path: Path) -> None:
    asked = [("a", "the dog", [20, 20, 20]), ("a", "the cat", [0, 0, 0]), ("b", "the cup", [2] * 3)]
    write_run(tmp_path / "sd", "sd", [*asked, ("c", "the tie", [0, 1, 0])])
    write_run(tmp_path / "rrle", "rrle", [*asked[:2], ("b", "the cup", [0, 2, 0])])
    runs = [nano_formats.read(tmp_path / name) for name in ("sd", "rrle")]
    found = nano_formats.compare(*runs)["coco"]
    assert found["sd"]["questions"] == found["rrle"]["questions"] == 3
    assert (found["sd"]["grid_iou"], found["rrle"]["grid_iou"]) == (1.0, 0.5)
    assert (found["sd"]["large_grid_iou"], found["rrle"]["miss_rate"]) == (1.0, 0.5)
    assert found["gain"] == [0.5, 0.0, 1.0], "one of the two images, or none, or both"
    table = nano_formats.table({"sets": {"coco": found}, "command": "c"}).splitlines()
    assert [line.count("|") for line in table[:4]] == [11] * 4
    assert "+0.500 (+0.000 to +1.000)" in table[2]


# -- failures -------------------------------------------------------------------------------------


def test_failures_are_among_what_was_tried() -> None:
    tried = {
        (name, e) for name, expressions in nano_failures.QUESTIONS.items() for e in expressions
    }
    assert set(nano_failures.SHOWN) <= tried
    assert nano_failures.find_image("cat.jpg").is_file()
    with pytest.raises(LookupError, match="pip install"):
        nano_failures.find_image("no_such_package/a.jpg")
