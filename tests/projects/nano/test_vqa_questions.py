"""Questions with answers in words are true of their scenes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from projects.nano.scenes import Scene, Thing
from projects.nano.vqa_questions import (
    COUNTS,
    NOT_THERE,
    WORDINGS,
    VqaQuestion,
    ask_all,
    move_scene,
    place_of,
    plural,
    wording,
)
from text4seg.models.nano.encoders.colors import COLORS
from text4seg.models.nano.text.question_types import QUESTION_TYPES, parse_question

PLACES = {"left", "right", "top", "bottom", "middle"}


def cover(rows: slice, columns: slice) -> np.ndarray:
    cells = np.zeros((16, 16), dtype=np.float32)
    cells[rows, columns] = 1.0
    return cells


def shades(color: str) -> np.ndarray:
    return np.eye(len(COLORS), dtype=np.float32)[COLORS.index(color)]


LEFT, RIGHT = cover(slice(6, 10), slice(0, 4)), cover(slice(6, 10), slice(12, 16))
TOP = cover(slice(0, 3), slice(6, 10))
SCENE = Scene(
    Path("photo.jpg"),
    "coco",
    {"dog": LEFT + RIGHT, "cup": TOP, "person": cover(slice(10, 16), slice(4, 12))},
    frozenset({"dog", "cup", "person", "cat", "sheep", "car", "bus", "knife"}),
    (
        Thing("dog", LEFT, shades("brown")),
        Thing("dog", RIGHT, shades("brown")),
        Thing("cup", TOP, shades("red")),
        Thing("person", cover(slice(12, 16), slice(4, 6))),  # of a crowd
    ),
)


def asked_often(times: int = 60) -> list[VqaQuestion]:
    return [a for seed in range(times) for a in ask_all(SCENE, np.random.default_rng(seed))]


def test_all_kinds_are_asked_and_read_as_such() -> None:
    asked = asked_often()
    assert {one.kind for one in asked} == set(QUESTION_TYPES)
    for one in asked:
        read = parse_question(one.question)
        assert read.kind == one.kind, one.question
        assert (read.expression is None) == (one.kind in ("names", "name", "other"))


def test_yes_is_as_frequent_as_no_and_both_are_true() -> None:
    plain = [a for a in asked_often() if a.kind == "there" and a.name in SCENE.annotated]
    counts = Counter(one.answer for one in plain)
    assert counts["yes"] == counts["no"] > 0
    for one in plain:
        assert (one.answer == "yes") == (one.name in SCENE.layers)


def test_crowds_are_not_counted_and_counts_are_true() -> None:
    counted = [one for one in asked_often() if one.kind == "count"]
    truth = {"dog": "two", "cup": "one"}
    assert {one.name for one in counted} >= {"dog", "cup"}
    assert "person" not in {one.name for one in counted}
    for one in counted:
        assert one.answer == truth.get(one.name, COUNTS[0])


def test_colors_and_places() -> None:
    for one in asked_often():
        if one.kind == "colour":
            assert one.answer == {"dog": "brown", "cup": "red"}.get(one.name, NOT_THERE)
        if one.kind == "where":
            assert one.answer == {"cup": "top"}.get(one.name, NOT_THERE)


def test_names_come_the_largest_first() -> None:
    asked = asked_often(3)
    assert {one.answer for one in asked if one.kind == "names"} == {"person, dog, cup"}
    assert {one.answer for one in asked if one.kind == "name"} == {"person"}


@pytest.mark.parametrize(
    ("rows", "columns", "place"),
    [
        (slice(6, 10), slice(0, 4), "left"),
        (slice(6, 10), slice(12, 16), "right"),
        (slice(0, 4), slice(6, 10), "top"),
        (slice(12, 16), slice(6, 10), "bottom"),
        (slice(0, 16), slice(0, 16), "middle"),
        (slice(0, 4), slice(0, 4), None),
    ],
)
def test_where_a_thing_is(rows: slice, columns: slice, place: str | None) -> None:
    assert place_of(cover(rows, columns)) == place
    assert place in PLACES | {None}


def test_a_mirrored_scene_is_asked_about_as_it_is_seen() -> None:
    moved = move_scene(SCENE, flip=True, zoom=1.0, shift=(0.0, 0.0))
    assert moved.things[0].coverage == pytest.approx(RIGHT, abs=1e-5)
    assert moved.layers["cup"] == pytest.approx(TOP, abs=1e-5)
    small = move_scene(SCENE, flip=False, zoom=0.5, shift=(0.0, 0.0))
    assert small.layers["cup"].sum() == pytest.approx(TOP.sum() / 4, rel=0.3)
    empty = Scene(Path("a.jpg"), "coco", {}, frozenset({"dog"}))
    assert move_scene(empty, flip=True, zoom=1.0, shift=(0.0, 0.0)) is empty
    assert all(one.answer != "yes" for one in ask_all(empty, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("name", "many"),
    [("dog", "dogs"), ("bus", "buses"), ("person", "people"), ("knife", "knives"),
     ("wine glass", "wine glasses"), ("sheep", "sheep"), ("skis", "skis"), ("bench", "benches"),
     ("teddy", "teddies"), ("toy", "toys"), ("jeans", "jeans")],
)  # fmt: skip
def test_plurals(name: str, many: str) -> None:
    assert plural(name) == many


def test_wordings_are_good_english() -> None:
    random = np.random.default_rng(1)
    said = {wording("there", name, random) for name in ("apple", "skis") for _ in range(40)}
    assert "Is there an apple?" in said
    assert "Are there skis?" in said
    assert not any("a skis" in one or "a apple" in one for one in said)
    assert set(WORDINGS) == set(QUESTION_TYPES)
