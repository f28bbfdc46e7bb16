"""How nano's thresholds are chosen on validation images, and how optimistic that choice is.

    python -m projects.nano.benchmarks.gates --data DIR --sets SETS [--features DIR] --json

A target counts as absent if no cell's logit reaches a threshold: one for garments, one for all
else. The rule: the lowest threshold that leaves empty at least 95 % (or 90 %) of the absent
targets. For comparison, the threshold of the largest gIoU.

The check: images are halved at random, with all questions of an image in one half; a threshold is
chosen on one half and scored on the other, both ways, 200 times. `loss` is what that costs against
choosing on the scored images themselves. IoU is of the fusion's target logits above 0.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from projects.nano.benchmarks.cells import CellPrediction, add_arguments, open_store, predict_cells
from text4seg.models.nano.nano_model import NanoModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GATES = np.round(np.arange(-1.0, 4.05, 0.1), 2)
WANTED = {"coco": 0.95, "clothing": 0.9}
KINDS = {"coco": "presence", "clothing": "look_alike"}
HALVINGS = 200
SEED = 2026
COMMAND = "python -m projects.nano.benchmarks.gates --data DIR --sets SETS --json"
SHOWN = {"iou": "IoU", "miss_rate": "false empties", "n_acc": "absent, empty"}

Scores = np.ndarray
"""`images gates 5`: sum of IoU, things missed, things, absents left empty, absents."""


def tally(seen: Sequence[CellPrediction]) -> Scores:
    """Counts of each image under each gate."""
    images = {name: index for index, name in enumerate(dict.fromkeys(one.image for one in seen))}
    sums = np.zeros((len(images), len(GATES), 5))
    for one in seen:
        row = sums[images[one.image]]
        marked = one.logits > 0
        kept = (float(one.logits.max()) >= GATES) & bool(marked.any())
        if one.truth is None:
            row[:, 3] += ~kept
            row[:, 4] += 1
        else:
            overlap = float((marked & one.truth).sum() / (marked | one.truth).sum())
            row[:, 0] += kept * overlap
            row[:, 1] += ~kept
            row[:, 2] += 1
    return sums


def score(sums: Scores) -> dict[str, np.ndarray]:
    """Of the images together, each figure under every gate."""
    overlap, missed, there, empty, absent = sums.sum(axis=0).T
    return {
        "iou": overlap / np.maximum(there, 1),
        "miss_rate": missed / np.maximum(there, 1),
        "n_acc": empty / np.maximum(absent, 1),
        "giou": (overlap + empty) / np.maximum(there + absent, 1),
    }


def lowest(wanted: float) -> Callable[[dict[str, np.ndarray]], int]:
    """The lowest gate that leaves that share of the absent things empty; else the best one."""

    def choose(scores: dict[str, np.ndarray]) -> int:
        enough = np.flatnonzero(scores["n_acc"] >= wanted)
        return int(enough[0]) if len(enough) else int(scores["n_acc"].argmax())

    return choose


def largest_giou(scores: dict[str, np.ndarray]) -> int:
    return int(scores["giou"].argmax())


def check(sums: Scores, choose: Callable[[dict[str, np.ndarray]], int]) -> dict[str, Any]:
    """The gate of all images, its figures; the figures of gates that other images chose."""
    everything = score(sums)
    index = choose(everything)
    random, gates = np.random.default_rng(SEED), []
    others: dict[str, list[float]] = {name: [] for name in everything}
    own: dict[str, list[float]] = {name: [] for name in everything}
    for _ in range(HALVINGS):
        order = random.permutation(len(sums))
        halves = [score(sums[part]) for part in np.array_split(order, 2)]
        for chosen_on, scored_on in (halves, halves[::-1]):
            gate = choose(chosen_on)
            gates.append(float(GATES[gate]))
            for name, values in scored_on.items():
                others[name].append(float(values[gate]))
                own[name].append(float(values[choose(scored_on)]))
    mean = {name: float(np.mean(values)) for name, values in others.items()}
    return {
        "gate": float(GATES[index]),
        "chosen on all": {name: float(values[index]) for name, values in everything.items()},
        "chosen on the other half": mean,
        "loss": {name: float(np.mean(own[name])) - mean[name] for name in mean},
        "gates": [float(value) for value in np.percentile(gates, (5, 50, 95))],
    }


def at(sums: Scores, gate: float) -> dict[str, float]:
    """Figures under a given gate, the nearest of `GATES`."""
    index = int(np.abs(GATES - gate).argmin())
    return {name: float(values[index]) for name, values in score(sums).items()}


def table(record: dict[str, Any]) -> str:
    """Markdown: a row for each set, rule and choice."""
    heading = ["set", "rule", "chosen on", "gate", *SHOWN.values(), "gIoU"]
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    for name, found in record["sets"].items():
        lines.append(row(name, "as shipped", "–", f"{found['shipped gate']:.1f}", found["shipped"]))
        for rule, result in found["rules"].items():
            low, middle, high = result["gates"]
            spread = f"{middle:.1f} ({low:.1f} to {high:.1f})"
            lines.append(row(name, rule, "all", f"{result['gate']:.1f}", result["chosen on all"]))
            lines.append(row(name, rule, "other half", spread, result["chosen on the other half"]))
    return "\n".join([*lines, "", f"Measured by `{record['command']}`"])


def row(name: str, rule: str, chosen: str, gate: str, found: dict[str, float]) -> str:
    cells = [name, rule, chosen, gate, f"{found['iou']:.3f}"]
    cells += [f"{found['miss_rate']:.1%}", f"{found['n_acc']:.1%}"]
    return "| " + " | ".join([*cells, f"{found['giou']:.3f}"]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description="How sure the choice of nano's gates is.")
    add_arguments(parser)
    arguments = parser.parse_args()
    chat = NanoModel.load(arguments.weights)
    store = open_store(chat, arguments.features, arguments.data)
    sets = {}
    for name, wanted in WANTED.items():
        seen = predict_cells(chat, store, arguments.data, arguments.sets / f"{name}.jsonl")
        sums = tally([one for one in seen if one.gate == KINDS[name]])
        gate = chat.model.config.threshold(KINDS[name]) or -np.inf
        rules = {f"{wanted:.0%} of absents": lowest(wanted), "largest gIoU": largest_giou}
        sets[name] = {
            "questions": int(sums[:, 0, [2, 4]].sum()),
            "images": len(sums),
            "shipped gate": gate,
            "shipped": at(sums, gate),
            "rules": {rule: check(sums, choose) for rule, choose in rules.items()},
        }
    record = {"benchmark": "gates", "command": COMMAND, "halvings": HALVINGS, "sets": sets}
    print(json.dumps(record, indent=1) if arguments.json else table(record))


if __name__ == "__main__":
    main()
