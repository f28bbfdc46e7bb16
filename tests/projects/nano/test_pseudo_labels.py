"""Pseudo-labels: certain things are labelled, doubtful ones are not asked for at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from projects.nano.pseudo_labels import decide, read_pseudo
from text4seg.core.run_lengths import mask_to_rle
from text4seg.models.nano.encoders.detector import COCO_CLASSES

PERSON, DOG, CAT = (COCO_CLASSES.index(name) for name in ("person", "dog", "cat"))


def rows(*found: tuple[int, float, float, float]) -> np.ndarray:
    """Class, score and the left and right edge of boxes of full height."""
    return np.array([[c, s, x0, 0.0, x1, 1.0] for c, s, x0, x1 in found], dtype=np.float32)


def names(kept: np.ndarray) -> list[str]:
    return [COCO_CLASSES[int(row[0])] for row in kept]


def test_certain_things_are_kept_and_untraced_ones_are_absent() -> None:
    kept, absent = decide(rows((PERSON, 0.9, 0.0, 0.3), (PERSON, 0.5, 0.6, 0.9)))
    assert names(kept) == ["person", "person"]
    assert absent == set(COCO_CLASSES) - {"person"}


@pytest.mark.parametrize(
    ("score", "left", "decided"),
    [
        pytest.param(0.3, 0.6, False, id="half seen elsewhere"),
        pytest.param(0.3, 0.02, True, id="a weaker box on the same thing"),
        pytest.param(0.15, 0.6, True, id="a trace"),
    ],
)
def test_a_class_with_a_doubtful_thing_is_undecided(
    score: float, left: float, decided: bool
) -> None:
    found = rows((DOG, 0.9, 0.0, 0.3), (DOG, score, left, left + 0.3), (CAT, 0.9, 0.5, 0.8))
    kept, absent = decide(found)
    assert names(kept) == ["cat", *(["dog"] if decided else [])]
    assert not {"dog", "cat"} & absent


def test_what_is_only_doubtful_is_neither_there_nor_absent() -> None:
    kept, absent = decide(rows((DOG, 0.3, 0.0, 0.5), (CAT, 0.05, 0.0, 0.5)))
    assert len(kept) == 0
    assert "dog" not in absent
    assert "cat" in absent


def test_two_boxes_on_one_thing_are_one_thing() -> None:
    kept, _ = decide(rows((DOG, 0.6, 0.0, 0.5), (DOG, 0.9, 0.01, 0.5), (DOG, 0.7, 0.5, 1.0)))
    assert kept[:, 1].tolist() == pytest.approx([0.9, 0.7])


def test_an_empty_image_has_nothing_and_lacks_everything() -> None:
    kept, absent = decide(np.zeros((0, 6), dtype=np.float32))
    assert kept.shape == (0, 6)
    assert absent == set(COCO_CLASSES)


def test_scenes_come_back_with_their_things(tmp_path: Path) -> None:
    left, right = np.zeros((32, 32), dtype=bool), np.zeros((32, 32), dtype=bool)
    left[:, :8], right[:, 24:] = True, True
    line = {
        "image": "photos/a.jpg",
        "absent": ["cat"],
        "things": [{"name": "dog", "mask": mask_to_rle(mask)} for mask in (left, right)],
    }
    nothing = {"image": "photos/b.jpg", "absent": ["cat"], "things": []}
    (tmp_path / "pseudo.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(nothing) + "\n")
    (scene,) = read_pseudo(tmp_path / "pseudo.jsonl", tmp_path)
    assert scene.image == tmp_path / "photos/a.jpg"
    assert scene.source == "pseudo"
    assert scene.annotated == {"cat", "dog"}
    assert scene.absent == ["cat"]
    assert [thing.share for thing in scene.things] == [0.25, 0.25]
    assert scene.layers["dog"].mean() == 0.5


def test_no_file_is_no_scenes(tmp_path: Path) -> None:
    assert read_pseudo(tmp_path / "pseudo.jsonl", tmp_path) == []
