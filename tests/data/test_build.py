from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.data.conftest import coco_document, write_json
from text4seg.codec import get_format
from text4seg.codec.answer import body_of
from text4seg.core.errors import InputError
from text4seg.core.types import GridShape
from text4seg.data import RecordError, Selection, read_dataset
from text4seg.data.build import BuildPlan, build_dataset
from text4seg.data.mixture import Mixture
from text4seg.data.schemas import SCHEMAS, image_of_record, turns_of
from text4seg.data.shards import read_records


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, with its hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def all_records(folder: Path) -> list[dict]:
    return [one for path in sorted(folder.glob("part-*")) for one in read_records(path)]


def test_every_answer_is_a_mask_in_strict_text(coco: Path, tmp_path: Path) -> None:
    manifest = build_dataset(
        read_dataset("coco", coco), tmp_path / "out", plan=BuildPlan(Mixture(turns=3), seed=3)
    )
    records = all_records(tmp_path / "out")
    assert manifest["samples"] == len(records)
    assert manifest["questions"] == sum(len(turns_of(one)) for one in records)
    assert manifest["report"]["expressions"] == 3
    for record in records:
        assert Path(image_of_record(record)).exists()
        for question, answer in turns_of(record):
            grid = get_format("rrle").decode(body_of(answer), GridShape(16, 16))
            assert question
            assert grid.shape == GridShape(16, 16)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("files", ["jsonl", "parquet"])
def test_the_same_input_and_seed_give_the_same_bytes(
    many: Path, tmp_path: Path, schema: str, files: str
) -> None:
    plan = BuildPlan(schema=schema, files=files, images_per_part=16, seed=7)
    build_dataset(read_dataset("coco", many), tmp_path / "first", plan=plan)
    build_dataset(read_dataset("coco", many), tmp_path / "second", plan=plan)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    other = BuildPlan(schema=schema, files=files, images_per_part=16, seed=8)
    build_dataset(read_dataset("coco", many), tmp_path / "third", plan=other)
    assert contents(tmp_path / "first") != contents(tmp_path / "third")


def test_processes_do_not_change_anything(many: Path, tmp_path: Path) -> None:
    plan = BuildPlan(images_per_part=10)
    build_dataset(read_dataset("coco", many), tmp_path / "one", plan=plan)
    build_dataset(read_dataset("coco", many), tmp_path / "two", plan=plan, processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_what_is_missing_or_damaged_is_made_again(many: Path, tmp_path: Path) -> None:
    out, plan = tmp_path / "out", BuildPlan(images_per_part=10)
    build_dataset(read_dataset("coco", many), out, plan=plan)
    before = contents(out)
    (out / "part-00001.jsonl").unlink()
    (out / "part-00002.jsonl").write_text("{}\n")
    (out / ".part-00003.jsonl.half").write_text("{")
    build_dataset(read_dataset("coco", many), out, plan=plan)
    assert contents(out) == before


def test_a_folder_of_other_things_is_left_alone(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build_dataset(read_dataset("coco", many), out, plan=BuildPlan(images_per_part=10))
    before = contents(out)
    with pytest.raises(InputError, match="other settings"):
        build_dataset(read_dataset("coco", many), out, plan=BuildPlan(images_per_part=10, seed=1))
    assert contents(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds no build"):
        build_dataset(read_dataset("coco", many), tmp_path / "mine", plan=BuildPlan())
    assert contents(tmp_path / "mine").keys() == {"thesis.txt"}


def test_two_builds_in_one_folder_are_refused(many: Path, tmp_path: Path) -> None:
    out, plan = tmp_path / "out", BuildPlan(images_per_part=10)
    with FileLock(tmp_path / ".out.lock"), pytest.raises(InputError, match="another build"):
        build_dataset(read_dataset("coco", many), out, plan=plan)
    assert not out.exists()
    assert build_dataset(read_dataset("coco", many), out, plan=plan)["samples"]


def test_a_build_of_nothing_leaves_nothing(many: Path, tmp_path: Path) -> None:
    out, none = tmp_path / "out", Selection(min_area=1e9)
    with pytest.raises(InputError, match="nothing could be made"):
        build_dataset(
            read_dataset("coco", many, selection=none), out, plan=BuildPlan(images_per_part=10)
        )
    assert not out.exists()
    assert build_dataset(read_dataset("coco", many), out, plan=BuildPlan(images_per_part=10))[
        "samples"
    ]


def test_wrong_records_are_counted_or_stop_it(coco: Path, tmp_path: Path) -> None:
    document = coco_document()
    document["annotations"][3]["segmentation"] = [[1, 2, 3, 4]]
    write_json(coco, document)
    manifest = build_dataset(read_dataset("coco", coco), tmp_path / "out", plan=BuildPlan())
    assert manifest["report"]["skipped"] == {"bad polygon": 1}
    with pytest.raises(RecordError, match="annotation 103"):
        build_dataset(
            read_dataset("coco", coco, selection=Selection(strict=True)),
            tmp_path / "strict",
            plan=BuildPlan(),
        )
    assert not list((tmp_path / "strict").glob("part-*"))
    document["annotations"] = []
    write_json(coco, document)
    with pytest.raises(InputError, match="nothing could be made"):
        build_dataset(read_dataset("coco", coco), tmp_path / "none", plan=BuildPlan())


def kill_and_rerun(many: Path, out: Path, times: int, seed: int) -> None:
    """Start the build, kill it at a random moment, as often as told; then let it finish.

    A build that is done before it is killed is begun again from nothing.
    """
    command = [
        sys.executable, "-m", "text4seg", "build", "data", "coco", str(many), "--out", str(out),
        "--part-size", "1", "--processes", "2",
    ]  # fmt: skip
    draw = random.Random(seed)
    killed = 0
    while killed < times:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        # From the first finished part on, at a random moment.
        deadline = time.monotonic() + 60
        seen = len(list(out.glob("part-*")))
        while len(list(out.glob("part-*"))) <= seen and time.monotonic() < deadline:
            if process.poll() is not None:
                break
            time.sleep(0.005)
        time.sleep(draw.random() * 0.05)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read()
            shutil.rmtree(out)
        elif draw.random() < 0.5:  # the whole family, or only the parent
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        else:
            process.kill()
            killed += 1
        process.wait()
        process.stderr.close()
    subprocess.run(command, check=True, capture_output=True)


def undisturbed(many: Path, out: Path) -> dict[str, str]:
    build_dataset(read_dataset("coco", many), out, plan=BuildPlan(images_per_part=1))
    return contents(out)


def test_a_kill_and_a_rerun_lose_and_double_nothing(many: Path, tmp_path: Path) -> None:
    kill_and_rerun(many, tmp_path / "killed", times=1, seed=1)
    assert contents(tmp_path / "killed") == undisturbed(many, tmp_path / "calm")


@pytest.mark.slow
def test_twenty_kills_lose_and_double_nothing(many: Path, tmp_path: Path) -> None:
    kill_and_rerun(many, tmp_path / "killed", times=20, seed=2)
    assert contents(tmp_path / "killed") == undisturbed(many, tmp_path / "calm")


def test_manifest_tells_what_is_there(many: Path, tmp_path: Path) -> None:
    manifest = build_dataset(
        read_dataset("coco", many), tmp_path / "out", plan=BuildPlan(images_per_part=16)
    )
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    assert [part["images"] for part in manifest["parts"]] == [16, 16, 8]
    for part in manifest["parts"]:
        data = (tmp_path / "out" / part["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
