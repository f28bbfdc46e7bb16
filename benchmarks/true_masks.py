"""Seconds to decode true masks with nano's forward passes: `generate` against the engine.

    python benchmarks/true_masks.py --data coco.jsonl --images DIR --limit 8 --json

As `benchmarks/decode_time.py`, interleaved and with fusion and prefill in all ways, but every way
is forced to write the true mask: nano computes its passes and logits, and its choices are replaced.
This is the cost of a model whose features are as fine as the grid, such as 64x64. `--data` is
written by `projects/nano/benchmarks/evaluation_sets.py`; one object an image is used.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.annotations import SEED
from benchmarks.decode_time import LARGE, SMALL, Generate
from benchmarks.forced import ForcedStep
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.types import GridShape, Size
from text4seg.data import ReferringTarget, read_jsonl
from text4seg.decoding import DecodingOptions, compile_mask_grammar, decode
from text4seg.images import open_image
from text4seg.segmenter import Segmenter

FORMATS = ("sd", "rrle")
DRAFTS = ("row", "auto")


class Clock:
    """Seconds, tokens and passes of each way."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[float, int, int]]] = {}

    def time(self, name: str, write: Callable[[], tuple[int, int]]) -> None:
        started = time.perf_counter()
        tokens, passes = write()
        self.found.setdefault(name, []).append((time.perf_counter() - started, tokens, passes))

    def means(self, column: int) -> dict[str, float]:
        return {name: float(np.mean([one[column] for one in f])) for name, f in self.found.items()}


class Engine:
    """The engine for one format and grid, made to write texts with nano's passes."""

    def __init__(self, model: Any, form: str, shape: GridShape) -> None:
        self.generator = Segmenter(model, format=form, grid=shape).generator
        self.form, self.shape, self.model = form, shape, model

    def write(self, features: Any, expression: str, text: str, draft: str) -> tuple[int, int]:
        """Write a text after a prefill of its own; tokens and passes."""
        from text4seg.models.nano.nano_model import NanoSession

        prepared = self.generator.prepare(NanoSession(self.model, features), expression)
        prompt, task = prepared.prompt, prepared.task
        vocabulary = task.grammar.vocabulary
        # The model may find the thing absent; the text to write marks it all the same.
        grammar = compile_mask_grammar(
            self.generator.form, self.shape, (prepared.label,), vocabulary
        )
        step = ForcedStep(prompt.step, vocabulary, text.encode())
        task = replace(
            task,
            first_logits=step.first_logits,
            grammar=grammar,
            options=DecodingOptions(draft),
            bias=None,
            max_context=None,
        )
        decoded = decode(step, task)
        if vocabulary.decode(decoded.tokens) != text.encode():
            raise InputError(f"nano was not made to write the true mask of {expression!r}")
        return decoded.stats.tokens, decoded.stats.passes


def things(data: Path, images: Path) -> Iterator[tuple[Path, ReferringTarget]]:
    """One thing of each image, drawn at random but always alike."""
    draw = random.Random(SEED)
    samples = read_jsonl(data, images)
    draw.shuffle(samples)
    for sample in samples:
        there = [asked for asked in sample.targets if asked.mask is not None]
        if there:
            yield sample.image, draw.choice(there)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.limit < 1:
        raise InputError(f"--limit is at least 1, got {arguments.limit}")
    asked_of = list(islice(things(arguments.data, arguments.images), arguments.limit))
    model: Any = Segmenter.from_pretrained("nano").model
    engines = [Engine(model, form, shape) for shape in (SMALL, LARGE) for form in FORMATS]
    clock = Clock()
    for image_path, asked in asked_of:
        image, expression = open_image(image_path), asked.expression
        mask = asked.to_mask(Size(image.height, image.width))
        generate, features = Generate(model, image), model.vision_encoder.encode(image)
        grids = {shape: mask_to_grid(mask, expression, shape) for shape in (SMALL, LARGE)}
        for engine in engines:
            text = engine.generator.form.encode(grids[engine.shape])
            if not clock.found:
                engine.write(features, expression, text, "row")  # grammars are compiled once
            if engine.shape == SMALL:
                write = partial(generate.force, expression, text, SMALL)
                clock.time(f"generate, {engine.form}", write)
            for draft in DRAFTS:
                write = partial(engine.write, features, expression, text, draft)
                clock.time(f"engine, {engine.form}, {engine.shape}, {draft}", write)
        print(f"{image_path.name}: {expression}", file=sys.stderr)
    return {
        "benchmark": "true_masks",
        "model": "nano",
        "masks": len(next(iter(clock.found.values()))),
        "seconds": clock.means(0),
        "tokens": clock.means(1),
        "passes": clock.means(2),
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "| way | tokens | passes | seconds a mask | of `generate, rrle` |",
        "|---|---|---|---|---|",
    ]
    whole = report["seconds"]["generate, rrle"]
    for name, seconds in report["seconds"].items():
        counts = f"{report['tokens'][name]:,.0f} | {report['passes'][name]:,.1f}"
        lines.append(f"| {name} | {counts} | {seconds:.2f} | {seconds / whole:.2f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Seconds to write true masks.")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="questions with masks, one a line")
    add("--images", type=Path, required=True, help="folder of the images")
    add("--limit", type=int, default=8, help="so many images (8)")
    add("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed)
    except Text4SegError as error:
        print(f"true_masks: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
