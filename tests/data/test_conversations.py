from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import CORNER, SIZE, SQUARE, write_image
from text4seg.codec import get_format
from text4seg.codec.answer import body_of
from text4seg.core.errors import InputError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.regions import Regions
from text4seg.core.types import GridShape
from text4seg.data import PolygonMask, ReferringTarget, Sample, read_dataset
from text4seg.data.build import BuildPlan, build_dataset
from text4seg.data.conversations import Turn, make_conversations, near_names
from text4seg.data.mixture import Mixture
from text4seg.data.shards import read_records
from text4seg.data.targets import TargetEncoder
from text4seg.metrics import iou

ABSENT = tuple(f"absent {at}" for at in range(20))


def asked(words: str, outline: list[float], kind: str = "class", **more: object) -> ReferringTarget:
    region = PolygonMask(SIZE, (tuple(outline),))
    return ReferringTarget(words, region, "s", words, kind=kind, **more)  # type: ignore[arg-type]


SCENE = Sample(
    Path("x.png"),
    (asked("dog", SQUARE, synonyms=("hound",)), asked("wall", CORNER)),
    SIZE,
    absent=ABSENT,
)
PARTS = Sample(
    Path("x.png"),
    (
        asked("head of the dog", SQUARE, "part", whole="dog"),
        asked("tail of the dog", CORNER, "part", whole="dog"),
    ),
    SIZE,
)


def turns(
    sample: Sample, mixture: Mixture, count: int = 1, target: TargetEncoder | None = None
) -> list[Turn]:
    """The turns of so many draws."""
    return [
        turn
        for seed in range(count)
        for one in make_conversations(
            sample, mixture, target or TargetEncoder(), np.random.default_rng(seed)
        )
        for turn in one.turns
    ]


def grid(turn: Turn):
    return get_format("rrle").decode(body_of(turn.answer), GridShape(16, 16))


def test_one_thing_is_its_mask_on_the_grid() -> None:
    said = turns(SCENE, Mixture(absent=0.0))
    ones = {turn.labels[0]: turn for turn in said if turn.kind == "one"}
    for one in SCENE.targets:
        expected = mask_to_grid(one.to_mask(SIZE), one.expression, GridShape(16, 16))
        assert grid(ones[one.expression]) == expected
        assert one.expression in ones[one.expression].question
    center = turns(SCENE, Mixture(absent=0.0), target=TargetEncoder(rule="center"))
    expected = mask_to_grid(SCENE.targets[0].to_mask(SIZE), "dog", GridShape(16, 16), rule="center")
    assert (
        grid(next(one for one in center if one.labels == ("dog",) and one.kind == "one"))
        == expected
    )


def test_boxes_are_answers_too() -> None:
    target = TargetEncoder("box", GridShape(4, 4))
    said = turns(SCENE, Mixture(absent=1.0), count=9, target=target)
    kinds = {turn.kind: turn for turn in said}
    assert body_of(kinds["absent"].answer) == "others\n"
    for turn in said:
        read_back = get_format("box").decode(body_of(turn.answer), target.grid)
        assert isinstance(read_back, Regions)
        if turn.kind == "one":
            (one,) = (one for one in SCENE.targets if one.expression == turn.labels[0])
            found = read_back.mask(one.expression, SIZE)
            assert iou(found, one.to_mask(SIZE)) > 0.9
        elif turn.kind == "everything":
            assert set(read_back.labels) == {"others", "dog", "wall"}
    with pytest.raises(InputError, match="center"):
        TargetEncoder("box", GridShape(4, 4), "center")


def test_kinds_come_in_their_proportions() -> None:
    said = turns(SCENE, Mixture(single=False, absent=0.0), 2000)
    kinds = Counter(turn.kind for turn in said)
    assert set(kinds) == {"everything", "list"}
    assert 0.08 < kinds["everything"] / 2000 < 0.12
    distracted = sum(any(name in ABSENT for name in turn.labels) for turn in said)
    assert 0.57 < distracted / 2000 < 0.63
    for turn in said[:200]:
        written = set(grid(turn).labels) - {"others"}
        assert written == set(turn.labels) - set(ABSENT)
        if turn.kind == "list":
            assert "|".join(turn.labels) in turn.question


def test_absent_things_are_answered_empty_and_half_are_near() -> None:
    near = "dog house"
    sample = Sample(SCENE.image, SCENE.targets, SIZE, absent=(*ABSENT, near))
    said = [turn for turn in turns(sample, Mixture(absent=1.0), 300) if turn.kind == "absent"]
    assert len(said) == 300
    assert all(grid(turn).is_empty for turn in said)
    assert 0.4 < sum(turn.labels == (near,) for turn in said) / 300 < 0.65
    assert near_names(["hot dog"], ["dog", "cat", "hot pot"]) == ["dog", "hot pot"]


def test_parts_and_things_divided_into_them() -> None:
    said = turns(PARTS, Mixture())
    assert [turn.kind for turn in said] == ["part", "part", "parts"]
    assert "head of the dog" in said[0].question
    assert "dog" in said[2].question
    assert set(grid(said[2]).labels) == {"others", "head of the dog", "tail of the dog"}


def test_synonyms_and_turns() -> None:
    words = {turn.labels[0] for turn in turns(SCENE, Mixture(synonyms=1.0)) if turn.kind == "one"}
    assert words == {"hound", "wall"}
    random = np.random.default_rng(0)
    lengths = [
        len(one.turns)
        for one in make_conversations(SCENE, Mixture(turns=2, absent=0.0), TargetEncoder(), random)
    ]
    assert lengths == [2, 1]


def test_crops_are_cut_and_saved(tmp_path: Path) -> None:
    outline = {"size": [48, 64], "counts": [64 * 24, 64 * 24]}
    path = write_image(tmp_path / "a.png")
    line = '{"image": "a.png", "expression": "dog", "mask": null}\n'
    (tmp_path / "q.jsonl").write_text(line)
    sample = Sample(path, (ReferringTarget("right half", outline, "s", "x", kind="class"),), SIZE)  # type: ignore[arg-type]
    mixture = Mixture(crops=(32,), absent=0.0)
    seen = set()
    for seed in range(20):
        for one in make_conversations(
            sample, mixture, TargetEncoder(), np.random.default_rng(seed)
        ):
            assert one.crop is not None
            assert (one.crop.width, one.crop.height) == (32, 32)
            cells = grid(one.turns[0]).select("right half")
            # The half begins at 32 pixels from the left, a cell is two pixels wide.
            assert cells[0].sum() == min(16, max(0, round((one.crop.x1 - 32) / 2 + 1e-9)))
            seen.add((one.crop.x0, one.crop.y0))
    assert len(seen) > 5


def test_crops_of_a_build_are_files(coco: Path, tmp_path: Path) -> None:
    plan = BuildPlan(Mixture(passes=2, crops=(32,), absent=0.0), schema="llama-factory")
    build_dataset(read_dataset("coco", coco), tmp_path / "out", plan=plan)
    records = [one for path in (tmp_path / "out").glob("part-*") for one in read_records(path)]
    assert records
    for record in records:
        with Image.open(record["images"][0]) as crop:
            assert crop.size == (32, 32)
    assert "part-00001.jsonl" in (tmp_path / "out" / "dataset_info.json").read_text()
