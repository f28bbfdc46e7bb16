"""Fuzz the text formats: nothing but `MaskSyntaxError`, and salvage that always comes back.

    python benchmarks/fuzz_codec.py --engine atheris --seconds 1800 --corpus /tmp/corpus
    python benchmarks/fuzz_codec.py --engine hypothesis --seconds 1800 --json

Every text is read by every format, with open and with given labels, and has to keep the contracts
of `docs/format.md`: the strict reader takes it or raises `MaskSyntaxError`; what it takes is
canonical; salvage gives a grid of the right shape and reports a repair exactly where the strict
reader refuses. atheris is guided by the branches that a text reaches, and keeps what it found in
the corpus folder; it has to be installed by hand. A text that breaks a contract is printed, ready
to become a test in `tests/codec/fuzzed.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from text4seg.codec import Format, Repair
    from text4seg.core.types import GridShape

SHAPES = ((1, 1), (2, 4), (3, 16), (16, 3))
LABELS: tuple[tuple[str, ...] | None, ...] = (None, ("dog",), ("dog 1", "dog 2", "a *b"))
LONGEST = 4096
SEED = 0
PIECES = (
    *(
        "| ",
        "\n ",
        " *",
        "*",
        "0",
        "1",
        "9",
        "٣",
        "*01",
        "\r",
        " ",
        "|",
        "\n",
        "\t",
        "\x00",
        "\u2028",
    ),
    *("</seg>", "<seg>", "```", "\n```\n", "dog", "dog 1", "others", "[", "]", "-", ", "),
    "[12-30, 34-61]\n ",
)


def check(text: str, choice: int | None = None) -> None:
    """Hold one text against the contracts; raises where one is broken.

    `choice` picks one format, shape and set of labels; None goes through all of them.
    """
    from text4seg.codec import FORMATS
    from text4seg.core.types import GridShape

    cases = list(itertools.product(FORMATS.values(), SHAPES, LABELS))
    for form, (rows, cols), labels in cases if choice is None else [cases[choice % len(cases)]]:
        check_format(form, text, GridShape(rows, cols), labels)


def check_format(
    form: Format[Any], text: str, shape: GridShape, labels: Sequence[str] | None
) -> None:
    """Hold one text against the contracts of one format."""
    salvage = form.salvage(text, shape, labels)
    strict = keeps_contract(form, text, shape, labels, salvage.repairs, salvage.value)
    if form.syntax.covers_image:
        grids = [salvage.value]
    else:
        grids = [region.grid for region in salvage.value.regions]
        # One more box makes longer text of the same language.
        if (
            strict
            and grids
            and form.decode(text + text, shape, labels).regions[len(grids)].grid != grids[0]
        ):
            raise AssertionError("two texts after each other are not both read")
    for grid in grids:
        if grid.shape != shape:
            raise AssertionError("salvage gives a grid of another shape")
        if labels is not None and not set(grid.labels) <= {"others", *labels}:
            raise AssertionError("salvage gives a label that was not asked for")


def keeps_contract(
    form: Any,
    text: str,
    shape: GridShape,
    labels: Sequence[str] | None,
    repairs: Sequence[Repair],
    salvaged: object,
) -> bool:
    """Whether the strict reader takes the text; raises where the two readers do not agree."""
    from text4seg.core.errors import MaskSyntaxError

    try:
        read = form.decode(text, shape, labels)
    except MaskSyntaxError as error:
        place = (error.text == text, 0 <= error.at <= len(text), bool(str(error)))
        if not all(place):
            raise AssertionError(f"a bad error: {error!r}") from error
        if not repairs:
            raise AssertionError("salvage and decode disagree on what is valid") from error
        return False
    if repairs:
        raise AssertionError("salvage and decode disagree on what is valid")
    if form.encode(read) != text:
        raise AssertionError("accepted text is not canonical")
    if salvaged != read:
        raise AssertionError("salvage changes valid text")
    return True


def seeds(count: int) -> list[str]:
    """Valid texts of every format to start from, and some with what models write around them."""
    from text4seg.codec import FORMATS
    from text4seg.core.regions import LatticeBox, Region, Regions
    from text4seg.core.types import DescriptorGrid

    random = np.random.default_rng(SEED)
    texts = []
    for at in range(count):
        rows, cols = SHAPES[at % len(SHAPES)]
        names = ["others", *(LABELS[at % len(LABELS)] or ("cat", "a dog"))]
        cells = random.integers(0, len(names), (rows, cols)).cumsum(1) // 3 % len(names)
        grid = DescriptorGrid.build(names, cells.astype(np.int32))
        box = LatticeBox(at, at + 9, 2 * at, 99 - at)
        regions = Regions((Region(box, grid),) * (at % 3))
        for form in FORMATS.values():
            text = form.encode(grid if form.syntax.covers_image else regions)
            texts += [text, f"Sure:\n<seg>{text}</seg>", f"```\n{text}```"]
    return texts


def run_atheris(seconds: int, corpus: Path) -> tuple[int, str]:
    """Fuzz under libFuzzer in a process of its own; returns how many were read, and what broke."""
    corpus.mkdir(parents=True, exist_ok=True)
    for at, text in enumerate(seeds(24)):
        (corpus / f"seed{at}").write_bytes(bytes([at % 256]) + text.encode())
    command = [
        sys.executable, __file__, "--child", str(seconds), f"-max_len={LONGEST}",
        f"-artifact_prefix={corpus}/crash-", "-timeout=60", str(corpus),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return 0, f"exit code {done.returncode}; the text stands in {corpus}/crash-*"
    return int(done.stdout.split()[-1]), ""


def child(seconds: float, arguments: Sequence[str]) -> None:
    """The process that libFuzzer drives; it ends itself after so much processor time."""
    import atheris

    with atheris.instrument_imports(include=["text4seg"]):
        import text4seg.codec  # noqa: F401
    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        if not count % 64 and time.process_time() > seconds:
            print(count, flush=True)
            os._exit(0)
        count += 1
        # Lone surrogates too: a text may come from a broken decoder.
        text = data[1:].decode("utf-8", "surrogateescape" if data[:1] > b"\xbf" else "replace")
        check(text, data[0] if data else 0)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def run_hypothesis(seconds: int) -> tuple[int, str]:
    """Edits of valid texts, and any text at all, for so long; returns how many, and what broke."""
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis import strategies as st

    pieces = st.sampled_from(PIECES) | st.text(max_size=4)
    edits = st.lists(st.tuples(st.integers(0, 999), st.integers(0, 4), pieces), max_size=6)
    starts = st.sampled_from(seeds(24)) | st.text(max_size=80)
    count = 0

    def one(start: str, changes: list[tuple[int, int, str]], choice: int) -> None:
        nonlocal count
        count += 1
        text = start
        for place, length, piece in changes:
            at = place % (len(text) + 1)
            text = text[:at] + piece + text[at + length :]
        check(text, choice)

    end = time.process_time() + seconds
    for turn in range(1_000_000):
        if time.process_time() >= end:
            break
        quiet = settings(
            max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        try:
            seed(turn)(quiet(given(starts, edits, st.integers(0, 255))(one)))()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            return count, f"{type(error).__name__}: {error}"
    return count, ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz as the command line says; exit code 1 where a contract is broken."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--child"]:
        child(float(given[1]), given[2:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--engine", choices=("hypothesis", "atheris"), default="hypothesis")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-corpus"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(given)
    start = os.times()
    if options.engine == "atheris":
        count, broken = run_atheris(options.seconds, options.corpus)
    else:
        count, broken = run_hypothesis(options.seconds)
    end = os.times()
    spent = end.user - start.user + end.children_user - start.children_user
    report = {
        "engine": options.engine,
        "cpu_seconds": round(spent),
        "texts": count,
        "broken": broken,
    }
    if options.json:
        print(json.dumps(report))
    else:
        print(", ".join(f"{name} {value!r}" for name, value in report.items()))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
