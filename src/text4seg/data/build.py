"""From a data set to files of training samples, in parallel and resumable.

A build consists of parts of a fixed number of images of one pass. A part's file is renamed into
place when it is complete, then a note with its hash and counts is written beside it; a part that
has both is never made again. When all parts are there the notes become `manifest.json`. A run
after a kill makes what is missing and ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import connection
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from text4seg.core.errors import InputError, MissingExtraError, OutputError
from text4seg.core.files import write_atomically
from text4seg.data.conversations import Conversation, make_conversations
from text4seg.data.deduplication import HeldOutImages
from text4seg.data.interface import Sample
from text4seg.data.mixture import Mixture
from text4seg.data.reading import CheckedDataset
from text4seg.data.reports import ReadReport, RecordError
from text4seg.data.schemas import Record, get_schema
from text4seg.data.shards import FILES, records_to_bytes
from text4seg.data.targets import TargetEncoder

MANIFEST, PLAN, NOTES = "manifest.json", "build.json", ".parts"
VERSION = 1


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """How training samples are made and written.

    Attributes:
        mixture: Which questions are asked.
        encoder: How masks become text.
        schema: The trainer whose records are written, one of `SCHEMAS`.
        files: `jsonl` or `parquet`.
        embed: Whether the images are in the files (parquet only); otherwise their paths are.
        seed: The seed of every draw.
        images_per_part: The number of images in one file.
        held_out: Images to leave out.
    """

    mixture: Mixture = field(default_factory=Mixture)
    encoder: TargetEncoder = field(default_factory=TargetEncoder)
    schema: str = "trl"
    files: str = "jsonl"
    embed: bool = False
    seed: int = 0
    images_per_part: int = 1000
    held_out: HeldOutImages = field(default_factory=HeldOutImages)

    def __post_init__(self) -> None:
        get_schema(self.schema)
        if self.files not in FILES:
            raise InputError(f"files are {' or '.join(FILES)}, got {self.files!r}")
        if self.embed and self.files != "parquet":
            raise InputError("images are embedded in parquet files only")
        if self.images_per_part < 1:
            raise InputError("a part has at least one image")


@dataclass(frozen=True, slots=True)
class BuildPart:
    """One file: its number, its pass over the data set, and its images."""

    number: int
    turn: int
    images: range


@dataclass(frozen=True, slots=True)
class BuildJob:
    """All that a process needs to make parts."""

    dataset: CheckedDataset
    plan: BuildPlan
    out: Path


PartNote = dict[str, Any]
"""What is recorded of a finished part: `part`, `file`, `sha256`, `samples`, `kinds`, `report`."""


def build_dataset(
    dataset: CheckedDataset,
    out: str | PathLike[str],
    *,
    schema: str | None = None,
    plan: BuildPlan | None = None,
    processes: int = 1,
    on_part: Callable[[PartNote], None] | None = None,
) -> dict[str, Any]:
    """Write the training samples of a data set.

    The same data set and plan give the same bytes, for any number of processes and after any
    interruption.

    Args:
        dataset: What `read_dataset` opened.
        out: The folder; it is made if missing. A folder with another build is refused.
        schema: The trainer whose records are written, instead of the plan's: `trl`, `ms-swift`,
            `llama-factory` or `llava`.
        plan: All other settings; by default those of `BuildPlan()`.
        processes: The number of processes.
        on_part: Called with the note of each finished part, including those of an earlier run.

    Returns:
        The manifest, which is also in `manifest.json`: `samples`, `questions`, `kinds`, `report`
        and `parts`.

    Raises:
        UnknownNameError: There is no such schema.
        InputError: The folder holds another build, another process builds in it, or no sample
            could be made of the data.
        RecordError: Reading is strict and a record is wrong.
        OutputError: A file cannot be written.
    """
    wanted = plan or BuildPlan()
    job = BuildJob(dataset, replace(wanted, schema=schema or wanted.schema), Path(out))
    with _lock_output_dir(job.out):
        return _build(job, processes, on_part or (lambda _: None))


@contextlib.contextmanager
def _lock_output_dir(out: Path) -> Iterator[None]:
    """Keep other builds out, which would remove each other's half-written files.

    The lock is beside the folder, which holds nothing but the build; the system frees it when a
    process is killed.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingExtraError("filelock", "data") from None
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(out.absolute().with_name(f".{out.absolute().name}.lock"), timeout=0):
            yield
    except Timeout:
        raise InputError(
            f"another build is at work in {out}: wait for its end, or take another folder"
        ) from None
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error


def _build(job: BuildJob, processes: int, on_part: Callable[[PartNote], None]) -> dict[str, Any]:
    parts = list(_parts(job.dataset, job.plan))
    done = _prepare(job, parts)
    notes = dict(done)
    for note in done.values():
        on_part(note)
    missing = [part for part in parts if part.number not in done]
    for note in _make_all(job, missing, processes):
        notes[note["part"]] = note
        on_part(note)
    return _finish(job, [notes[part.number] for part in parts])


def _parts(dataset: CheckedDataset, plan: BuildPlan) -> Iterator[BuildPart]:
    total, step = len(dataset), plan.images_per_part
    limit = dataset.selection.limit
    starts = range(0, total if limit is None else _count_images(dataset, limit), step)
    number = 0
    for turn in range(plan.mixture.passes):
        for start in starts:
            yield BuildPart(number, turn, range(start, min(start + step, starts.stop)))
            number += 1


def _count_images(dataset: CheckedDataset, limit: int) -> int:
    """How many images have to be read to get `limit` wanted ones."""
    quiet = ReadReport()
    given = 0
    for index in range(len(dataset)):
        if given >= limit:
            return index
        given += dataset.load(index, quiet) is not None
    return len(dataset)


def count_parts(dataset: CheckedDataset, plan: BuildPlan) -> int:
    """Count the parts of a build, for a progress bar."""
    return len(list(_parts(dataset, plan)))


def _prepare(job: BuildJob, parts: list[BuildPart]) -> dict[int, PartNote]:
    """Check the folder, remove half-written files of a killed run, and find the finished parts."""
    described = json.dumps(_describe(job), indent=1, sort_keys=True).encode()
    plan = job.out / PLAN
    if plan.exists():
        if plan.read_bytes() != described:
            raise InputError(
                f"{job.out} holds a build with other settings or other data ({plan} tells which): "
                "take another folder, or remove that one"
            )
    elif job.out.exists() and any(job.out.iterdir()):
        raise InputError(f"{job.out} is not empty and holds no build: take another folder")
    else:
        write_atomically(plan, described)
    for folder in (job.out, job.out / NOTES):
        for left in folder.glob(".*.*") if folder.is_dir() else ():
            if left.is_file() and not _is_ours(left):
                left.unlink()
    manifest = job.out / MANIFEST
    notes = json.loads(manifest.read_bytes())["parts"] if manifest.exists() else []
    for path in sorted((job.out / NOTES).glob("*.json")):
        notes.append(json.loads(path.read_bytes()))
    wanted = {part.number for part in parts}
    return {note["part"]: note for note in notes if note["part"] in wanted and _is_whole(job, note)}


def _is_ours(path: Path) -> bool:
    """Whether this is a finished note and not the beginning of one."""
    return path.parent.name == NOTES and path.name.endswith(".json") and path.name[0] != "."


def _is_whole(job: BuildJob, note: PartNote) -> bool:
    path = job.out / note["file"]
    return path.is_file() and _hash(path.read_bytes()) == str(note["sha256"])


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _describe(job: BuildJob) -> dict[str, Any]:
    """What `build.json` holds: two builds with the same description have the same bytes."""
    plan = asdict(job.plan)
    held_out = plan.pop("held_out")
    hashed = json.dumps([sorted(held_out["ids"]), held_out["hashes"]]).encode()
    return {
        "version": VERSION,
        "data": job.dataset.source,
        "images": len(job.dataset),
        "selection": asdict(job.dataset.selection),
        "plan": plan,
        "held_out": _hash(hashed) if job.plan.held_out else None,
    }


def _make_all(job: BuildJob, parts: list[BuildPart], processes: int) -> Iterator[PartNote]:
    if processes <= 1 or len(parts) <= 1:
        for part in parts:
            yield make_part(job, part)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(processes, len(parts)), mp_context=context, initializer=_begin, initargs=(job,)
    ) as pool:
        waiting: deque[Future[PartNote]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(_make_here, part))
                if len(waiting) >= 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_here: list[BuildJob] = []


def _begin(job: BuildJob) -> None:
    """In a new process: keep the job, and exit when the parent has exited."""
    _here[:] = [job]
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _make_here(part: BuildPart) -> PartNote:
    return make_part(_here[0], part)


def make_part(job: BuildJob, part: BuildPart) -> PartNote:
    """Make one file and its note; the bytes do not depend on when and where."""
    report = ReadReport(strict=job.dataset.selection.strict)
    records: list[Record] = []
    kinds: Counter[str] = Counter()
    for index in part.images:
        sample = _load(job, index, report)
        if sample is None:
            continue
        random = np.random.default_rng((job.plan.seed, part.turn, index))
        try:
            found = list(make_conversations(sample, job.plan.mixture, job.plan.encoder, random))
            for conversation in found:
                identity = f"{sample.dataset}-{index}-{part.turn}-{len(records)}"
                records.append(_record(job, part, conversation, identity, len(records)))
                kinds.update(turn.kind for turn in conversation.turns)
        except RecordError as error:
            report.skip(error.kind, str(error))
        except InputError as error:
            report.skip("bad mask", f"{sample.image}: {error}")
    name = f"part-{part.number:05d}.{job.plan.files}"
    data = records_to_bytes(records, job.plan.files, job.plan.schema)
    write_atomically(job.out / name, data)
    note: PartNote = {
        "part": part.number,
        "file": name,
        "sha256": _hash(data),
        "samples": len(records),
        "images": len(part.images),
        "kinds": dict(sorted(kinds.items())),
        # Every pass meets the same faults: they are counted once.
        "report": report.to_json() if part.turn == 0 else ReadReport().to_json(),
    }
    noted = job.out / NOTES / f"{part.number:05d}.json"
    write_atomically(noted, json.dumps(note).encode())
    return note


def _load(job: BuildJob, index: int, report: ReadReport) -> Sample | None:
    sample = job.dataset.load(index, report)
    if sample is None or not job.plan.held_out:
        return sample
    try:
        if not job.plan.held_out.contains(sample):
            return sample
    except InputError as error:
        report.skip("broken image", str(error))
        return None
    report.filter("held out")
    report.images -= 1
    report.expressions -= len(sample.targets)
    return None


def _record(
    job: BuildJob, part: BuildPart, conversation: Conversation, identity: str, number: int
) -> Record:
    sample, plan = conversation.sample, job.plan
    path = sample.image.absolute()
    content = sample.content
    if conversation.crop is not None or (content is not None and not plan.embed):
        image = sample.open_image()
        if conversation.crop is not None:
            box = conversation.crop
            image = image.crop((int(box.x0), int(box.y0), int(box.x1), int(box.y1)))
        path = (job.out / "images" / f"{part.number:05d}" / f"{number:06d}.jpg").absolute()
        content = _to_jpeg(image)
        if not plan.embed:
            write_atomically(path, content)
    if not plan.embed:
        return get_schema(plan.schema)(conversation, identity, str(path))
    if content is None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RecordError(
                "missing image", f"{path} cannot be read: {error.strerror}"
            ) from error
    picture = {"bytes": content, "path": path.name}
    return get_schema(plan.schema)(conversation, identity, picture)


def _to_jpeg(image: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=92)
    return buffer.getvalue()


def _withdraw(job: BuildJob, notes: list[PartNote]) -> None:
    """Remove what a build without a sample wrote, so that the folder can be used again."""
    shutil.rmtree(job.out / NOTES, ignore_errors=True)
    for name in (PLAN, *(str(note["file"]) for note in notes)):
        (job.out / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other files are in it
        job.out.rmdir()


def _finish(job: BuildJob, notes: list[PartNote]) -> dict[str, Any]:
    report = ReadReport()
    report.add(job.dataset.opened)
    for note in notes:
        report.add(ReadReport.from_json(note["report"]))
    samples = sum(note["samples"] for note in notes)
    if not samples:
        _withdraw(job, notes)
        reasons = {**report.skipped, **report.filtered}
        raise InputError(
            f"nothing could be made of {job.dataset.source['path']}: "
            f"{', '.join(f'{count} × {kind}' for kind, count in reasons.items()) or 'it is empty'}"
        )
    kinds: Counter[str] = Counter()
    for note in notes:
        kinds.update(note["kinds"])
    manifest = {
        "samples": samples,
        "questions": sum(kinds.values()),
        "kinds": dict(sorted(kinds.items())),
        "report": report.to_json(),
        "parts": notes,
    }
    write_atomically(job.out / MANIFEST, json.dumps(manifest, indent=1).encode())
    _write_dataset_info(job, notes)
    for path in (job.out / NOTES).glob("*.json"):
        path.unlink()
    try:
        (job.out / NOTES).rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"cannot remove {job.out / NOTES}: {error.strerror}") from error
    return manifest


def _write_dataset_info(job: BuildJob, notes: list[PartNote]) -> None:
    """Write the index that LLaMA-Factory needs: a data set for each file."""
    if job.plan.schema != "llama-factory":
        return
    columns = {"messages": "conversations", "images": "images"}
    entries = {
        f"text4seg_{note['part']:05d}": {
            "file_name": note["file"],
            "formatting": "sharegpt",
            "columns": columns,
        }
        for note in notes
    }
    info = json.dumps(entries, indent=1).encode()
    write_atomically(job.out / "dataset_info.json", info)
