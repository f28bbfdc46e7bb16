"""The SAM refiner: one encoding an image, the guard; MobileSAM on a real image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.refine.conftest import blob, disc
from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.geometry import mask_to_coverage
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape, Size
from text4seg.metrics import iou
from text4seg.pretrained.frame import Frame, Prompt
from text4seg.refine import get_refiner, none, sam_refiner, smooth
from text4seg.refine.sam_refiner import SamRefiner, SamSettings, agree, cover

IMAGES = Path(__file__).parents[2] / "examples" / "photos"


class FakeSam:
    """Answers every prompt with its own mask prompt and two worse masks."""

    def __init__(self, answer: float | None = None) -> None:
        self.encoded: list[tuple[int, int]] = []
        self.asked: list[bool] = []
        self.answer = answer

    def frame(self, size: Size) -> Frame:
        return Frame.build(size, 256, 64)

    def encode(self, image: Image.Image) -> str:
        self.encoded.append(image.size)
        return "features"

    def decode(
        self, features: str, prompt: Prompt, *, several: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        assert features == "features"
        self.asked.append(several)
        good = prompt.mask if self.answer is None else np.full_like(prompt.mask, self.answer)
        bad = np.full_like(prompt.mask, 5.0)
        masks = np.stack([bad, good, -bad] if several else [good])
        return masks, np.linspace(0.9, 0.1, len(masks))


def test_one_encoding_serves_all_masks_and_an_empty_one_needs_none() -> None:
    sam = FakeSam()
    refiner = SamRefiner(lambda: sam)  # type: ignore[arg-type,return-value]
    refine = refiner.prepare(Image.new("RGB", (96, 64)))
    assert not refine(np.zeros((12, 12), dtype=np.float32)).mask.any()
    assert sam.encoded == []
    for _ in range(3):
        refined = refine(blob())
        assert refined.notes == ()
        assert iou(refined.mask, none(None, blob(), Size(64, 96)).mask) > 0.8  # type: ignore[arg-type]
    assert sam.encoded == [(96, 64)]
    assert sam.asked == [True, False] * 3


@pytest.mark.parametrize("answer", [9.0, -9.0])
def test_a_sam_that_disagrees_is_not_believed(answer: float) -> None:
    sam = FakeSam(answer)
    image = Image.new("RGB", (96, 64))
    refined = SamRefiner(lambda: sam).prepare(image)(blob())  # type: ignore[arg-type,return-value]
    coarse = smooth(image, blob(), Size(64, 96))
    assert np.array_equal(refined.mask, coarse.mask)
    assert "agrees with the text by only" in refined.notes[0]


def test_agreement_is_that_of_coverage_and_probability() -> None:
    frame = Frame.build(Size(100, 100), 256, 64)
    logits = np.full((64, 64), -5.0, dtype=np.float32)
    logits[:32] = 5.0
    half = np.zeros((4, 4), dtype=np.float32)
    half[:2] = 1
    assert agree(logits, half, frame) == pytest.approx(1, abs=0.02)
    assert agree(logits, half * 0.5, frame) == pytest.approx(0.5, abs=0.02)
    assert agree(-logits, half, frame) == pytest.approx(0, abs=0.02)


def test_the_outline_covers_the_cells_by_their_shares_and_keeps_its_shape() -> None:
    frame = Frame.build(Size(320, 480), 1024, 256)
    truth = disc(320, 480)
    coverage = mask_to_coverage(truth, GridShape(16, 16))
    lattice = frame.lattice
    grown = np.roll(disc(lattice.height, lattice.width), (3, 4), axis=(0, 1))
    logits = frame.pad(np.where(grown, 9.0, -9.0).astype(np.float32), fill=-9.0)
    before = frame.to_image(logits) >= 0
    after = cover(logits, coverage, frame, slack=0.0)
    assert iou(before, truth) < 0.93
    assert iou(after, truth) > 0.95
    apart = np.abs(mask_to_coverage(after, GridShape(16, 16)) - coverage)
    apart[6:9, 3] = 0  # three doubtful cells where the grown shape is not: see the next test
    assert apart.mean() < 0.005
    assert apart.max() < 0.2
    kept = cover(logits, coverage, frame, slack=1.0)
    assert np.array_equal(kept, before), "nothing is asked of it"


def test_doubtful_cells_where_the_sam_saw_nothing_make_no_specks() -> None:
    frame = Frame.build(Size(320, 480), 1024, 256)
    lattice = frame.lattice
    moved = np.roll(disc(lattice.height, lattice.width), (3, 4), axis=(0, 1))
    logits = frame.pad(np.where(moved, 9.0, -9.0).astype(np.float32), fill=-9.0)
    coverage = mask_to_coverage(disc(320, 480), GridShape(16, 16))
    covered = mask_to_coverage(cover(logits, coverage, frame, slack=0.0), GridShape(16, 16))
    assert (coverage[6:9, 3] > 0.3).all(), "the text is not sure"
    assert covered[6:9, 3].max() < 0.2, (
        "and pieces apart from the outline, .3 of the cell, are gone"
    )
    coverage[0, 0] = 0.9
    mask = cover(logits, coverage, frame, slack=0.0)
    assert mask[:20, :30].any(), "what the text marks is kept, apart or not"


def test_of_a_yes_or_no_the_last_pass_wins() -> None:
    sam = FakeSam()
    wide, narrow = blob().round(), blob(cols=slice(3, 7)).round()
    image, size = Image.new("RGB", (256, 256)), Size(256, 256)
    masks = [none(image, cells, Size(64, 64)).mask for cells in (wide, narrow)]

    def decode(features: str, prompt: Prompt, *, several: bool) -> tuple[np.ndarray, np.ndarray]:
        del features, prompt
        logits = np.where(masks[0 if several else 1], 5.0, -5.0)
        return logits[None].astype(np.float32), np.ones(1)

    sam.decode = decode  # type: ignore[method-assign]
    refiner = SamRefiner(lambda: sam, SamSettings(slack=1))  # type: ignore[arg-type,return-value]
    found = refiner.prepare(image)(wide).mask
    assert iou(found, none(image, narrow, size).mask) > 0.95


BAD = [
    pytest.param("sam@700", "multiple of 32", id="an odd side"),
    pytest.param("sam@", "multiple of 32", id="no side"),
    pytest.param("sam@9999999999", "multiple of 32", id="a huge side"),
    pytest.param("sam2", "sam2:FOLDER", id="a family without a model"),
    pytest.param("sam:", "sam:FOLDER", id="an empty model"),
    pytest.param("sam@768:x", "side of its own", id="a side and a model"),
    pytest.param("sam-int8:x", "another model", id="bytes of another model"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_names_say_what_is_expected(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_refiner(text)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_refiner, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="torch is not installed"):
        get_refiner("sam")


@pytest.mark.nano
def test_mobilesam_outlines_the_cup(nano_parts: None) -> None:
    lines = (IMAGES / "examples.jsonl").read_text().splitlines()
    record = next(r for r in map(json.loads, lines) if r["expression"] == "the cup")
    truth = rle_to_mask(record["mask"])
    image = Image.open(IMAGES / record["image"]).convert("RGB")
    coverage = mask_to_coverage(truth, GridShape(16, 16))
    found = {
        name: iou(get_refiner(name).prepare(image)(coverage).mask, truth)
        for name in ("none", "sam@512")
    }
    assert found["sam@512"] > found["none"] + 0.03
    assert found["sam@512"] > 0.9
