"""refCOCO and its kin: a pickle, or JSON, of sentences beside COCO instances."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.data.conftest import (
    CORNER,
    SIZE,
    SQUARE,
    annotation,
    coco_document,
    write_image,
    write_json,
)
from text4seg.core.errors import InputError
from text4seg.core.types import Box
from text4seg.data import MaskUnion, RecordError, Selection, read_dataset


def ref(number: int, ann: Any, image: int, split: str, *sentences: str, **more: Any) -> dict:
    sents = [
        {"sent": one, "raw": one, "sent_id": 10 * number + at, "tokens": one.split()}
        for at, one in enumerate(sentences)
    ]
    return {
        "ref_id": number, "ann_id": ann, "image_id": image, "category_id": 18, "split": split,
        "file_name": "COCO_train2014_000000000007_1.jpg", "sentences": sents,
        "sent_ids": [one["sent_id"] for one in sents],
    } | more  # fmt: skip


def refer_folder(root: Path, name: str, images: str) -> Path:
    document = coco_document()
    for at, record in enumerate(document["annotations"]):
        record["bbox"] = [10, 10, 20, 20 + at]
    write_json(root / name / "instances.json", document)
    for seed, file in enumerate(("a.png", "b.png")):
        write_image(root / images / file, seed=seed)
    return root / name


REFS = [
    ref(1, 100, 7, "train", "the left dog", "dog by the wall"),
    ref(2, 101, 3, "val", "only dog"),
    ref(3, 103, 7, "train", "dog in the corner"),
]
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


def lvis_document() -> dict[str, Any]:
    document = coco_document()
    for image in document["images"]:
        name = image.pop("file_name")
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{name}"
        image["neg_category_ids"] = [1]
        image["not_exhaustive_category_ids"] = []
    document["categories"][0] |= {"synonyms": ["dog", "hound"], "frequency": "f"}
    document["categories"][1] |= {"name": "bow_(weapon)", "synonyms": ["bow_(weapon)"]}
    return document


def test_lvis_knows_synonyms_and_absences(tmp_path: Path) -> None:
    write_json(tmp_path / "lvis_v1_train.json", lvis_document())
    for file in ("a.png", "b.png"):
        write_image(tmp_path / "train2017" / file)
    first, _ = reading = read_dataset("lvis", tmp_path)
    assert [one.expression for one in first.targets] == ["dog", "bow (weapon)"]
    assert first.targets[0].synonyms == ("hound",)
    assert first.absent == ("person",)
    assert reading.report.skipped == {}


def test_paco_has_parts(tmp_path: Path) -> None:
    document = coco_document()
    document["categories"][1] |= {"name": "dog:left_ear", "supercategory": "PART"}
    document["annotations"].append(annotation(104, 7, 58, SQUARE, CORNER, obj_ann_id=100))
    write_json(tmp_path / "annotations" / "paco_lvis_v1_val.json", document)
    for file in ("a.png", "b.png"):
        write_image(tmp_path / "images" / file)
    sample, _ = read_dataset("paco-lvis", tmp_path, split="val", images=tmp_path / "images")
    kinds = [(one.expression, one.kind, one.whole) for one in sample.targets]
    assert kinds == [("dog", "class", ""), ("left ear of the dog", "part", "dog")]
