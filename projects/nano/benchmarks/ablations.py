"""What nano's fusion owes to each frozen encoder and to each way of matching words.

    python -m projects.nano.benchmarks.ablations --data DIR --sets SETS [--features DIR] --json
    python -m projects.nano.benchmarks.ablations … --steps 100 --work DIR --json

Each is taken away while a question is asked: features are replaced by their mean, the detector's
map by "nothing found", matching channels by zero. That overstates the loss, since the fusion has
learned to rely on them. With `--steps` the fusion is also trained for so long without it, from the
shipped weights (`learned`; "all" is what those rows compare with). That still starts from weights
that were trained with everything, so the truth lies between the two.

Grid IoU of the fusion's target logits above 0, without a threshold.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from projects.nano.batches import Batches
from projects.nano.benchmarks.cells import (
    CELL_ROWS,
    CellPrediction,
    add_arguments,
    figures,
    open_store,
    predict_cells,
)
from projects.nano.scenes import read_collection
from projects.nano.stage1_grounding import GroundingConfig, QuestionEncoder, train_grounding
from text4seg.models.nano.encoders import efficientnet
from text4seg.models.nano.encoders.parts import get_parts
from text4seg.models.nano.encoders.vision import CHANNELS, DETECTOR_CHANNELS
from text4seg.models.nano.nano_model import NanoModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projects.nano.batches import ImageBatch
    from projects.nano.feature_store import FeatureStore
    from projects.nano.scenes import Scene
    from text4seg.models.nano.fusion import Fusion

VISUAL = CHANNELS - DETECTOR_CHANNELS
LITE = efficientnet.FINAL_CHANNELS + efficientnet.MIDDLE_CHANNELS
EFFICIENTNET, TINYVIT, DETECTOR = (0, LITE), (LITE, VISUAL), (VISUAL, CHANNELS)
IMAGES, QUESTIONS = 4, 6
RATE, WARM_UP, AVERAGE, KEEP_EVERY = 3e-4, 10, 0.97, 25
COMMAND = "python -m projects.nano.benchmarks.ablations --data DIR --sets SETS"


@dataclass(frozen=True, slots=True)
class Without:
    """What is taken away: ranges of feature channels, modules of the fusion that say nothing."""

    channels: tuple[tuple[int, int], ...] = ()
    modules: tuple[str, ...] = ()

    def change(self, features: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """Replace the features of encoders by their mean, the detector's by nothing found."""
        changed = features.clone()
        for start, stop in self.channels:
            changed[..., :CELL_ROWS, start:stop] = 0.0 if start >= VISUAL else mean[start:stop]
            if start >= VISUAL:
                changed[..., CELL_ROWS:, :] = 0.0  # the boxes one by one
        return changed

    def silence(self, fusion: Fusion) -> None:
        """Makes the modules give zero, and keeps them from learning."""
        for name in self.modules:
            for parameter in fusion.get_submodule(name).parameters():
                with torch.no_grad():
                    parameter.zero_()
                parameter.requires_grad_(False)


ABLATIONS = {
    "all": Without(),
    "without EfficientNet": Without((EFFICIENTNET,)),
    "without TinyViT": Without((TINYVIT,)),
    "without the detector": Without((DETECTOR,)),
    "the detector alone": Without((EFFICIENTNET, TINYVIT)),
    "without matching by meaning": Without(modules=("open.channels.2",)),
    "without matching by tokens": Without(modules=("match",)),
    "without either matching": Without(modules=("open.channels.2", "match")),
}
LEARNED = (
    *("all", "without EfficientNet", "without TinyViT", "without the detector"),
    *("without matching by meaning", "without either matching"),
)


class Ablation:
    """Nano, images and questions, of which something is taken away again and again."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.root, self.sets, self.names = arguments.data, arguments.sets, arguments.names
        self.chat = NanoModel.load(arguments.weights)
        self.store = open_store(self.chat, arguments.features, self.root)
        self._start = copy.deepcopy(self.chat.model.fusion)

    def score(self, without: Without, fusion: Fusion | None = None) -> dict[str, Any]:
        """Figures of each set; `fusion` in the place of the shipped one."""
        mean = self._start.feature_mean
        self.chat.model.fusion = fusion or copy.deepcopy(self._start)
        without.silence(self.chat.model.fusion)
        report = {}
        for name in self.names:
            seen = predict_cells(
                self.chat,
                self.store,
                self.root,
                self.sets / f"{name}.jsonl",
                lambda features: without.change(features, mean),
            )
            report[name] = figures([answer(one) for one in seen])
        return report

    def learn(self, without: Without, scenes: Sequence[Scene], steps: int, folder: Path) -> Fusion:
        """The shipped fusion after so many steps without it; goes on where it was stopped."""
        folder.mkdir(parents=True, exist_ok=True)
        fusion, parts = copy.deepcopy(self._start), get_parts()
        without.silence(fusion)
        attributes = self.chat.model.config.attributes
        words = QuestionEncoder(
            parts.tokenizer(), parts.embedding().float(), self.chat.embed, attributes=attributes
        )
        known = self.chat.model.config.names
        batches = Poorer(scenes, self.store, known, without, fusion.feature_mean)
        settings = GroundingConfig(
            steps=steps,
            learning_rate=RATE,
            warm_up=WARM_UP,
            average=AVERAGE,
            check_every=KEEP_EVERY,
        )
        return train_grounding(fusion, words, batches, settings=settings, folder=folder)


class Poorer(Batches):
    """Batches whose images lack what is taken away; the same questions for every ablation."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        store: FeatureStore,
        names: Sequence[str],
        without: Without,
        mean: torch.Tensor,
    ) -> None:
        super().__init__(scenes, store, names, images=IMAGES, questions=QUESTIONS)
        self._without, self._mean = without, mean.clone()

    def draw(self, seed: int) -> ImageBatch:
        batch = super().draw(seed)
        return replace(batch, features=self._without.change(batch.features, self._mean))


def answer(seen: CellPrediction) -> tuple[Any, Any]:
    return seen.truth, seen.cells(None)


def table(record: dict[str, Any]) -> str:
    """Markdown: a row an ablation; of each set IoU as taken away and, besides, after learning."""
    taken, learned = record["taken_away"], record.get("learned", {})
    sets = list(taken["all"])
    heading = [f"{name}{kind}" for kind in ("", *(", learned",) * bool(learned)) for name in sets]
    lines = ["| | " + " | ".join(heading) + " |", "|---|" + "---|" * len(heading)]
    for name, found in taken.items():
        cells = [f"{found[one]['iou']:.3f}" for one in sets]
        if learned:
            cells += [
                f"{learned[name][one]['iou']:.3f}" if name in learned else "–" for one in sets
            ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Measured by `{record['command']}`"])


def main() -> None:
    parser = argparse.ArgumentParser(description="What nano's fusion lives on.")
    add_arguments(parser)
    parser.add_argument("--names", nargs="+", default=["coco", "clothing", "unseen"])
    parser.add_argument("--steps", type=int, default=0, help="let it learn that long without it")
    parser.add_argument("--work", type=Path, default=Path("out/ablations"), help="checkpoints")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    ablation = Ablation(arguments)
    record: dict[str, Any] = {"benchmark": "ablations", "command": f"{COMMAND} --json"}
    record["taken_away"] = {}
    for name, without in ABLATIONS.items():
        record["taken_away"][name] = ablation.score(without)
        print(name, json.dumps(record["taken_away"][name]), file=sys.stderr, flush=True)
    if arguments.steps:
        record["command"] = f"{COMMAND} --steps {arguments.steps} --json"
        record |= {"learned": {}, "steps": arguments.steps, "images": IMAGES}
        scenes = list(read_collection(arguments.data, "train"))
        for name in LEARNED:
            folder = arguments.work / name.replace(" ", "-")
            fusion = ablation.learn(ABLATIONS[name], scenes, arguments.steps, folder)
            record["learned"][name] = ablation.score(ABLATIONS[name], fusion)
            print(name, json.dumps(record["learned"][name]), file=sys.stderr, flush=True)
    print(json.dumps(record, indent=1) if arguments.json else table(record))


if __name__ == "__main__":
    main()
