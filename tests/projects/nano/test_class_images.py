"""Images of one thing each: what is asked of them, and which masks are trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from projects.nano.class_images import ClassQuestions, read_classes, trusted_coverage
from text4seg.models.nano.text.lexicon import imagenet_classes

BEAGLE = "n02088364"


def saliency(share: float, *, between: float = 0.0) -> np.ndarray:
    image = np.zeros((320, 320), dtype=np.uint8)
    image[: round(320 * share)] = 255
    image[320 - round(320 * between) :] = 120
    return image


def test_a_clear_outline_is_trusted() -> None:
    coverage = trusted_coverage(saliency(0.5))
    assert coverage is not None
    assert np.array_equal(coverage[:8], np.ones((8, 16)))
    assert not coverage[8:].any()


def test_hardly_anything_nearly_everything_and_a_blur_are_not() -> None:
    for unclear in (saliency(0.02), saliency(0.9), saliency(0.3, between=0.3)):
        assert trusted_coverage(unclear) is None


def test_images_are_read_by_their_class_and_held_out_ones_apart(tmp_path: Path) -> None:
    for one in imagenet_classes()[:20]:
        Image.fromarray(saliency(0.5)).save(tmp_path / f"{one.wnid}_some_name.png")
    taught = read_classes(tmp_path, tmp_path)
    held_out = read_classes(tmp_path, tmp_path, held_out=True)
    assert len(taught) == 18
    assert [list(scene.layers) for scene in held_out] == [
        [imagenet_classes()[index].wnid] for index in (7, 17)
    ]
    assert not taught[0].annotated, "nobody said what else is not there"


def test_a_class_is_asked_for_in_its_words_and_others_are_absent(tmp_path: Path) -> None:
    Image.fromarray(saliency(0.5)).save(tmp_path / f"{BEAGLE}_beagle.png")
    (scene,) = read_classes(tmp_path, tmp_path)
    questions = ClassQuestions()
    asked = [questions.ask(scene, np.random.default_rng(seed)) for seed in range(300)]
    present = {a.expression for a in asked if a.kind == "name"}
    assert {"the beagle", "the dog", "the animal"} <= present
    absent = [a for a in asked if a.kind == "absent"]
    assert 0.25 < len(absent) / 300 < 0.47
    assert not any(a.coverage.any() for a in absent)
    held_out = {one.name for one in imagenet_classes() if one.held_out}
    named = {a.expression.removeprefix("the ").removeprefix("all of the ") for a in absent}
    assert not named & held_out
    assert "dog" not in named
