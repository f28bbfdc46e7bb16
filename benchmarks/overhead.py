"""What a pass costs beside the model: the engine, the grammar and the draft.

    python benchmarks/overhead.py --json

A script that always chooses the true text stands in for the model, and the time that it takes
itself is subtracted. The vocabulary is SmolLM2's (49,152 tokens), once more filled up to 150,000
with made-up words, as large as those of Qwen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.passes import Script, open_tokenizer, vocabulary_of
from text4seg.codec import get_format
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import Vocabulary, compile_mask_grammar, decode, make_drafter

SHAPE = GridShape(16, 16)
LARGE = 150_000
REPEATS = 20


class Timed(Script):
    """A script that keeps the time it takes itself."""

    seconds = 0.0

    def __call__(self, tokens: Sequence[int]) -> Any:
        started = time.perf_counter()
        rows = super().__call__(tokens)
        self.seconds += time.perf_counter() - started
        return rows


def disk() -> DescriptorGrid:
    """A round mask: most rows differ from the one above."""
    rows, cols = np.mgrid[: SHAPE.rows, : SHAPE.cols]
    inside = (rows - 7.5) ** 2 + (cols - 7.5) ** 2 < 36
    return DescriptorGrid.build(("others", "dog"), inside.astype(np.int32))


def enlarged(vocabulary: Vocabulary, size: int) -> Vocabulary:
    """The same tokenizer with words that it never writes behind its own."""
    more = [b" word%d" % number for number in range(size - len(vocabulary))]
    return Vocabulary([*vocabulary.tokens, *more], vocabulary.eos, vocabulary.encode)


def measure(vocabulary: Vocabulary, name: str, draft: str, repeats: int) -> dict[str, Any]:
    """Milliseconds a pass: the median over repeats, the first one (warming up) apart."""
    form = get_format(name)
    text = form.encode(disk()).encode()
    started = time.perf_counter()
    grammar = compile_mask_grammar(form, SHAPE, ("dog",), vocabulary)
    compiled = time.perf_counter() - started
    drafter = make_drafter(draft, SHAPE)
    found = []
    passes = 0
    for _ in range(repeats + 1):
        script = Timed(vocabulary, text)
        started = time.perf_counter()
        decoded = decode(script, script.row_at(0), vocabulary, grammar, draft=drafter)
        took = time.perf_counter() - started - script.seconds
        passes = decoded.stats.passes
        found.append(1000 * took / passes)
    return {
        "vocabulary": len(vocabulary),
        "format": name,
        "draft": draft,
        "passes": passes,
        "ms_a_pass": float(np.median(found[1:])),
        "best_ms_a_pass": float(np.min(found[1:])),
        "compile_ms": 1000 * compiled,
    }


def run(repeats: int) -> list[dict[str, Any]]:
    if repeats < 1:
        raise InputError(f"--repeats is at least 1, got {repeats}")
    _, tokenizer = open_tokenizer(None)
    vocabulary = vocabulary_of(tokenizer)
    results = []
    for words in (vocabulary, enlarged(vocabulary, LARGE)):
        _ = words.matcher_tokenizer  # built once a tokenizer
        results += [
            measure(words, name, draft, repeats)
            for name in ("rrle", "sd")
            for draft in ("forced", "row")
        ]
    return results


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results as Markdown."""
    lines = ["| vocabulary | format | draft | passes | ms a pass | best |", "|---" * 6 + "|"]
    for one in results:
        cells = [f"{one['vocabulary']:,}", one["format"], one["draft"], str(one["passes"])]
        cells += [f"{one['ms_a_pass']:.2f}", f"{one['best_ms_a_pass']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Milliseconds a pass beside the model.")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="masks written each way")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        results = run(parsed.repeats)
    except Text4SegError as error:
        print(f"overhead: {error}", file=sys.stderr)
        return 1
    print(json.dumps(results, indent=2) if parsed.json else table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
