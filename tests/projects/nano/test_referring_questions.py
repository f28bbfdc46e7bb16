"""Questions are answered by the masks they come with, in a mirror too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from projects.nano.referring_questions import (
    _FAMILIES,
    _SIDES,
    SyntheticQuestion,
    ask,
    mirror,
    spatial_choices,
    word,
)
from projects.nano.scenes import Scene, Thing
from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.text.lexicon import HELD_OUT, HYPERNYMS, synonyms, words_for

KNOWN = frozenset({"cat", "dog", "cup", "car", "person"})


def block(rows: slice, cols: slice) -> np.ndarray:
    coverage = np.zeros((16, 16), dtype=np.float32)
    coverage[rows, cols] = 1.0
    return coverage


SMALL_LEFT_TOP = block(slice(1, 3), slice(1, 3))
BIG_RIGHT_BOTTOM = block(slice(8, 15), slice(8, 15))
CUP = block(slice(0, 2), slice(12, 14))


def scene(**changes: object) -> Scene:
    cats = (Thing("cat", SMALL_LEFT_TOP), Thing("cat", BIG_RIGHT_BOTTOM), Thing("cup", CUP))
    values: dict[str, object] = {
        "image": Path("photo.jpg"),
        "source": "coco",
        "layers": {"cat": SMALL_LEFT_TOP + BIG_RIGHT_BOTTOM, "cup": CUP},
        "annotated": KNOWN,
        "things": cats,
    }
    return Scene(**(values | changes))  # type: ignore[arg-type]


def asked_of(scene: Scene, count: int = 600, **options: float) -> list[SyntheticQuestion]:
    asked = [ask(scene, np.random.default_rng(seed), **options) for seed in range(count)]
    return [a for a in asked if a is not None]


def name_in(expression: str) -> str:
    """The plain name of what an expression asks for."""
    found = [
        name
        for name in KNOWN
        if any(spelled in expression for spelled in (name, *synonyms().get(name, ())))
    ]
    assert found, expression
    return max(found, key=len)


def name_or_none(asked: SyntheticQuestion) -> str | None:
    spelled = {w: name for name in KNOWN for w in (name, *synonyms().get(name, ()))}
    return next((name for w, name in spelled.items() if w in asked.expression), None)


def test_a_kind_is_all_of_its_names() -> None:
    apple, banana = block(slice(0, 4), slice(0, 4)), block(slice(8, 12), slice(8, 12))
    fruit = scene(
        layers={"apple": apple, "banana": banana},
        things=(),
        annotated=frozenset(("apple", "banana", "orange", "cup")),
    )
    kinds = [asked for asked in asked_of(fruit) if asked.kind == "kind"]
    assert {asked.expression for asked in kinds} == {"the fruit"}
    assert all(np.array_equal(asked.coverage, apple + banana) for asked in kinds)
    assert "fruit" in HYPERNYMS
    partly = scene(layers={"apple": apple}, things=(), annotated=frozenset(("apple", "cup")))
    assert not [asked for asked in asked_of(partly) if asked.kind == "kind"]


def test_absent_things_were_annotated_and_are_not_there() -> None:
    absent = [asked for asked in asked_of(scene()) if asked.kind == "absent"]
    assert 0.2 < len(absent) / 600 < 0.36
    assert {name_in(asked.expression) for asked in absent} == KNOWN - {"cat", "cup"}
    foreign = [a for a in asked_of(scene(layers={}, things=())) if name_or_none(a) is None]
    assert foreign, "where there is no animal, animals beyond the annotated ones are absent, too"
    assert not any(asked.coverage.any() for asked in absent)


def test_a_small_thing_is_neither_asked_for_nor_called_absent() -> None:
    speck = np.zeros((16, 16), dtype=np.float32)
    speck[0, 0] = 0.5  # under 0.3 % of the image
    little = scene(layers={"cat": SMALL_LEFT_TOP, "dog": speck}, things=())
    assert "dog" not in {name_in(asked.expression) for asked in asked_of(little)}


def test_a_scene_with_nothing_in_it_is_asked_for_absent_things() -> None:
    assert {asked.kind for asked in asked_of(scene(layers={}, things=()), 50)} == {"absent"}


def test_where_everything_annotated_is_present_nothing_absent_is_asked() -> None:
    full = scene(annotated=frozenset({"cat", "cup"}))
    assert len(asked_of(full, 60)) == 60
    assert "absent" not in {asked.kind for asked in asked_of(full, 60)}


def test_of_a_scene_of_which_nothing_is_known_nothing_is_asked() -> None:
    nothing = scene(layers={}, annotated=frozenset(), things=())
    assert asked_of(nothing, 20) == []


def test_several_at_once_are_both_of_them() -> None:
    several = [a for a in asked_of(scene(), several_share=0.5) if a.kind == "several"]
    assert len(several) > 20
    for asked in several:
        assert "cat" in asked.expression
        assert "cup" in asked.expression
        assert np.array_equal(asked.coverage, scene().layers["cat"] + scene().layers["cup"])


def test_the_second_of_three_stands_in_the_middle() -> None:
    columns = {"left": 1, "middle": 6, "right": 12}
    things = {
        name: Thing("cat", block(slice(4, 8), slice(at, at + 3))) for name, at in columns.items()
    }
    three = scene(things=(things["right"], things["left"], things["middle"]))
    choices = spatial_choices(three)["cat"]
    second = [(t[0], thing) for t, thing in choices if "second" in t[0]]
    assert [template for template, _ in second] == [
        "the second {} from the left",
        "the second {} from the right",
    ]
    assert all(thing is things["middle"] for _, thing in second)
    level = scene(things=(things["left"], things["left"], things["right"]))
    assert not [t for t, _ in spatial_choices(level).get("cat", []) if "second" in t[0]]


def test_names_come_with_all_of_their_layer() -> None:
    for asked in asked_of(scene()):
        if asked.kind == "name":
            layer = scene().layers[name_in(asked.expression)]
            assert np.array_equal(asked.coverage, layer)


@pytest.mark.parametrize("turned", [False, True])
def test_positions_and_sizes_point_at_the_right_instance(turned: bool) -> None:
    things = scene().things
    if turned:  # the big cat is the left one then
        things = tuple(Thing(t.name, t.coverage[:, ::-1].copy()) for t in things)
    small, big = (thing.coverage for thing in things[:2])
    left, right = (big, small) if turned else (small, big)
    expected = {"left": left, "right": right, "top": small, "upper": small, "bottom": big}
    expected |= {"lower": big, "big": big, "largest": big, "small": small}
    placed = [a for a in asked_of(scene(things=things)) if a.kind == "placed"]
    assert len(placed) > 60
    seen = set()
    for asked in placed:
        assert "cat" in asked.expression, "there is only one cup"
        words = [side for side in expected if side in asked.expression]
        assert len(words) == 1, asked.expression
        assert np.array_equal(asked.coverage, expected[words[0]]), asked.expression
        seen.add(words[0])
    assert seen == set(expected)


def test_things_side_by_side_are_not_told_apart_by_what_does_not_differ() -> None:
    a, b = block(slice(4, 8), slice(1, 5)), block(slice(4, 8), slice(10, 14))
    level = scene(things=(Thing("cat", a), Thing("cat", b)))
    placed = [asked for asked in asked_of(level) if asked.kind == "placed"]
    assert placed
    assert all("left" in a.expression or "right" in a.expression for a in placed)


def test_a_mirror_swaps_left_and_right_in_words_and_mask() -> None:
    coverage = np.arange(256, dtype=np.float32).reshape(16, 16)
    turned = mirror(SyntheticQuestion("the leftmost cat", coverage, "placed"))
    assert turned.expression == "the rightmost cat"
    assert np.array_equal(turned.coverage, coverage[:, ::-1])
    for side in ("left", "right", "top", "bottom"):
        for template in _SIDES[side][2]:
            asked = SyntheticQuestion(template.format("hot dog"), coverage, "placed")
            twice = mirror(mirror(asked))
            assert twice.expression == asked.expression
            assert np.array_equal(twice.coverage, asked.coverage)
            assert (mirror(asked).expression != asked.expression) == (side in ("left", "right"))


def test_a_mirrored_scene_and_mirrored_questions_are_the_same() -> None:
    """Whatever is placed on the left of an image is what is placed on the right of its mirror."""
    turned = scene(
        layers={name: layer[:, ::-1] for name, layer in scene().layers.items()},
        things=tuple(Thing(t.name, t.coverage[:, ::-1]) for t in scene().things),
    )
    straight = {a.expression: a.coverage for a in asked_of(scene()) if a.kind == "placed"}
    for asked in map(mirror, asked_of(turned)):
        if asked.kind == "placed" and asked.expression in straight:
            assert np.array_equal(asked.coverage, straight[asked.expression])


def test_no_name_holds_a_side_that_a_mirror_would_turn() -> None:
    names = {
        *COCO_CLASSES,
        *(n for family in _FAMILIES for n in family),
        *sum(synonyms().values(), ()),
    }
    assert not [name for name in names if "left" in name or "right" in name]


def test_near_things_are_asked_for_more_often() -> None:
    """A dog is mistaken for a cat, a car is not: where a cat is, dogs are asked for more."""
    absent = [a for a in asked_of(scene(), absent_share=1.0) if a.kind == "absent"]
    counts = {name: sum(name_in(a.expression) == name for a in absent) for name in ("dog", "car")}
    assert counts["dog"] > 1.5 * counts["car"]


def test_words_for_a_name_are_the_name_or_its_synonyms() -> None:
    heard = {word("couch", np.random.default_rng(seed)) for seed in range(300)}
    (words,) = words_for(["couch"])
    assert {"couch", "sofa"} <= set(words)
    assert heard == {f"{before}{name}" for name in words for before in ("the ", "", "all of the ")}
    assert HELD_OUT["couch"] not in words


def test_a_draw_is_its_seeds() -> None:
    for a, b in zip(asked_of(scene(), 40), asked_of(scene(), 40), strict=True):
        assert (a.expression, a.kind) == (b.expression, b.kind)
        assert np.array_equal(a.coverage, b.coverage)
