from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.conftest import (
    SIZE,
    write_json,
)
from tests.data.readers.helpers import (
    ref,
    refer_folder,
)
from text4seg.core.errors import InputError
from text4seg.data import MaskUnion, read_dataset


def test_grefcoco_has_many_targets_and_none(tmp_path: Path) -> None:
    folder = refer_folder(tmp_path, "grefcoco", "images/train2014")
    grefs = [
        ref(1, [100, 103], 7, "train", "both dogs", no_target=False),
        ref(2, [-1], 7, "train", "the cat", no_target=True),
        ref(3, [101], 3, "testA", "the dog"),
    ]
    write_json(folder / "grefs(unc).json", grefs)
    (sample,) = read_dataset("grefcoco", tmp_path)
    both, none = sample.targets
    assert isinstance(both.mask, MaskUnion)
    assert both.to_mask(SIZE).sum() == 688
    assert (none.expression, none.mask) == ("the cat", None)
    assert len(list(read_dataset("grefcoco", tmp_path, split="testA"))) == 1
    file = folder / "grefs(unc).json"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(InputError, match=r"grefs\(unc\)\.json is not JSON, or is cut off"):
        read_dataset("grefcoco", tmp_path)
