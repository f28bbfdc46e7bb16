from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from tests.data.conftest import (
    SIZE,
    coco_document,
    write_json,
)
from tests.data.readers.helpers import (
    REFS,
    ref,
    refer_folder,
)
from text4seg.core.errors import InputError
from text4seg.core.types import Box
from text4seg.data import RecordError, Selection, read_dataset

LAYOUTS = [
    ("refcoco", "unc", "images/mscoco/images/train2014"),
    ("refcoco+", "unc", "mscoco/images/train2014"),
    ("refcocog", "umd", "images/mscoco/images/train2014"),
    ("refclef", "unc", "images/saiapr_tc-12"),
]


@pytest.mark.parametrize(("name", "by", "images"), LAYOUTS)
def test_sentences_with_what_they_refer_to(tmp_path: Path, name: str, by: str, images: str) -> None:
    folder = refer_folder(tmp_path, name, images)
    # As published: written by Python 2.
    (folder / f"refs({by}).p").write_bytes(pickle.dumps(REFS, protocol=2))
    (sample,) = reading = read_dataset(name, tmp_path)
    assert (sample.id, sample.split, sample.size) == ("7", "train", SIZE)
    assert [one.expression for one in sample.targets] == [
        "the left dog", "dog by the wall", "dog in the corner",
    ]  # fmt: skip
    assert [one.ids for one in sample.targets] == [("100",), ("100",), ("103",)]
    assert sample.targets[0].box == Box(10, 10, 30, 30)
    assert sample.targets[0].category == "dog"
    assert sample.targets[0].to_mask(SIZE)[10:30, 10:30].all()
    assert reading.report.skipped == {}
    (other,) = read_dataset(name, folder, split="val")
    assert [one.expression for one in other.targets] == ["only dog"]


def test_run_lengths_in_a_list_as_refclef_has_them(tmp_path: Path) -> None:
    folder = refer_folder(tmp_path, "refclef", "images/saiapr_tc-12")
    document = coco_document()
    counts = {"size": [48, 64], "counts": [10, 20, 48 * 64 - 30]}
    document["annotations"][0]["segmentation"] = [counts]
    write_json(folder / "instances.json", document)
    (folder / "refs(unc).p").write_bytes(pickle.dumps(REFS, protocol=2))
    (sample,) = read_dataset("refclef", tmp_path)
    assert sample.targets[0].to_mask(SIZE).sum() == 20


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch /tmp/owned-by-a-pickle",)


def test_a_pickle_that_imports_is_refused(tmp_path: Path) -> None:
    folder = refer_folder(tmp_path, "refcoco", "images/mscoco/images/train2014")
    file = folder / "refs(unc).p"
    file.write_bytes(pickle.dumps([Evil()]))
    with pytest.raises(InputError, match=r"refs\(unc\)\.p is refused: it asks to import"):
        read_dataset("refcoco", tmp_path)
    assert not Path("/tmp/owned-by-a-pickle").exists()
    whole = pickle.dumps(REFS, protocol=2)
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match="no pickle that can be read"):
            read_dataset("refcoco", tmp_path)
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="a list of refs is expected"):
        read_dataset("refcoco", tmp_path)
    file.unlink()
    with pytest.raises(InputError, match=r"has no refs.*laid out as"):
        read_dataset("refcoco", tmp_path)


def test_refs_that_lead_nowhere(tmp_path: Path) -> None:
    folder = refer_folder(tmp_path, "refcoco", "images/mscoco/images/train2014")
    wrong = [
        ref(4, 999, 7, "train", "a ghost"),
        ref(5, 100, 999, "train", "elsewhere"),
        {"ref_id": 6},
    ]
    (folder / "refs(unc).p").write_bytes(pickle.dumps(REFS + wrong, protocol=2))
    (sample,) = reading = read_dataset("refcoco", tmp_path)
    assert len(sample.targets) == 3
    assert reading.report.skipped == {"bad record": 2, "unknown annotation id": 1}
    with pytest.raises(RecordError):
        list(read_dataset("refcoco", tmp_path, selection=Selection(strict=True)))
