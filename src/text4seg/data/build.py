"""From a data set to files of training samples: in parallel, and as often interrupted as you like.

Work is cut into parts of a fixed number of images of one pass. A part's file is renamed into its
place when it is whole, then a note beside it with its hash and counts; a part that has both is
never made again. When all are there the notes become `manifest.json`. A run after a kill makes
what is missing, and the folder ends as if nothing had happened.
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
from dataclasses import asdict, dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np

from text4seg.core.errors import InputError, MissingExtraError, OutputError
from text4seg.core.files import write_atomically
from text4seg.data.conversations import Conversation, Target, converse
from text4seg.data.deduplication import HeldOutImages
from text4seg.data.interface import Sample
from text4seg.data.mixture import Mixture
from text4seg.data.reading import CheckedDataset
from text4seg.data.reports import ReadReport, RecordError
from text4seg.data.schemas import Record, get_schema
from text4seg.data.shards import FILES, records_to_bytes

MANIFEST, PLAN, NOTES = "manifest.json", "build.json", ".parts"
VERSION = 1


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """How conversations are made and written.

    Attributes:
        mixture: What is asked.
        target: How masks become text.
        schema: The trainer whose records are written.
        files: jsonl or parquet.
        embed: Whether pictures stand in the files (parquet alone); otherwise their paths do.
        seed: Of every draw.
        images_a_part: So many images make one file.
    """

    mixture: Mixture = field(default_factory=Mixture)
    target: Target = field(default_factory=Target)
    schema: str = "trl"
    files: str = "jsonl"
    embed: bool = False
    seed: int = 0
    images_per_part: int = 1000

    def __post_init__(self) -> None:
        get_schema(self.schema)
        if self.files not in FILES:
            raise InputError(f"files are {' or '.join(FILES)}, got {self.files!r}")
        if self.embed and self.files != "parquet":
            raise InputError("pictures are embedded in parquet files only")
        if self.images_per_part < 1:
            raise InputError("a part has at least one image")


@dataclass(frozen=True, slots=True)
class BuildPart:
    """One file: its number, its pass, and its images."""

    number: int
    turn: int
    images: range


@dataclass(frozen=True, slots=True)
class BuildJob:
    """All that a process needs to make parts."""

    reading: CheckedDataset
    plan: BuildPlan
    out: Path
    held: HeldOutImages


PartNote = dict[str, Any]


def build_dataset(
    reading: CheckedDataset,
    out: Path,
    plan: BuildPlan,
    *,
    held: HeldOutImages | None = None,
    processes: int = 1,
    on_part: Callable[[PartNote], None] | None = None,
) -> dict[str, Any]:
    """Write all samples of a data set below `out`, and return the manifest.

    Args:
        reading: The data set with what is wanted of it.
        out: The folder; made if missing. What a build with other settings left is refused.
        plan: How.
        held: Images to leave out.
        processes: So many work at once; the result is the same for any number.
        on_part: Told of each finished part, those of an earlier run too.

    Raises:
        InputError: The folder holds another build, one is at work in it, or nothing could be made
            of the data.
        RecordError: The reading is strict and a record is wrong.
        OutputError: A file cannot be written.
    """
    work = BuildJob(reading, plan, out, held or HeldOutImages())
    with _alone_in(out):
        return _build(work, processes, on_part or (lambda _: None))


@contextlib.contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Two builds in one folder would clear away each other's half-written files.

    The lock stands beside the folder, which holds the build and nothing else; the system frees it
    when a process is killed.
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


def _build(work: BuildJob, processes: int, on_part: Callable[[PartNote], None]) -> dict[str, Any]:
    parts = list(_parts(work.reading, work.plan))
    done = _prepare(work, parts)
    notes = dict(done)
    for note in done.values():
        on_part(note)
    missing = [part for part in parts if part.number not in done]
    for note in _make_all(work, missing, processes):
        notes[note["part"]] = note
        on_part(note)
    return _finish(work, [notes[part.number] for part in parts])


def _parts(reading: CheckedDataset, plan: BuildPlan) -> Iterator[BuildPart]:
    total, step = len(reading), plan.images_per_part
    limit = reading.selection.limit
    starts = range(0, total if limit is None else _enough(reading, limit), step)
    number = 0
    for turn in range(plan.mixture.passes):
        for start in starts:
            yield BuildPart(number, turn, range(start, min(start + step, starts.stop)))
            number += 1


def _enough(reading: CheckedDataset, limit: int) -> int:
    """So many images hold `limit` that are wanted."""
    quiet = ReadReport()
    given = 0
    for index in range(len(reading)):
        if given >= limit:
            return index
        given += reading.load(index, quiet) is not None
    return len(reading)


def count_parts(reading: CheckedDataset, plan: BuildPlan) -> int:
    """How many parts a build has."""
    return len(list(_parts(reading, plan)))


def _prepare(work: BuildJob, parts: list[BuildPart]) -> dict[int, PartNote]:
    """Check the folder, clear what a kill left half-written, and tell which parts are done."""
    described = json.dumps(_describe(work), indent=1, sort_keys=True).encode()
    plan = work.out / PLAN
    if plan.exists():
        if plan.read_bytes() != described:
            raise InputError(
                f"{work.out} holds a build with other settings or other data ({plan} tells which): "
                "take another folder, or remove that one"
            )
    elif work.out.exists() and any(work.out.iterdir()):
        raise InputError(f"{work.out} is not empty and holds no build: take another folder")
    else:
        write_atomically(plan, described)
    for folder in (work.out, work.out / NOTES):
        for left in folder.glob(".*.*") if folder.is_dir() else ():
            if left.is_file() and not _is_ours(left):
                left.unlink()
    manifest = work.out / MANIFEST
    notes = json.loads(manifest.read_bytes())["parts"] if manifest.exists() else []
    for path in sorted((work.out / NOTES).glob("*.json")):
        notes.append(json.loads(path.read_bytes()))
    wanted = {part.number for part in parts}
    return {
        note["part"]: note for note in notes if note["part"] in wanted and _is_whole(work, note)
    }


def _is_ours(path: Path) -> bool:
    """Whether this is a finished note and not the beginning of one."""
    return path.parent.name == NOTES and path.name.endswith(".json") and path.name[0] != "."


def _is_whole(work: BuildJob, note: PartNote) -> bool:
    path = work.out / note["file"]
    return path.is_file() and _hash(path.read_bytes()) == str(note["sha256"])


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _describe(work: BuildJob) -> dict[str, Any]:
    selection, plan = asdict(work.reading.selection), asdict(work.plan)
    held = json.dumps([sorted(work.held.ids), work.held.hashes]).encode()
    return {
        "version": VERSION,
        "data": work.reading.source,
        "images": len(work.reading),
        "select": selection,
        "plan": plan,
        "held_out": _hash(held) if work.held != HeldOutImages() else None,
    }


def _make_all(work: BuildJob, parts: list[BuildPart], processes: int) -> Iterator[PartNote]:
    if processes <= 1 or len(parts) <= 1:
        for part in parts:
            yield make_part(work, part)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(processes, len(parts)), mp_context=context, initializer=_begin, initargs=(work,)
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


def _begin(work: BuildJob) -> None:
    """In a new process: keep the work, and go when the parent has gone."""
    _here[:] = [work]
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _make_here(part: BuildPart) -> PartNote:
    return make_part(_here[0], part)


def make_part(work: BuildJob, part: BuildPart) -> PartNote:
    """Make one file and its note; the same bytes whenever and wherever it is done."""
    report = ReadReport(strict=work.reading.selection.strict)
    records: list[Record] = []
    kinds: Counter[str] = Counter()
    for index in part.images:
        sample = _load(work, index, report)
        if sample is None:
            continue
        random = np.random.default_rng((work.plan.seed, part.turn, index))
        try:
            found = list(converse(sample, work.plan.mixture, work.plan.target, random))
            for conversation in found:
                identity = f"{sample.dataset}-{index}-{part.turn}-{len(records)}"
                records.append(_record(work, part, conversation, identity, len(records)))
                kinds.update(turn.kind for turn in conversation.turns)
        except RecordError as error:
            report.skip(error.kind, str(error))
        except InputError as error:
            report.skip("bad mask", f"{sample.image}: {error}")
    name = f"part-{part.number:05d}.{work.plan.files}"
    data = records_to_bytes(records, work.plan.files, work.plan.schema)
    write_atomically(work.out / name, data)
    note: PartNote = {
        "part": part.number,
        "file": name,
        "sha256": _hash(data),
        "samples": len(records),
        "images": len(part.images),
        "kinds": dict(sorted(kinds.items())),
        # Each pass meets the same faults: they are told once.
        "report": report.to_json() if part.turn == 0 else ReadReport().to_json(),
    }
    noted = work.out / NOTES / f"{part.number:05d}.json"
    write_atomically(noted, json.dumps(note).encode())
    return note


def _load(work: BuildJob, index: int, report: ReadReport) -> Sample | None:
    sample = work.reading.load(index, report)
    if sample is None or work.held == HeldOutImages():
        return sample
    try:
        find_leak = work.held.find_leak(sample)
    except InputError as error:
        report.skip("broken image", str(error))
        return None
    if not find_leak:
        return sample
    report.filter("held out")
    report.images -= 1
    report.expressions -= len(sample.targets)
    return None


def _record(
    work: BuildJob, part: BuildPart, conversation: Conversation, identity: str, number: int
) -> Record:
    sample, plan = conversation.sample, work.plan
    path = sample.image.absolute()
    content = sample.content
    if conversation.crop is not None or (content is not None and not plan.embed):
        image = sample.open_image()
        if conversation.crop is not None:
            box = conversation.crop
            image = image.crop((int(box.x0), int(box.y0), int(box.x1), int(box.y1)))
        path = (work.out / "images" / f"{part.number:05d}" / f"{number:06d}.jpg").absolute()
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


def _withdraw(work: BuildJob, notes: list[PartNote]) -> None:
    """Remove what a build without a sample wrote, so that mended data may go into the folder."""
    shutil.rmtree(work.out / NOTES, ignore_errors=True)
    for name in (PLAN, *(str(note["file"]) for note in notes)):
        (work.out / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds what is not ours
        work.out.rmdir()


def _finish(work: BuildJob, notes: list[PartNote]) -> dict[str, Any]:
    report = ReadReport()
    report.add(work.reading.opened)
    for note in notes:
        report.add(ReadReport.from_json(note["report"]))
    samples = sum(note["samples"] for note in notes)
    if not samples:
        _withdraw(work, notes)
        reasons = {**report.skipped, **report.filtered}
        raise InputError(
            f"nothing could be made of {work.reading.source['path']}: "
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
    write_atomically(work.out / MANIFEST, json.dumps(manifest, indent=1).encode())
    _write_dataset_info(work, notes)
    for path in (work.out / NOTES).glob("*.json"):
        path.unlink()
    try:
        (work.out / NOTES).rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"cannot remove {work.out / NOTES}: {error.strerror}") from error
    return manifest


def _write_dataset_info(work: BuildJob, notes: list[PartNote]) -> None:
    """What LLaMA-Factory wants to know of a folder: a data set for each file."""
    if work.plan.schema != "llama-factory":
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
    write_atomically(work.out / "dataset_info.json", info)
