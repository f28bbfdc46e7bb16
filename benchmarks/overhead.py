"""Milliseconds a forward pass of engine, grammar and drafter, without the model.

    python benchmarks/overhead.py --json

A script that always chooses the true text replaces the model; the time of its passes is subtracted,
that of reading its logits is not. Masks are ellipses of different sizes and places, so most rows
differ from the one above. The vocabulary is SmolLM2's (49,152 tokens), and the same padded to
150,000 tokens, the size of Qwen's. The engine caches what may follow a row's text and which tokens
write it: `first` is the first mask with a grammar and a vocabulary (compiled before), `later` any
other. On a busy machine `--cpu` counts CPU time instead of wall time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.forced import shapes_of
from benchmarks.passes import Script, open_tokenizer, vocabulary_of
from text4seg.codec import get_format
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.types import GridShape
from text4seg.decoding import (
    UNBOUNDED,
    DecodingOptions,
    DecodingTask,
    PassCost,
    Vocabulary,
    compile_mask_grammar,
    decode,
)

Clock = Callable[[], float]

SHAPE = GridShape(16, 16)
LARGE = 150_000
REPEATS = 20
DRAFTS = {
    "forced": ("forced", PassCost()),
    "row": ("row", PassCost()),
    "row, to the end": ("row", UNBOUNDED),
}


class Timed(Script):
    """A script that keeps the time it takes itself."""

    def __init__(self, vocabulary: Vocabulary, text: bytes, clock: Clock) -> None:
        super().__init__(vocabulary, text)
        self.seconds = 0.0
        self._clock = clock

    def __call__(self, tokens: Sequence[int]) -> Any:
        started = self._clock()
        rows = super().__call__(tokens)
        self.seconds += self._clock() - started
        return rows


def enlarged(vocabulary: Vocabulary, size: int) -> Vocabulary:
    """The same tokenizer with words that it never writes behind its own."""
    more = [b" word%d" % number for number in range(size - len(vocabulary))]
    return Vocabulary([*vocabulary.tokens, *more], vocabulary.eos, vocabulary.encode)


def measure(
    vocabulary: Vocabulary, name: str, draft: str, repeats: int, clock: Clock = time.perf_counter
) -> dict[str, Any]:
    """Milliseconds a pass: medians over masks, the very first one (warming up) apart."""
    form = get_format(name)
    texts = [form.encode(grid).encode() for grid in shapes_of(SHAPE, repeats + 1)]
    started = clock()
    grammar = compile_mask_grammar(form, SHAPE, ("dog",), vocabulary)
    compiled = clock() - started
    kind, pass_cost = DRAFTS[draft]
    options = DecodingOptions(kind)
    passes: list[int] = []

    def write(text: bytes) -> float:
        script = Timed(vocabulary, text, clock)
        started = clock()
        task = DecodingTask(script.row_at(0), grammar, options, pass_cost=pass_cost)
        decoded = decode(script, task)
        took = clock() - started - script.seconds
        passes.append(decoded.stats.passes)
        return 1000 * took / decoded.stats.passes

    def write_first(text: bytes) -> float:
        grammar.known.clear()
        vocabulary.lines.clear()
        vocabulary.pieces.clear()
        return write(text)

    first = [write_first(text) for text in texts]
    later = [write(text) for text in texts]
    return {
        "vocabulary": len(vocabulary),
        "format": name,
        "draft": draft,
        "masks": repeats,
        "passes": float(np.mean(passes)),
        "first_ms": float(np.median(first[1:])),
        "later_ms": float(np.median(later[1:])),
        "compile_ms": 1000 * compiled,
    }


def run(repeats: int, *, cpu: bool = False) -> dict[str, Any]:
    if repeats < 1:
        raise InputError(f"--repeats is at least 1, got {repeats}")
    _, tokenizer = open_tokenizer(None)
    vocabulary = vocabulary_of(tokenizer)
    clock = time.thread_time if cpu else time.perf_counter
    results = []
    for words in (vocabulary, enlarged(vocabulary, LARGE)):
        _ = words.matcher_tokenizer  # built once a tokenizer
        results += [
            measure(words, name, draft, repeats, clock)
            for name in ("rrle", "sd")
            for draft in DRAFTS
        ]
    return {
        "benchmark": "overhead",
        "grid": str(SHAPE),
        "clock": "processor" if cpu else "wall",
        "results": results,
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    unit = "ms a pass" if report["clock"] == "wall" else "ms of processor time a pass"
    heads = ("vocabulary", "format", "draft", "passes", f"{unit}, first mask", "later masks")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in report["results"]:
        cells = [f"{one['vocabulary']:,}", one["format"], one["draft"], f"{one['passes']:.1f}"]
        cells += [f"{one['first_ms']:.2f}", f"{one['later_ms']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Milliseconds a pass beside the model.")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="masks written each way")
    parser.add_argument("--cpu", action="store_true", help="count the processor's time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed.repeats, cpu=parsed.cpu)
    except Text4SegError as error:
        print(f"overhead: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
