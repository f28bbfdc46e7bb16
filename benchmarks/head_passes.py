"""Forward passes a mask with each drafter, on nano's own texts.

    python benchmarks/head_passes.py --data coco.jsonl --images DIR --keep texts.jsonl --json

Nano answers every question once; its text and the log-odds of its cell head are kept (`--keep`; a
run stopped by `--minutes` continues with the same call). Then the engine decodes each text again
with each drafter, without limiting the draft's length, and a script in place of the model: only
passes are counted. `--data` is written by `projects/nano/benchmarks/evaluation_sets.py`; several
files are separated by commas.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.passes import Script, open_tokenizer, vocabulary_of
from benchmarks.rounding import questions
from text4seg.codec import get_format
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.types import GridShape
from text4seg.decoding import (
    UNBOUNDED,
    DecodingOptions,
    DecodingTask,
    DraftContext,
    compile_mask_grammar,
    decode,
)
from text4seg.images import open_image
from text4seg.segmenter import Segmenter

SHAPE = GridShape(16, 16)
FORMATS = ("sd", "rrle")
DRAFTS = ("row", "head", "auto")


def write_all(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What nano writes and its head sees, question by question; kept ones are not asked again."""
    kept = read_kept(arguments.keep)
    done = {(row["image"], row["expression"]) for row in kept}
    deadline = time.monotonic() + 60 * arguments.minutes
    files = [Path(name) for name in arguments.data.split(",")]
    asked = questions(files, arguments.images)
    generators: dict[str, Any] = {}
    for image, texts in asked:
        left = [text for text in texts if (image.name, text) not in done]
        if len(kept) >= arguments.limit or time.monotonic() > deadline:
            break
        if not left:
            continue
        if not generators:
            first = Segmenter.from_pretrained("nano")
            generators = {name: Segmenter(first.model, format=name).generator for name in FORMATS}
        session = first.model.encode_image(open_image(image))
        for text in left:
            kept.append(write_one(generators, session, text) | {"image": image.name})
            if arguments.keep is not None:
                with arguments.keep.open("a") as file:
                    file.write(json.dumps(kept[-1]) + "\n")
        print(f"{len(kept)} questions", file=sys.stderr)
    return kept


def write_one(generators: dict[str, Any], session: Any, expression: str) -> dict[str, Any]:
    prompt = generators["sd"].prepare(session, expression).prompt
    texts = {name: one.generate(session, expression).text for name, one in generators.items()}
    odds = np.round(prompt.cell_log_odds, 2).tolist()
    return {"expression": expression, "absent": prompt.absent, "odds": odds, **texts}


def read_kept(file: Path | None) -> list[dict[str, Any]]:
    if file is None or not file.exists():
        return []
    try:
        return [json.loads(line) for line in file.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{file} does not hold what this benchmark kept: {error}") from None


def count(rows: Sequence[dict[str, Any]]) -> Iterator[dict[tuple[str, str], int]]:
    """Passes of each question with each draft."""
    _, tokenizer = open_tokenizer(None)
    vocabulary = vocabulary_of(tokenizer)
    for row in rows:
        passes = {}
        labels = () if row["absent"] else (row["expression"],)
        for name in FORMATS:
            grammar = compile_mask_grammar(get_format(name), SHAPE, labels, vocabulary)
            context = DraftContext(
                grammar.syntax, SHAPE, row["expression"], cell_log_odds=np.array(row["odds"])
            )
            text = row[name].encode()
            for draft in DRAFTS:
                script = Script(vocabulary, text)
                options, first = DecodingOptions(draft), script.row_at(0)
                task = DecodingTask(first, grammar, options, context, pass_cost=UNBOUNDED)
                found = decode(script, task)
                if vocabulary.decode(found.tokens) != text:
                    raise InputError(f"the text of {row['expression']!r} was not written")
                passes[name, draft] = found.stats.passes
        yield passes


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.limit < 1:
        raise InputError(f"--limit is at least 1, got {arguments.limit}")
    rows = write_all(arguments)
    if not rows:
        raise InputError("no question was answered in this time")
    passes = list(count(rows))
    marked = [row["expression"] in row["sd"] for row in rows]
    results = []
    for name in FORMATS:
        for draft in DRAFTS:
            found = np.array([one[name, draft] for one in passes])
            there = found[marked] if any(marked) else np.zeros(1)
            results.append(
                {
                    "format": name,
                    "draft": draft,
                    "passes": float(found.mean()),
                    "passes_marked": float(there.mean()),
                }
            )
    return {
        "benchmark": "head_passes",
        "model": "nano",
        "grid": str(SHAPE),
        "masks": len(rows),
        "marked": sum(marked),
        "results": results,
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    heads = ("format", "draft", f"passes, all {report['masks']}")
    lines = [f"| {' | '.join(heads)} | {report['marked']} with a mask |", "|---|---|---|---|"]
    for one in report["results"]:
        cells = [one["format"], f"`{one['draft']}`"]
        cells += [f"{one[key]:.1f}" for key in ("passes", "passes_marked")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Passes a mask on nano's own texts.")
    add = parser.add_argument
    add("--data", required=True, help="files of questions, one a line; several with commas")
    add("--images", type=Path, required=True, help="folder of the images")
    add("--limit", type=int, default=300, help="so many questions, or a few more (300)")
    add("--minutes", type=float, default=1e6, help="stop asking after so long")
    add("--keep", type=Path, help="file of nano's texts; a later call goes on from it")
    add("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed)
    except Text4SegError as error:
        print(f"head_passes: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
