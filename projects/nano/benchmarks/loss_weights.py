r"""Weights of run-length digits and of background rows in the loss of stage 2.

    python -m projects.nano.benchmarks.loss_weights \
        --data DIR --work DIR --sets SETS [--steps 120] --json

For each setting the language layers, reader and projector are trained anew, from SmolLM2's layers
and fresh readers, over the shipped fusion, on the same batches in the same order. Then the model
writes the masks of validation images as `rrle`. The training is far shorter than nano's, so the
figures tell how soon masks are right: their IoU with the fusion's cells, which are what there is to
write, and with the true masks. A setting that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from projects.nano.batches import Batches
from projects.nano.benchmarks.cells import SHAPE, add_arguments, by_image, open_store, true_cells
from projects.nano.scenes import read_collection
from projects.nano.stage2_writing import BatchSampler, train_decoder
from projects.nano.writing_samples import WritingConfig
from text4seg.metrics import iou
from text4seg.metrics.bootstrap import compare_ratios
from text4seg.models.nano.encoders.parts import get_parts
from text4seg.models.nano.encoders.smollm2 import read_language_model
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.nano_model import NanoModel
from text4seg.pretrained.weight_files import locate
from text4seg.prompts import question
from text4seg.segmenter import Segmenter

COMMAND = "python -m projects.nano.benchmarks.loss_weights --data DIR --work DIR --sets SETS"
AS_IT_IS = "as it is"
SETTINGS = {
    AS_IT_IS: (1.0, 1.0),
    "digits twice": (2.0, 1.0),
    "digits four times": (4.0, 1.0),
    "background rows a third": (1.0, 0.3),
    "both": (2.0, 0.3),
}
SETS = ("coco", "clothing")
SHAPE_STEPS = 40
_GRID = ((16, 16, 1.0),)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and curves")
    parser.add_argument("--steps", type=int, default=120, help=f"with {SHAPE_STEPS} of shapes")
    parser.add_argument("--every", type=int, default=4, help="of the questions, every so many")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, weights in SETTINGS.items():
        chat = learn(arguments, arguments.work / name.replace(" ", "-"), weights)
        rows[name] = ask(chat, arguments)
    record = {
        "benchmark": "loss_weights",
        "command": f"{COMMAND} --steps {arguments.steps}",
        "steps": arguments.steps,
        "questions": len(rows[AS_IT_IS]),
        "settings": {name: figures(found, rows[AS_IT_IS]) for name, found in rows.items()},
    }
    print(json.dumps(record, indent=1) if arguments.json else table(record))


def learn(arguments: argparse.Namespace, folder: Path, weights: tuple[float, float]) -> NanoModel:
    """nano, whose writing was learned anew with these weights."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    chat = NanoModel.load(arguments.weights)
    unlearn(chat)
    settings = WritingConfig(
        shape_steps=SHAPE_STEPS, image_steps=arguments.steps - SHAPE_STEPS, grids=_GRID,
        runs_share=1.0, digits_weight=weights[0], background_weight=weights[1],
    )  # fmt: skip
    scenes = list(read_collection(arguments.data, "train"))
    store = open_store(chat, arguments.features, arguments.data)
    names = chat.model.config.names
    batches = Batches(scenes, store, names, images=2, questions=4)
    sampler = BatchSampler(chat.model, chat.text, batches, names, settings)
    train_decoder(chat.model, sampler, settings=settings, folder=folder)
    chat.model.eval()
    return chat


def unlearn(chat: NanoModel) -> None:
    """Put SmolLM2's layers and fresh readers in the place of what nano learned to write with."""
    fresh = NanoForConditionalGeneration(chat.model.config)
    for part in ("image_projector", "reader", "run_reader"):
        chat.model.get_submodule(part).load_state_dict(fresh.get_submodule(part).state_dict())
    layers = read_language_model(locate("smollm2"), layers=len(chat.model.language.layers))
    layers["embed_tokens.weight"] = get_parts().embedding()
    chat.model.language.load_state_dict({k: v.float() for k, v in layers.items()})
    chat.model.float()
    chat.model.vqa_head = None


def ask(chat: NanoModel, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Score the written masks of every few questions whose cells are not empty."""
    store = open_store(chat, arguments.features, arguments.data)
    segmenter, found = Segmenter(chat, format="rrle"), []
    questions = [
        (image, record)
        for name in SETS
        for image, records in by_image(arguments.sets / f"{name}.jsonl").items()
        for record in records
        if record["mask"] is not None
    ]
    shown = Console(stderr=True)
    for image, record in track(questions[:: arguments.every], "writing", console=shown):
        features = store[arguments.data / image]
        chat.vision_encoder = SimpleNamespace(encode=lambda _, kept=features: kept)
        with torch.inference_mode():
            state = chat.model.fusion.encode_image(features[None].to(chat.model.dtype))
        target = chat.ground(state, question(record["expression"]))
        truth = true_cells(record["mask"])
        if truth is None or target.absent:
            continue
        seen = (target.logits[0] > 0).numpy().reshape(SHAPE.rows, SHAPE.cols)
        answer = segmenter(Image.open(arguments.data / image), record["expression"])
        written = answer.grid.cells > 0
        found.append({
            "image": image, "seen": iou(written, seen), "true": iou(written, truth),
            "passes": answer.stats.passes,
        })  # fmt: skip
    return found


def figures(rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means, and how much each overlap is above `others`, with 95 % of a bootstrap by image."""
    scores: dict[str, Any] = {"passes": float(np.mean([row["passes"] for row in rows]))}
    images = [row["image"] for row in rows]
    for kind in ("seen", "true"):
        here, there = (np.array([[row[kind], 1.0] for row in some]) for some in (rows, others))
        gain = compare_ratios(there, here, images).difference
        scores[kind] = float(here[:, 0].mean())
        scores[f"{kind}_gain"] = [gain.value, gain.low, gain.high]
    return scores


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        "| setting | digits | background rows | IoU of cells seen | gain | of true ones | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, scores in record["settings"].items():
        weights = " | ".join(f"{weight:g}" for weight in SETTINGS[name])
        seen, true = (
            f"{scores[kind]:.3f} | "
            + (
                ""
                if name == AS_IT_IS
                else "{:+.3f} ({:+.3f} to {:+.3f})".format(*scores[f"{kind}_gain"])
            )
            for kind in ("seen", "true")
        )
        lines.append(f"| {name} | {weights} | {seen} | {true} |")
    return "\n".join([*lines, "", f"{record['steps']} steps, {record['questions']} questions."])


if __name__ == "__main__":
    main()
