"""Colors and relations are told as the masks and pixels have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from projects.nano.attribute_questions import (
    SyntheticQuestion,
    ask_colored,
    ask_related,
    color_choices,
    related_choices,
)
from projects.nano.scenes import Scene, Thing
from text4seg.models.nano.encoders.colors import COLORS


def block(rows: slice, cols: slice) -> np.ndarray:
    coverage = np.zeros((16, 16), dtype=np.float32)
    coverage[rows, cols] = 1.0
    return coverage


def shades(**shares: float) -> np.ndarray:
    return np.array([shares.get(color, 0.0) for color in COLORS], dtype=np.float32)


LEFT, MIDDLE, RIGHT = (block(slice(6, 10), slice(c, c + 4)) for c in (0, 6, 12))
RED, BLUE, MIXED = shades(red=0.9), shades(blue=0.8, black=0.2), shades(red=0.5, green=0.5)


def scene(*things: Thing, **more: dict[str, np.ndarray]) -> Scene:
    layers: dict[str, np.ndarray] = {}
    for thing in things:
        layers[thing.name] = np.maximum(layers.get(thing.name, 0.0), thing.coverage)
    layers |= more.get("layers", {})
    return Scene(
        Path("a.jpg"), "coco", layers, frozenset(layers), things, shades=more.get("shades", {})
    )


def often(asking: object, about: Scene, count: int = 60) -> list[SyntheticQuestion]:
    found = [asking(about, np.random.default_rng(i)) for i in range(count)]  # type: ignore[operator]
    return [asked for asked in found if asked is not None]


def test_a_colored_thing_is_asked_for_by_its_color_and_by_a_wrong_one() -> None:
    cups = scene(Thing("cup", LEFT, RED), Thing("cup", RIGHT, BLUE))
    asked = often(ask_colored, cups)
    right = {a.expression: a.coverage for a in asked if a.kind == "colored"}
    assert right.keys() == {"the red cup", "the blue cup"}
    assert np.array_equal(right["the red cup"], LEFT)
    assert np.array_equal(right["the blue cup"], RIGHT)
    wrong = [a for a in asked if a.kind == "wrong color"]
    assert wrong
    assert not any(a.coverage.any() for a in wrong)
    for color in ("red", "blue", "black", "pink", "purple"):
        assert f"the {color} cup" not in {a.expression for a in wrong}, "somebody might say so"


def test_where_one_has_no_clear_color_none_is_told_by_it() -> None:
    for other in (Thing("cup", RIGHT, MIXED), Thing("cup", RIGHT)):
        assert ask_colored(scene(Thing("cup", LEFT, RED), other), np.random.default_rng(0)) is None
    crowd = scene(Thing("cup", LEFT, RED), layers={"cup": LEFT + RIGHT})
    assert list(color_choices(crowd)) == []


def test_garments_have_colors_and_people_have_none() -> None:
    dressed = scene(
        layers={"dress": MIDDLE, "person": MIDDLE, "skin": LEFT},
        shades={"dress": RED, "person": RED, "skin": RED},
    )
    assert [name for name, _, _ in color_choices(dressed)] == ["dress"]


def test_a_relation_holds_and_its_contrary_finds_nothing() -> None:
    about = scene(Thing("cup", LEFT), Thing("cup", RIGHT), Thing("lamp", MIDDLE))
    found = {(n, r, m): [t.coverage for t in things] for n, r, m, things in related_choices(about)}
    assert [np.array_equal(c, LEFT) for c in found["cup", "left", "lamp"]] == [True]
    assert [np.array_equal(c, RIGHT) for c in found["cup", "right", "lamp"]] == [True]
    assert found["cup", "above", "lamp"] == found["cup", "below", "lamp"] == []
    assert not [key for key in found if key[2] == "cup"], "there are two of them"
    asked = often(ask_related, about)
    assert {a.kind for a in asked} == {"related"}
    for one in asked:
        expected = LEFT if "left" in one.expression else RIGHT if "right" in one.expression else 0
        assert np.array_equal(one.coverage, expected + np.zeros((16, 16)))


def test_what_is_neither_clearly_beside_nor_clearly_not_is_not_asked() -> None:
    near = block(slice(6, 10), slice(7, 11))
    about = scene(Thing("cup", near), Thing("lamp", MIDDLE))
    told = {(name, relation) for name, relation, _, _ in related_choices(about)}
    assert ("cup", "right") not in told
    assert ("cup", "left") in told
    alone = scene(Thing("cup", LEFT))
    assert ask_related(alone, np.random.default_rng(0)) is None
