"""Tokens and forward passes a mask, on the masks of a COCO annotation file.

    python benchmarks/passes.py --coco instances.json --grid 16x16,64x64 --json

Every object over 0.5 % of its image becomes a grid (cells at least half covered) under its class
name, and the engine writes it once with each draft. The model is a script that always chooses the
true text, so the engine, the grammar and the tokenizer are real and only the model's opinion is
not. `row` drafts to the end of the mask whatever a longer pass costs; `row, paced` is what the
engine does by default, for a CPU. `--drafts` takes some of them only, since one token a pass makes
the large grids slow.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.annotations import SEED, SMALLEST_SHARE, read_outlines
from text4seg.codec import get_format
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.geometry import mask_to_grid, polygons_to_mask
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape
from text4seg.decoding import (
    UNBOUNDED,
    DecodingOptions,
    DecodingStats,
    DecodingTask,
    PassCost,
    Vocabulary,
    compile_mask_grammar,
    decode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Bool, Float32
    from tokenizers import Tokenizer

FORMATS = ("sd", "rrle")
DRAFTS = {
    "none": ("none", UNBOUNDED),
    "forced": ("forced", UNBOUNDED),
    "row": ("row", UNBOUNDED),
    "row, paced": ("row", PassCost()),
}
COUNTED = ("passes", "fed", "drafted", "accepted", "seconds")
ENDS = ("<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>", "<end>")

Texts = dict[tuple[GridShape, str], list[tuple[str, str]]]


class Script:
    """A step that always chooses the next token of a text, wherever its cache has got to in it."""

    def __init__(self, vocabulary: Vocabulary, text: bytes) -> None:
        self._vocabulary = vocabulary
        self._text = text
        self._next: dict[int, int] = {}
        place = 0
        for token in vocabulary.encode(text):
            self._next[place] = token
            place += len(vocabulary.tokens[token])
        self._places = [0]  # bytes in the cache after each token
        self._row = np.zeros(len(vocabulary), dtype=np.float32)
        self._chosen = 0

    def row_at(self, place: int) -> Float32[np.ndarray, " vocab"]:
        """The logits after `place` bytes of the text; overwritten by the next call."""
        if place not in self._next:  # the grammar's forced tokens ended within one of the text's
            rest = self._vocabulary.encode(self._text[place:])
            self._next[place] = rest[0] if rest else self._vocabulary.eos
        self._row[self._chosen] = 0.0
        self._chosen = self._next[place]
        self._row[self._chosen] = 1.0
        return self._row

    def __call__(self, tokens: Sequence[int]) -> _Rows:
        first = len(self._places)
        for token in tokens:
            self._places.append(self._places[-1] + len(self._vocabulary.tokens[token]))
        return _Rows(self, self._places[first:])

    def rollback(self, n: int) -> None:
        del self._places[len(self._places) - n :]


class _Rows:
    """Logits made where they are read: a draft of 500 tokens need not cost 300 MB."""

    def __init__(self, script: Script, places: list[int]) -> None:
        self._script = script
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Float32[np.ndarray, " vocab"]:
        return self._script.row_at(self._places[index])


def read_masks(file: Path) -> Iterator[tuple[str, Bool[np.ndarray, "h w"]]]:
    """Class name and mask of each object over 0.5 % of its image, shuffled; no crowds."""
    for name, size, outline in read_outlines(file):
        if isinstance(outline, dict):
            mask = rle_to_mask(outline)
        else:
            mask = polygons_to_mask(outline, size)
        if mask.mean() > SMALLEST_SHARE:
            yield name, mask


def read_texts(file: Path, shapes: Sequence[GridShape], limit: int) -> Texts:
    """By grid and format: class name and mask text of so many objects."""
    texts: Texts = {(shape, name): [] for shape in shapes for name in FORMATS}
    for label, mask in islice(read_masks(file), limit):
        for (shape, name), found in texts.items():
            found.append((label, get_format(name).encode(mask_to_grid(mask, label, shape))))
    if not next(iter(texts.values())):
        raise InputError(f"{file} holds no object over {SMALLEST_SHARE:.1%} of its image")
    return texts


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """A byte-level tokenizer's tokens as bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable}
    byte_of |= {chr(256 + place): byte for place, byte in enumerate(hidden)}
    special = tokenizer.get_added_tokens_decoder()
    vocabulary = tokenizer.get_vocab()
    tokens = [b""] * (max(vocabulary.values()) + 1)
    for token, index in vocabulary.items():
        if index not in special:
            tokens[index] = bytes(byte_of[char] for char in token)
    ends = [vocabulary[end] for end in ENDS if end in vocabulary]
    if not ends:
        raise InputError(f"the tokenizer has none of the end tokens {', '.join(ENDS)}")

    def encode(text: bytes) -> list[int]:
        ids: list[int] = tokenizer.encode(text.decode(), add_special_tokens=False).ids
        return ids

    return Vocabulary(tokens, ends[0], encode, special=special)


def open_tokenizer(file: Path | None) -> tuple[str, Tokenizer]:
    """A `tokenizer.json`, or SmolLM2's out of the embedded model's parts."""
    from tokenizers import Tokenizer

    if file is not None:
        try:
            return file.name, Tokenizer.from_str(file.read_text())
        except Exception as error:  # noqa: BLE001 - the library raises nothing more particular
            raise InputError(f"{file} is not a tokenizer file: {error}") from None
    from text4seg.models.nano.encoders.parts import get_parts

    return "SmolLM2", get_parts().tokenizer()


def write(
    vocabulary: Vocabulary, kind: tuple[GridShape, str], label: str, text: bytes, drafts: list[str]
) -> dict[str, DecodingStats]:
    """What writing this text costs with each draft; the engine must write it exactly."""
    shape, name = kind
    grammar = compile_mask_grammar(get_format(name), shape, (label,), vocabulary)
    stats = {}
    for title in drafts:
        draft, pass_cost = DRAFTS[title]
        script = Script(vocabulary, text)
        options = DecodingOptions(draft)
        task = DecodingTask(script.row_at(0), grammar, options, pass_cost=pass_cost)
        decoded = decode(script, task)
        if vocabulary.decode(decoded.tokens) != text:
            raise InputError(f"draft {title!r} did not write the true text of a {label!r}")
        stats[title] = decoded.stats
    return stats


def summarize(all_stats: Sequence[dict[str, DecodingStats]]) -> dict[str, Any]:
    """Means over masks."""

    def mean(title: str, key: str) -> float:
        return float(np.mean([asdict(stats[title])[key] for stats in all_stats]))

    titles = list(all_stats[0])
    decisions = [stats[titles[0]].decisions for stats in all_stats]
    return {
        "masks": len(all_stats),
        "tokens": mean(titles[0], "tokens"),
        "decisions": float(np.mean(decisions)),
        "drafts": {title: {key: mean(title, key) for key in COUNTED} for title in titles},
    }


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """All grids and formats, with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import track

    if arguments.limit < 1:
        raise InputError(f"--limit is at least 1, got {arguments.limit}")
    shapes = [GridShape.parse(text) for text in arguments.grid.split(",")]
    drafts = [title for title in DRAFTS if title in arguments.drafts.split(";")]
    if len(drafts) < len(arguments.drafts.split(";")):
        raise InputError(f"--drafts are of {'; '.join(DRAFTS)}, got {arguments.drafts!r}")
    title, tokenizer = open_tokenizer(arguments.tokenizer)
    vocabulary = vocabulary_of(tokenizer)
    results = []
    for kind, texts in read_texts(arguments.coco, shapes, arguments.limit).items():
        bar = track(
            texts,
            description=" ".join(map(str, kind)),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        costs = [write(vocabulary, kind, label, text.encode(), drafts) for label, text in bar]
        results.append({"grid": str(kind[0]), "format": kind[1], **summarize(costs)})
    return {
        "benchmark": "passes",
        "coco": arguments.coco.name,
        "tokenizer": title,
        "seed": SEED,
        "results": results,
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    titles = [title for title in DRAFTS if any(title in r["drafts"] for r in report["results"])]
    columns = ["grid", "format", "masks", "tokens", "decisions", *(f"passes, {t}" for t in titles)]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for result in report["results"]:
        counts = [f"{result[key]:,.0f}" for key in ("masks", "tokens", "decisions")]
        drafts = result["drafts"]
        passes = [f"{drafts[t]['passes']:,.1f}" if t in drafts else "–" for t in titles]
        lines.append(f"| {' | '.join([result['grid'], result['format'], *counts, *passes])} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Tokens and forward passes a mask.")
    add = parser.add_argument
    add("--coco", type=Path, required=True, help="annotation file (instances_*.json)")
    add("--grid", default="16x16,64x64", help="ROWSxCOLS, several with commas")
    add("--limit", type=int, default=300, help="so many masks, drawn at random (300)")
    add("--drafts", default=";".join(DRAFTS), help=f"some of {'; '.join(DRAFTS)} (all)")
    add("--tokenizer", type=Path, help="tokenizer.json of a byte-level BPE; default SmolLM2's")
    add("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed)
    except Text4SegError as error:
        print(f"passes: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
