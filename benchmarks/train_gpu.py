"""Training on one GPU: speed, peak memory and utilization, with the plan's estimates beside them.

    python -m benchmarks.train_gpu [--json FILE]        (on a GPU)
    python -m benchmarks.train_gpu --tiny               (anywhere: does it run?)

Trains an architecture of Qwen2.5-VL 3B's dimensions with random weights by the settings of
`recipes/one-gpu-qlora.toml`, through what `text4seg train` runs. Nothing is fetched: the model is
made on the device, written to a temporary folder (7.5 GB) and loaded as any model is, in four bits
where bitsandbytes is there. A step is a batch of chats about the three images of `examples/photos`,
stretched to squares of 448 pixels. The tokenizer is a toy's, so an answer has more tokens than
Qwen's would give it: tokens a second say more than samples a second. The first steps are not
counted.

Utilization is by the convention of PaLM (Chowdhery et al. 2022, appendix B): the operations that
the training needs, over what the card could do. A weight that is trained asks for 6 operations a
token (forward 2, backward 2 for its input and 2 for itself); a frozen one below which something is
trained for 4; the frozen vision encoder for 2 a patch, as nothing below it learns; the output layer
for 4 at the answer's tokens, as only they have a loss. What gradient checkpointing computes a
second time (2 a token more, in the language layers) is not part of it: it counts in
"with recomputing" alone. The products inside attention are left out of both: 3 % at these lengths.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.train_speed import IMAGES, ROOT

FAMILY = "qwen2_5_vl"
# `config.json` of Qwen/Qwen2.5-VL-3B-Instruct.
TEXT = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24],
    },
}  # fmt: skip
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 2048,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
# Tera-operations a second of dense bfloat16 products, as NVIDIA's data sheets have them.
PEAKS = {
    "A10": 125.0,
    "A100": 312.0,
    "L4": 121.0,
    "L40S": 362.0,
    "H100": 989.0,
    "H100 NVL": 835.0,
    "H100 PCIe": 756.0,
    "H200": 989.0,
    "B200": 2250.0,
    "RTX 3090": 71.0,
    "RTX 4090": 165.0,
}
_WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=13, help=f"{_WARM_UP} of them uncounted")
    parser.add_argument("--batch", type=int, default=8, help="samples a step, all at once")
    parser.add_argument("--tiny", action="store_true", help="a toy instead; runs on a CPU")
    parser.add_argument("--no-4bit", action="store_true", help="keep the weights in 16 bits")
    parser.add_argument("--peak-tflops", type=float, help="what the card can do in bfloat16")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if arguments.steps <= _WARM_UP:
        parser.error(f"--steps must be above {_WARM_UP}")
    try:
        device, peak = find_device(arguments)
    except ValueError as error:
        parser.error(str(error))
    report = measure(arguments, device, peak)
    print(table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


def find_peak(card: str) -> float:
    """Tera-operations a second of a card by its name; raises `ValueError` for an unknown one."""
    words = set(re.split(r"[\s-]+", card))
    known = [name for name in PEAKS if words.issuperset(name.split())]
    if not known:
        raise ValueError(
            f"no peak is known for {card!r}: give its dense bfloat16 figure with --peak-tflops"
        )
    return PEAKS[max(known, key=lambda name: len(name.split()))]


def find_device(arguments: argparse.Namespace) -> tuple[str, float | None]:
    """The card and its peak; the CPU has none. Raises `ValueError` for what cannot be measured."""
    import torch

    if torch.cuda.is_available():
        card = torch.cuda.get_device_name()
        return card, arguments.peak_tflops or find_peak(card)
    if not arguments.tiny:
        raise ValueError("torch sees no GPU here: --tiny tries the benchmark on a CPU")
    return "CPU", None


def measure(arguments: argparse.Namespace, device: str, peak: float | None) -> dict[str, Any]:
    """Build, plan, train; the record. `peak` is in tera-operations a second."""
    import torch

    from text4seg.training.chats import read_chats
    from text4seg.training.estimate import estimate
    from text4seg.training.tune_hf import HFTuner

    gpu = torch.cuda.is_available()
    quantized = gpu and not arguments.no_4bit and find_spec("bitsandbytes") is not None
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "base"
        build(folder, "cuda" if gpu else "cpu", tiny=arguments.tiny)
        recipe = make_recipe(
            arguments, folder, Path(work), quantize="4bit" if quantized else "none"
        )
        planned = estimate(recipe)
        tuner = HFTuner(recipe)
        chats = read_chats(recipe.data.train, recipe.data)
        rows = [tuner.collator().encode(chat) for chat in chats]
        ends: list[float] = []

        def note(*_: Any) -> None:
            if gpu:
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

        if gpu:
            torch.cuda.reset_peak_memory_stats()
        tuner.fit(chats, Path(work), note)
        used = torch.cuda.max_memory_allocated() if gpu else None
        work_done = count(folder, recipe.lora.rank, [
            (len(row.ids), sum(label >= 0 for label in row.labels), len(extras["pixel_values"]))
            for row, extras in rows
        ])  # fmt: skip
    seconds = statistics.median(b - a for a, b in pairwise(ends[_WARM_UP - 1 :]))
    tokens = sum(len(row.ids) for row, _ in rows)
    return {
        "benchmark": "train_gpu",
        "model": f"{FAMILY}, {planned.parameters / 1e6:.1f} M parameters, random weights",
        "device": device,
        "weights": "four bits" if quantized else "bfloat16",
        "batch": len(rows),
        "steps": arguments.steps,
        "tokens_a_sample": tokens / len(rows),
        "seconds_a_step": seconds,
        "samples_a_second": len(rows) / seconds,
        "tokens_a_second": tokens / seconds,
        "peak_bytes": used,
        "tera_operations_a_step": work_done.lesson / 1e12,
        "peak_tera_operations": peak,
        "utilization": work_done.lesson / seconds / peak / 1e12 if peak else None,
        "utilization_with_recomputing": work_done.all / seconds / peak / 1e12 if peak else None,
        "planned": {
            "bytes": planned.memory,
            "weights": planned.weights,
            "trained": planned.adapter,
            "activations": planned.activations,
            "seconds_a_step": planned.hours * 3600 / planned.steps,
        },
    }


def build(folder: Path, device: str, *, tiny: bool) -> None:
    """Write a model of random weights in bfloat16, made on the device, and a toy's tokenizer."""
    import torch
    from transformers import AutoModelForImageTextToText

    from tests.reference.small_families import Size, numbered, save_reading
    from tests.reference.small_nano import small_tokenizer

    size = Size() if tiny else Size(patch=14, patches=32)
    joined, ids = numbered(FAMILY, small_tokenizer())
    made: Any = AutoModelForImageTextToText
    with torch.device(device):
        model = made.from_config(make_config(size, ids, tiny=tiny), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    save_reading(FAMILY, folder, joined, size)


def make_config(size: Any, ids: dict[str, int], *, tiny: bool) -> Any:
    """The architecture: the family's toy, or with the dimensions above."""
    from transformers import AutoConfig

    from tests.reference.small_families import RECIPES

    settings = RECIPES[FAMILY].config(size, ids)
    if not tiny:
        settings["text_config"] |= TEXT
        settings["vision_config"] |= VISION
        settings["tie_word_embeddings"] = True
    return AutoConfig.for_model(FAMILY, **settings)


def make_recipe(arguments: argparse.Namespace, folder: Path, work: Path, *, quantize: str) -> Any:
    """The recipe for one GPU, with a batch of the example chats, some of them more than once."""
    from text4seg.training.recipe import load_recipe

    lines = (IMAGES / "examples.jsonl").read_text().splitlines()
    data = work / "train.jsonl"
    data.write_text("\n".join(lines[i % len(lines)] for i in range(arguments.batch)) + "\n")
    return load_recipe(ROOT / "recipes" / "one-gpu-qlora.toml", (
        f"model.folder={folder}", f"model.quantize={quantize}", f"output={work / 'run'}",
        f"data.train={data}", f"data.images={IMAGES}",
        f"training.steps={arguments.steps}", f"training.save_every={arguments.steps + 1}",
        f"training.batch={arguments.batch}", f"training.device_batch={arguments.batch}",
    ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operations:
    """Of a step: what the training needs, and with what checkpointing computes once more."""

    lesson: float
    all: float


def count(folder: Path, rank: int, samples: list[tuple[int, int, int]]) -> Operations:
    """Operations of a step of samples, each given as its tokens, answer tokens and patches."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from text4seg.models.families import get_family

    family = get_family(FAMILY)
    made: Any = AutoModelForImageTextToText
    with torch.device("meta"):
        model = made.from_config(AutoConfig.from_pretrained(folder))
    weights = dict.fromkeys(("language", "projector", "encoder", "head"), 0)
    adapters = dict.fromkeys(weights, 0)
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear | torch.nn.Conv3d):
            continue
        part = "encoder"
        if module is model.get_output_embeddings():
            part = "head"
        elif name.startswith((f"{family.language}.", f"{family.projector}.")):
            part = "language" if name.startswith(f"{family.language}.") else "projector"
            adapters[part] += rank * sum(module.weight.shape)
        weights[part] += module.weight.numel()
    tokens, answers, patches = (sum(of) for of in zip(*samples, strict=True))
    seen = patches / model.config.vision_config.spatial_merge_size**2
    lesson = (
        tokens * (4 * weights["language"] + 6 * adapters["language"])
        + seen * (4 * weights["projector"] + 6 * adapters["projector"])
        + answers * 4 * weights["head"]
        + patches * 2 * weights["encoder"]
    )
    again = tokens * 2 * (weights["language"] + adapters["language"])
    return Operations(float(lesson), float(lesson + again))


def table(report: dict[str, Any]) -> str:
    """The record as Markdown."""
    planned, used = report["planned"], report["peak_bytes"]
    giga = 1e9
    rows = [
        ("samples/s", f"{report['samples_a_second']:.2f}", ""),
        ("tokens/s", f"{report['tokens_a_second']:.0f}", ""),
        ("s a step", f"{report['seconds_a_step']:.3f}", f"{planned['seconds_a_step']:.3f}"),
        ("peak GB", f"{used / giga:.2f}" if used else "–", f"{planned['bytes'] / giga:.2f}"),
    ]
    if report["utilization"] is not None:
        rows.append(("utilization", f"{report['utilization']:.1%}", ""))
        again = report["utilization_with_recomputing"]
        rows.append(("with recomputing", f"{again:.1%}", ""))
    parts = ", ".join(
        f"{name} {planned[name] / giga:.2f}" for name in ("weights", "trained", "activations")
    )
    notes = [
        f"{report['model']}, weights in {report['weights']}, on {report['device']}.",
        f"Batch {report['batch']}, {report['tokens_a_sample']:.0f} tokens a sample.",
        f"Planned GB: {parts}.",
    ]
    if report["utilization"] is None:
        notes.append("No GPU: peak memory and utilization are left out.")
    else:
        notes.append(f"Taken to reach {report['peak_tera_operations']:g} tera-operations a second.")
    if report["weights"] != "four bits":
        notes.append("Not in four bits, which takes a GPU and bitsandbytes: not the recipe's way.")
    lines = ["| | measured | planned |", "|---|---|---|"]
    lines += [f"| {name} | {there} | {guess} |" for name, there, guess in rows]
    return "\n".join([*lines, "", *notes, ""])


if __name__ == "__main__":
    main()
