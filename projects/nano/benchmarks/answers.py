"""How often nano's answers in words are right, on questions made of the masks of val images.

    python -m projects.nano.benchmarks.answers --data DIR [--features DIR] [--weights DIR] --json

The images are those of `coco/` and `clothing/` that nothing was trained on. As many questions are
answered with yes as with no; only annotated names are counted or denied. An answer is right if
it is the true word. For lists of names: `right` is the share of the named things that are there (of
names that are annotated in that collection), `largest` whether the largest thing is among them.

Two baselines: `blind` answers without the image (yes, or the commonest answer of the kind in the
collection); `pieces` is put together from nano's other outputs: whether the mask is empty, the
detector's boxes of that kind, the commonest color under the mask, the position of its center, the
classes of the detector's surest boxes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from projects.nano.benchmarks.cells import open_store
from projects.nano.scenes import read_collection
from projects.nano.vqa_questions import (
    COUNTS,
    NOT_THERE,
    VqaQuestion,
    ask_colors,
    ask_counts,
    ask_names,
    ask_places,
    ask_there,
)
from text4seg.codec import get_format
from text4seg.core.types import GridShape
from text4seg.models.nano.encoders.colors import COLORS
from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.nano_model import NanoModel, NanoSession
from text4seg.models.nano.text.question_types import parse_question
from text4seg.prompts import question
from text4seg.segmenter import MaskGenerator
from text4seg.segmenter.vqa import answer_question

if TYPE_CHECKING:
    from projects.nano.scenes import Scene
    from text4seg.models.nano.fusion import ImageState

COMMAND = "python -m projects.nano.benchmarks.answers --data DIR --json"
WAYS = ("nano", "pieces", "blind")
SHAPE = GridShape(16, 16)
SEED = 7
# From which score on a box counts, and how far its class has to mean what is asked for.
BOX_SCORE, ALIKE = 0.4, 0.5
MOST_TOKENS = 24


def questions_of(scene: Scene, random: np.random.Generator) -> list[VqaQuestion]:
    """Three pairs of yes and no, three of each other kind, as far as the scene has them."""
    return [
        *ask_there(scene, random, attributes=False),
        *ask_counts(scene, random),
        *ask_colors(scene, random),
        *ask_places(scene, random),
        *ask_names(scene, random),
    ]


class Pieces:
    """What is known of an image without an answer in words."""

    def __init__(self, chat: NanoModel, session: NanoSession) -> None:
        self._chat, self._session = chat, session
        self._image: ImageState = session._image
        self._writer = MaskGenerator(SHAPE, get_format("sd"), capabilities=chat.capabilities)

    def answer(self, asked: VqaQuestion) -> str:
        if asked.kind in ("names", "name"):
            return self._names(3 if asked.kind == "names" else 1)
        expression = parse_question(asked.question).expression or ""
        if asked.kind == "there":
            target = self._chat.ground(self._image, question(expression))
            return "no" if target.absent else "yes"
        if asked.kind == "count":
            return self._count(expression)
        cells = self._writer.generate(self._session, expression).grid.select(expression)
        if not cells.any():
            return NOT_THERE
        if asked.kind == "where":
            return nearest_place(cells)
        colors = self._known("colors").numpy()
        return COLORS[int(colors[cells.reshape(-1)].sum(0).argmax())]

    def _known(self, what: str) -> torch.Tensor:
        """Colors or boxes of the image."""
        found: torch.Tensor | None = getattr(self._image, what)
        if found is None:
            raise RuntimeError("these weights read no colors and no boxes")
        return found[0]

    def _count(self, expression: str) -> str:
        if self._chat.ground(self._image, question(expression)).absent:
            return COUNTS[0]
        if self._chat.reader is None or self._chat.embed is None:
            raise RuntimeError("these weights do not match by meaning")
        vectors = self._chat.reader.read(question(expression)).vectors
        near = (self._chat.embed(COCO_CLASSES) @ vectors.T).amax(1)
        objects = self._known("objects")
        of_kind = near[objects[:, 0].long()] >= max(ALIKE, float(near.max()) - 0.05)
        count = int(((objects[:, 1] >= BOX_SCORE) & of_kind).sum())
        return COUNTS[min(max(count, 1), len(COUNTS) - 1)]

    def _names(self, most: int) -> str:
        objects = self._known("objects")
        found = dict.fromkeys(
            COCO_CLASSES[int(row[0])] for row in objects if row[1] >= BOX_SCORE
        ) or {COCO_CLASSES[int(objects[0, 0])]: None}
        return ", ".join(list(found)[:most])


def nearest_place(cells: np.ndarray) -> str:
    """As the truth is made (`plain.place_of`), but always one of the five."""
    steps = (np.arange(16) + 0.5) / 16 - 0.5
    down, right = cells.sum(1) @ steps / cells.sum(), cells.sum(0) @ steps / cells.sum()
    if max(abs(down), abs(right)) < 0.145:
        return "middle"
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "bottom" if down > 0 else "top"


def answer_image(
    chat: NanoModel, scene: Scene, features: torch.Tensor, random: np.random.Generator
) -> list[dict[str, Any]]:
    """Each question about an image with all answers to it."""
    session = NanoSession(chat, features)
    pieces = Pieces(chat, session)
    found = []
    for asked in questions_of(scene, random):
        started = time.perf_counter()
        said = answer_question(
            session, asked.question, capabilities=chat.capabilities, max_tokens=MOST_TOKENS
        )
        record = {
            "kind": asked.kind,
            "question": asked.question,
            "truth": asked.answer,
            "nano": said.words,
            "seconds": time.perf_counter() - started,
            "pieces": pieces.answer(asked),
        }
        if asked.kind in ("names", "name"):
            record["there"] = sorted(set(scene.layers) & scene.annotated)
            record["annotated"] = sorted(scene.annotated)
        found.append(record)
    return found


def add_blind(found: list[dict[str, Any]]) -> None:
    """The commonest true answer of the kind; of yes and no, yes; of names, the commonest one."""
    for kind in {one["kind"] for one in found}:
        of_kind = [one for one in found if one["kind"] == kind]
        if kind in ("names", "name"):
            counted = Counter(name for one in of_kind for name in one["there"])
            commonest = ", ".join(
                name for name, _ in counted.most_common(3 if kind == "names" else 1)
            )
        else:
            commonest = (
                "yes"
                if kind == "there"
                else Counter(o["truth"] for o in of_kind).most_common(1)[0][0]
            )
        for one in of_kind:
            one["blind"] = commonest


def figures(found: list[dict[str, Any]]) -> dict[str, Any]:
    """By kind: how many questions, and of each way the share of right answers."""
    report: dict[str, Any] = {}
    for kind in sorted({one["kind"] for one in found}):
        of_kind = [one for one in found if one["kind"] == kind]
        report[kind] = {"questions": len(of_kind)}
        for way in WAYS:
            report[kind][way] = (
                names_right(of_kind, way)
                if kind in ("names", "name")
                else float(np.mean([one[way] == one["truth"] for one in of_kind]))
            )
        if kind in ("there", "count", "color", "where"):
            parts = {}
            for truth in sorted({one["truth"] for one in of_kind}):
                hits = [one["nano"] == truth for one in of_kind if one["truth"] == truth]
                parts[truth] = {"questions": len(hits), "nano": float(np.mean(hits))}
            report[kind]["by truth"] = parts
        report[kind]["seconds"] = float(np.mean([one["seconds"] for one in of_kind]))
    return report


def names_right(found: list[dict[str, Any]], way: str) -> dict[str, float]:
    said = [one[way].split(", ") for one in found]
    right = [
        name in one["there"]
        for one, names in zip(found, said, strict=True)
        for name in names
        if name in one["annotated"]
    ]
    largest = [one["truth"].split(", ")[0] in names for one, names in zip(found, said, strict=True)]
    return {"right": float(np.mean(right)) if right else 0.0, "largest": float(np.mean(largest))}


def table(record: dict[str, Any]) -> str:
    """Markdown: a row a collection and kind."""
    lines = ["| | questions | " + " | ".join(WAYS) + " |", "|---|---|" + "---|" * len(WAYS)]
    for name, kinds in record["sets"].items():
        for kind, found in kinds.items():
            cells = [
                f"{value['right']:.2f} / {value['largest']:.2f}"
                if isinstance(value := found[way], dict)
                else f"{value:.2f}"
                for way in WAYS
            ]
            lines.append(f"| {name}, {kind} | {found['questions']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Measured by `{record['command']}`"])


def main() -> None:
    parser = argparse.ArgumentParser(description="How often nano's answers in words are right.")
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/ and clothing/")
    parser.add_argument(
        "--features", type=Path, default=Path("out/features"), help="folder of cached features"
    )
    parser.add_argument("--weights", type=Path, help="folder of nano's weights")
    parser.add_argument("--limit", type=int, help="so many images of each collection")
    parser.add_argument("--answers", type=Path, help="write each question with its answers here")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    chat = NanoModel.load(arguments.weights)
    store = open_store(chat, arguments.features, arguments.data)
    scenes = list(read_collection(arguments.data, "val"))
    sets: dict[str, Any] = {}
    everything = []
    for name in dict.fromkeys(scene.source for scene in scenes):
        images = [scene for scene in scenes if scene.source == name][: arguments.limit]
        found = [
            one
            for index, scene in enumerate(track(images, name, console=Console(stderr=True)))
            for one in answer_image(
                chat, scene, store[scene.image].float(), np.random.default_rng((index, SEED))
            )
        ]
        add_blind(found)
        sets[name] = figures(found)
        everything += found
    if arguments.answers:
        arguments.answers.write_text("".join(json.dumps(one) + "\n" for one in everything))
    record = {"benchmark": "answers", "command": COMMAND, "seed": SEED, "sets": sets}
    print(json.dumps(record, indent=1) if arguments.json else table(record), file=sys.stdout)


if __name__ == "__main__":
    main()
