"""Training speed and peak memory against plain TRL, on the same samples, in one run.

    python -m benchmarks.train_speed [--steps 12] [--rounds 3] [--json FILE]

Both train the same toy model (an architecture of the table with random weights, on the CPU) with
the same adapter, batch and data. Plain TRL is `SFTTrainer` with its own collator for images, given
images that are already squares. Rounds alternate, each in a process of its own; the first steps of
each are not counted, and seconds are those of the processor, so that other work on the machine
counts little. The toy's tokens of a sample, and so its work, differ by a few: what is
compared is tokens a second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "examples" / "photos"
_WARM_UP = 4
_BATCH = 4
_LORA = {"rank": 16, "alpha": 32, "dropout": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=256, help="width of the language model")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--child", choices=("ours", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run = ours if arguments.child == "ours" else plain
        print(json.dumps(run(arguments.folder, arguments.steps)))
        return
    report = compare(arguments)
    print(table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.reference.small_families import Size, build
    from tests.reference.small_nano import small_tokenizer

    size = Size(hidden=arguments.hidden, layers=arguments.layers, vision=64, patches=16)
    found: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    with tempfile.TemporaryDirectory() as work:
        folder = build("smolvlm", Path(work) / "base", small_tokenizer(), size=size)
        for number in range(arguments.rounds):
            order = ("ours", "plain") if number % 2 == 0 else ("plain", "ours")
            for kind in order:
                found[kind].append(_child(kind, folder, arguments.steps))
    speed = [
        a["tokens_a_second"] / b["tokens_a_second"] for a, b in zip(*found.values(), strict=True)
    ]
    memory = [b["peak_bytes"] / a["peak_bytes"] for a, b in zip(*found.values(), strict=True)]
    return {
        "benchmark": "train_speed",
        "model": f"smolvlm, {arguments.hidden} wide, {arguments.layers} layers, random weights",
        "batch": _BATCH,
        "steps": arguments.steps,
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")),
        "rounds": found,
        "speed_ratio": statistics.median(speed),
        "memory_ratio": statistics.median(memory),
    }


def _child(kind: str, folder: Path, steps: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.train_speed", "--child", kind,
               "--folder", folder, "--steps", steps]  # fmt: skip
    done = subprocess.run(
        [str(w) for w in command], check=True, capture_output=True, text=True, cwd=ROOT
    )
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _recipe(folder: Path, steps: int, output: Path) -> Any:
    from text4seg.training.recipe import load_recipe

    file = output / "recipe.toml"
    file.write_text("")
    lora = [f"lora.{key}={value}" for key, value in _LORA.items()]
    return load_recipe(file, (
        f"model.folder={folder}", f"output={output}", f"data.train={IMAGES / 'examples.jsonl'}",
        f"data.images={IMAGES}", "data.limit=8", f"training.steps={steps}",
        f"training.batch={_BATCH}", f"training.device_batch={_BATCH}",
        "training.precision=float32", "training.gradient_checkpointing=false",
        f"training.save_every={steps + 1}", "report.every=1000", *lora,
    ))  # fmt: skip


def _clock() -> tuple[Any, list[float]]:
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.process_time())

    return Clock(), ends


def _figures(ends: list[float], tokens: int, steps: int) -> dict[str, float]:
    seconds = ends[-1] - ends[_WARM_UP - 1]
    return {
        "tokens_a_second": tokens * (steps - _WARM_UP) / seconds,
        "seconds_a_step": seconds / (steps - _WARM_UP),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def ours(folder: Path, steps: int) -> dict[str, float]:
    """What `text4seg train` does, with a clock on its trainer."""
    from text4seg.training.chats import read_chats
    from text4seg.training.tune_hf import HFTuner

    clock, ends = _clock()
    with tempfile.TemporaryDirectory() as work:
        recipe = _recipe(folder, steps, Path(work))
        tuner = HFTuner(recipe)
        chats = read_chats(recipe.data.train, recipe.data)
        tuner.fit(chats, Path(work), lambda *_: clock.on_step_end())
        collator = tuner.collator()
        lengths = [len(collator.encode(chat)[0].ids) for chat in chats]
    return _figures(ends, round(_BATCH * sum(lengths) / len(lengths)), steps)


def plain(folder: Path, steps: int) -> dict[str, float]:
    """TRL as its own examples use it, on the same chats."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTTrainer

    from text4seg.models.families import get_family
    from text4seg.models.hf.loading import load_folder
    from text4seg.training.chats import read_chats
    from text4seg.training.trainer import linear_modules
    from text4seg.training.tune_hf import trainer_settings

    clock, ends = _clock()
    with tempfile.TemporaryDirectory() as work:
        recipe = _recipe(folder, steps, Path(work))
        loaded = load_folder(folder)
        processor = loaded.processor
        for key, value in get_family("smolvlm").image_options.items():
            setattr(processor.image_processor, key, value)
        chats = read_chats(recipe.data.train, recipe.data)
        square = (loaded.side, loaded.side)
        rows = [
            {
                "images": [chat.open_image().resize(square)],
                "messages": [dict(message) for message in chat.messages],
            }
            for chat in chats
        ]
        settings = trainer_settings(recipe, Path(work) / "checkpoints", len(rows))
        settings.dataset_kwargs = None
        trainer = SFTTrainer(
            model=loaded.model,
            args=settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=processor,
            peft_config=LoraConfig(
                r=recipe.lora.rank,
                lora_alpha=recipe.lora.alpha,
                lora_dropout=recipe.lora.dropout,
                target_modules=linear_modules(loaded.model, loaded.family),
                task_type="CAUSAL_LM",
            ),
            callbacks=[clock],
        )
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))])
        tokens = int(batch["attention_mask"].sum())
        trainer.train()
    return _figures(ends, round(_BATCH * tokens / len(rows)), steps)


def table(report: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = ["| | tokens/s | s a step | peak GB |", "|---|---|---|---|"]
    for kind, name in {"ours": "`text4seg train`", "plain": "plain TRL"}.items():
        tokens, seconds, peak = (
            statistics.median(row[key] for row in report["rounds"][kind])
            for key in ("tokens_a_second", "seconds_a_step", "peak_bytes")
        )
        lines.append(f"| {name} | {tokens:.0f} | {seconds:.2f} | {peak / 1e9:.2f} |")
    ratios = report["speed_ratio"], report["memory_ratio"]
    lines.append(f"| ratio | **{ratios[0]:.3f}** | | **{ratios[1]:.3f}** |")
    return "\n".join([*lines, "", f"{report['model']}, batch {report['batch']}.", ""])


if __name__ == "__main__":
    main()
