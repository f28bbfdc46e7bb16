from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Size
from text4seg.data import RecordError, Selection, read_dataset, read_jsonl

MASK = np.zeros((4, 6), dtype=bool)
MASK[1:3, 2:5] = True
GOOD = {"image": "a.png", "expression": "the dog", "mask": mask_to_rle(MASK), "set": "val"}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (6, 4)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def write(folder: Path, *lines: object) -> Path:
    path = folder / "val.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


def test_questions_are_gathered_by_image(tmp_path: Path, images: Path) -> None:
    absent = {**GOOD, "mask": None, "expression": "the cat"}
    other = {key: GOOD[key] for key in ("expression", "mask")} | {"image": "b.png"}
    path = write(tmp_path, GOOD, other, "", absent)
    first, second = read_jsonl(path, images)
    assert (first.image, second.image) == (images / "a.png", images / "b.png")
    assert [asked.expression for asked in first.targets] == ["the dog", "the cat"]
    assert [asked.set for asked in first.targets + second.targets] == ["val", "val", "all"]
    assert first.targets[1].source == f"{path}, line 4"
    assert np.array_equal(first.targets[0].to_mask(Size(4, 6)), MASK)
    assert not first.targets[1].to_mask(Size(4, 6)).any()


def test_a_limit_reads_the_first_ones(tmp_path: Path, images: Path) -> None:
    path = write(tmp_path, GOOD, GOOD, "not read any more")
    assert sum(len(sample.targets) for sample in read_jsonl(path, images, limit=2)) == 2


SMALL = mask_to_rle(np.ones((2, 2), dtype=bool))
WRONG = [
    pytest.param("{", "not JSON", id="cut off"),
    pytest.param("[" * 100_000, "not JSON", id="nested without end"),
    pytest.param([1], "an object is expected, not list", id="a list"),
    pytest.param({**GOOD, "image": 3}, '"image" must be a text', id="a number for a name"),
    pytest.param({**GOOD, "image": "/etc/x.png"}, "below the folder", id="an absolute path"),
    pytest.param({**GOOD, "image": "none.png"}, "there is no file", id="no such image"),
    pytest.param({**GOOD, "image": "broken.png"}, "not a picture", id="no image"),
    pytest.param({**GOOD, "expression": ""}, '"expression" must be', id="nothing asked"),
    pytest.param({**GOOD, "expression": "a|b"}, "'|'", id="a forbidden character"),
    pytest.param({**GOOD, "expression": "others"}, "reserved", id="the reserved label"),
    pytest.param({**GOOD, "mask": [1]}, "run lengths or null", id="a mask of another kind"),
    pytest.param({**GOOD, "mask": {"size": [4, 6], "counts": [3]}}, "sum to 3", id="a short mask"),
    pytest.param({**GOOD, "mask": {"size": [4, 6], "counts": [24]}}, "no pixel", id="no pixel"),
    pytest.param({**GOOD, "mask": SMALL}, "mask is 2x2 and the image is 4x6", id="another size"),
    pytest.param({**GOOD, "set": None}, '"set" must be', id="no name of a set"),
    pytest.param({"image": "a.png", "expression": "x"}, '"mask" is missing', id="no mask"),
    pytest.param({"expression": "x", "mask": None}, '"image" is missing', id="no image named"),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_wrong_line_is_named(tmp_path: Path, images: Path, line: object, message: str) -> None:
    path = write(tmp_path, GOOD, line)
    with pytest.raises(InputError) as caught:
        read_jsonl(path, images)
    assert f"{path}, line 2: " in str(caught.value)
    assert message in str(caught.value)


def test_files_that_hold_nothing(tmp_path: Path, images: Path) -> None:
    with pytest.raises(InputError, match="holds no question"):
        read_jsonl(write(tmp_path, ""), images)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_jsonl(tmp_path / "none.jsonl", images)
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_jsonl(tmp_path, images)
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="byte 0 is not UTF-8"):
        read_jsonl(binary, images)


def test_the_questions_that_the_repository_ships_are_right() -> None:
    folder = Path(__file__).parents[3] / "examples" / "photos"
    samples = read_jsonl(folder / "examples.jsonl", folder)
    assert len(samples) == 3
    masks = [asked.mask is not None for sample in samples for asked in sample.targets]
    assert (sum(masks), len(masks)) == (5, 11)


def test_as_a_layout_wrong_lines_are_skipped_and_counted(tmp_path: Path, images: Path) -> None:
    other = {**GOOD, "image": "b.png", "mask": None}
    path = write(tmp_path, GOOD, "{", other, {**GOOD, "expression": "a|b"}, GOOD)
    reading = read_dataset("jsonl", path, images=images)
    first, second = reading
    assert (first.image, second.image) == (images / "a.png", images / "b.png")
    assert [asked.source for asked in first.targets] == [f"{path}, line 1", f"{path}, line 5"]
    assert second.targets[0].mask is None
    assert reading.report.skipped == {"bad record": 3}  # the line, its image, and the label
    assert any("line 4: " in text for text in reading.report.messages["bad record"])
    with pytest.raises(RecordError, match="line 4: "):
        list(read_dataset("jsonl", path, images=images, selection=Selection(strict=True)))
