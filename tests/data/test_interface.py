from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import SIZE
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Size
from text4seg.data import LayoutError, Reader, ReadReport, ReferringTarget, RunLengthMask, Source

MASK = np.zeros((SIZE.height, SIZE.width), dtype=bool)
MASK[3:9, 5:7] = True


def test_a_target_takes_run_lengths_and_checks_the_size() -> None:
    target = ReferringTarget("dog", mask_to_rle(MASK), "val", "line 3")  # type: ignore[arg-type]
    assert isinstance(target.mask, RunLengthMask)
    assert np.array_equal(target.to_mask(SIZE), MASK)
    assert target.to_rle(SIZE) == mask_to_rle(MASK)
    with pytest.raises(InputError, match="line 3: the mask is 48x64 and the image 3x3"):
        target.to_mask(Size(3, 3))


def test_a_target_without_a_mask_is_empty_at_any_size() -> None:
    target = ReferringTarget("dog", None, "val", "line 3")
    assert not target.to_mask(Size(2, 3)).any()
    assert target.to_rle(Size(2, 3)) == {"size": [2, 3], "counts": [6]}


def source(root: Path, images: Path | None = None) -> Source:
    return Source(root, images, "val", {}, ReadReport())


def test_files_are_found_below_the_root_in_order(tmp_path: Path) -> None:
    patterns = ("a/{split}.json", "{split}.json")
    with pytest.raises(LayoutError, match=r"has none of a/val\.json, val\.json"):
        source(tmp_path).find_file(patterns)
    (tmp_path / "val.json").write_text("{}")
    assert source(tmp_path).find_file(patterns) == tmp_path / "val.json"
    assert source(tmp_path / "val.json").find_file(()) == tmp_path / "val.json"


def test_the_folder_of_images_is_the_given_one_or_a_usual_one(tmp_path: Path) -> None:
    usual = (tmp_path / "none", tmp_path / "images")
    assert source(tmp_path).find_images(tmp_path, usual) == tmp_path
    (tmp_path / "images").mkdir()
    assert source(tmp_path).find_images(tmp_path, usual) == tmp_path / "images"
    with pytest.raises(InputError, match="no folder of images"):
        source(tmp_path, tmp_path / "gone").find_images(tmp_path, usual)


def test_the_summary_of_a_reader_is_its_docstring() -> None:
    reader = Reader("x", "Layout X: of a test.", "FILE", open=lambda _: None)  # type: ignore[arg-type]
    assert inspect.getdoc(reader) == "Layout X: of a test."
