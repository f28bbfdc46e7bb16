from __future__ import annotations

from pathlib import Path

from tests.evaluation.conftest import asked, block
from text4seg.core.types import Size
from text4seg.data import Sample
from text4seg.evaluation.ground_truth import IndexedSample, index_samples


def test_questions_are_numbered_and_images_named_from_a_root(samples: list[Sample]) -> None:
    found = list(index_samples(samples, root=samples[0].image.parent, limit=5))
    assert [(one.image, one.first, len(one.sample.targets)) for one in found] == [
        ("a.png", 0, 2),
        ("b.png", 2, 2),
        ("c.png", 4, 1),
    ]
    assert [truth.index for truth in found[1].truths()] == [2, 3]


def test_an_absent_target_takes_the_size_of_the_image() -> None:
    sample = Sample(Path("a.png"), (asked("the dog", block(0)), asked("the cat", None)))
    truths = IndexedSample(sample, "a.png", 4).truths()
    assert [(one.index, one.set, one.size) for one in truths] == [
        (4, "val", Size(64, 64)), (5, "val", Size(64, 64)),
    ]  # fmt: skip
    assert truths[1].mask is None
