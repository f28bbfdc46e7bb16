"""`evaluate --task semantic` and `--task instances`, and processes that share the images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call, is_one_sentence
from tests.fakes import FakeChat, block
from text4seg import models
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import DescriptorGrid

SIDE = 64
DOG = (slice(16, 32), slice(0, 16))
CATS = ((slice(16, 32), slice(32, 48)), (slice(48, 64), slice(48, 64)))


def rle(*places: tuple[slice, slice]) -> dict:
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    for place in places:
        mask[place] = True
    return mask_to_rle(mask)


@pytest.fixture
def coco(tmp_path: Path) -> tuple[str, ...]:
    """Two images with a dog and two cats each, and no bird."""
    things = [(1, DOG), *((2, place) for place in CATS)]
    document = {
        "images": [
            {"id": at, "file_name": f"{at}.png", "height": SIDE, "width": SIDE} for at in (1, 2)
        ],
        "categories": [{"id": at, "name": n} for at, n in enumerate(("dog", "cat", "bird"), 1)],
        "annotations": [
            {"id": 10 * image + at, "image_id": image, "category_id": category, "iscrowd": 0,
             "segmentation": rle(place)}
            for image in (1, 2)
            for at, (category, place) in enumerate(things)
        ],
    }  # fmt: skip
    (tmp_path / "val.json").write_text(json.dumps(document))
    for at in (1, 2):
        Image.new("RGB", (SIDE, SIDE), (at, 0, 0)).save(tmp_path / f"{at}.png")
    return ("--layout", "coco", "--data", "val.json", "--images", ".")


@pytest.fixture
def sees_all(monkeypatch: pytest.MonkeyPatch) -> FakeChat:
    """A model that finds the dog, one cat to the pixel and the other one not at all."""
    fake = FakeChat(
        {
            "dog": block("dog", slice(4, 8), slice(0, 4)),
            "cat": block("cat", slice(4, 8), slice(8, 12)),
        },
        certainty=30.0,
    )
    monkeypatch.setattr(models, "load", lambda name: fake)
    return fake


def test_semantic(call: Call, sees_all: FakeChat, coco: tuple[str, ...], tmp_path: Path) -> None:
    done = call("evaluate", "--task", "semantic", *coco, "--json", "-o", "run")
    (report,) = done.json
    assert report["ious"] == {"cat": pytest.approx(0.5), "dog": pytest.approx(1.0)}
    assert (report["images"], report["miou"]) == (2, pytest.approx(0.75))
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report
    asked = len(sees_all.questions)
    again = call("evaluate", "--task", "semantic", *coco, "--json", "-o", "run").json
    assert again == [report]
    assert len(sees_all.questions) == asked, "a finished run asks nothing"
    other = call("evaluate", "--task", "semantic", "--names", "dog", *coco, "-o", "run")
    assert (other.code, "another run" in other.err) == (1, True)
    table = call("evaluate", "--task", "semantic", "--names", "dog", *coco)
    assert ["mIoU", "1.0000"] in [line.split() for line in table.out.splitlines()]


def test_names_together(
    call: Call, sees_all: FakeChat, coco: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = np.zeros((16, 16), dtype=np.int32)
    cells[4:8, 0:4], cells[4:8, 8:12], cells[12:, 12:] = 1, 2, 2
    everything = DescriptorGrid(("others", "dog", "cat"), cells)
    monkeypatch.setattr(sees_all, "answers", {"dog|cat|bird": everything})
    done = call("evaluate", "--task", "semantic", "--together", 3, *coco, "--json")
    assert done.json[0]["miou"] == 1.0
    assert sees_all.questions == ["Segment these in this image: dog|cat|bird."] * 2


def test_instances(call: Call, sees_all: FakeChat, coco: tuple[str, ...]) -> None:
    pytest.importorskip("faster_coco_eval")
    done = call("evaluate", "--task", "instances", *coco, "--json", "-o", "run")
    # The dog is found, and of four cats two: AP 1 and, by 101 points of recall, 51 / 101.
    assert done.json[0]["ap"]["ap"] == pytest.approx((1 + 51 / 101) / 2, abs=1e-3)
    few = call("evaluate", "--task", "instances", "--names", "dog", *coco, "--json").json[0]
    assert few["ap"]["ap"] == pytest.approx(1.0)
    assert "ap_50" in call("evaluate", "--task", "instances", "--names", "dog", *coco).out


def test_nothing_found_is_an_ap_of_nothing(
    call: Call, sees_all: FakeChat, coco: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sees_all, "answers", {})
    done = call("evaluate", "--task", "instances", *coco, "--json")
    assert done.json[0]["ap"]["ap"] == 0.0


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        pytest.param(("--task", "semantics"), 2, "instances", id="an unknown task"),
        pytest.param(("--task", "semantic", "--names", "cow"), 1, "cow", id="an unknown name"),
        pytest.param(("--task", "res", "--names", "dog"), 2, "--names", id="names of questions"),
        pytest.param(("--task", "instances", "--together", "2"), 2, "semantic", id="together"),
        pytest.param(
            ("--task", "semantic", "--predictions", "p"), 2, "--predictions", id="predictions"
        ),
    ],
)
def test_wrong_calls(
    call: Call, coco: tuple[str, ...], options: tuple[str, ...], code: int, word: str
) -> None:
    done = call("evaluate", *coco, *options)
    assert (done.code, done.out) == (code, "")
    assert is_one_sentence(done.err)
    assert word in done.err


def test_a_data_set_without_classes(call: Call, tmp_path: Path) -> None:
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "a.png")
    (tmp_path / "q.jsonl").write_text(
        json.dumps({"image": "a.png", "expression": "dog", "mask": None}) + "\n"
    )
    done = call("evaluate", "--task", "semantic", "--data", "q.jsonl")
    assert (done.code, "classes" in done.err) == (1, True)


LAUNCHED = """
import sys
from pathlib import Path
from tests.fakes import FakeChat, block
from text4seg import cli, models
from text4seg.pretrained import weight_files

weight_files.PARTS = {}
places = {"dog": slice(0, 4), "cat": slice(8, 12)}
answers = {name: block(name, slice(4, 8), place) for name, place in places.items()}
models.load = lambda name: FakeChat(answers, certainty=30.0)
from text4seg.cli import _model_options
_model_options.is_nano = lambda name: False
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("task", ["res", "semantic"])
def test_two_launched_processes_say_what_one_says(
    coco: tuple[str, ...], tmp_path: Path, task: str
) -> None:
    """Two real processes under torchrun, which is how accelerate runs on processors alone."""
    (tmp_path / "run.py").write_text(LAUNCHED)
    options = ["evaluate", "--task", task, *coco, "-o"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = str(Path(__file__).parents[2])
    for before, folder in ((launch, "two"), ([], "one")):
        command = [sys.executable, *before, "run.py", *options, folder]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=540, check=False,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": root, "OMP_NUM_THREADS": "1",
                 "HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    kind = "images" if task == "semantic" else "records"
    shares = [(tmp_path / "two" / f"{kind}.{at}.jsonl").read_text() for at in (0, 1)]
    assert all(share.count("\n") > 1 for share in shares), "each process answered something"
    one, two = (json.loads((tmp_path / f / "report.json").read_text()) for f in ("one", "two"))
    for report in (one, two):
        for figures in report.get("sets", {}).values():
            # How far to draft is learned from the clock; what is written does not depend on it.
            for key in ("seconds", "passes", "intervals"):
                figures.pop(key, None)
    assert one.get("sets") == two.get("sets")
    assert one.get("ious") == two.get("ious")
