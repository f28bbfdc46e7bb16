"""Baselines that nano has to beat, and its own cells, on the sets of `evaluation_sets.py`.

    python -m projects.nano.benchmarks.baselines --data DIR --sets SETS [--features DIR] --json

Grid IoU, like the one of `text4seg evaluate`: a box in the center, a linear probe of the frozen
features (`probe.py`, one for COCO's names and one for garments, learned on the train images),
the detector's raw boxes (the named class's, from the whole image), and the fusion's target logits
above 0 before any text is written (`head`), with the thresholds as shipped. Boxes and the probe
know no positions: "the left dog" is any dog to them. The score from which a box counts is chosen on
train images.

Also the pixel IoU of MobileSAM's masks of the same boxes (`boxes + MobileSAM`, at 512x512, scored
on 256x256): the pipeline that one would build without nano.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from projects.nano.benchmarks.cells import add_arguments, by_image, figures, open_store, true_cells
from projects.nano.benchmarks.probe import SMALLEST_SHARE, Probe, learn
from projects.nano.pseudo_labels import outline
from projects.nano.scenes import read_collection
from text4seg.core.geometry import coverage_to_cells
from text4seg.core.run_lengths import rle_to_mask
from text4seg.images import open_image
from text4seg.models.nano.encoders.detector import COCO_CLASSES, detections_to_map
from text4seg.models.nano.encoders.vision import SIDE
from text4seg.models.nano.nano_model import NanoModel
from text4seg.pretrained.mobilesam import load_mobilesam
from text4seg.prompts import question

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from text4seg.models.nano.encoders.vision import ImageFeatures
    from text4seg.models.nano.fusion import ImageState

COLLECTIONS = ("coco", "clothing")
SCORES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
TRIED = 120
"""Train images on which the score is chosen from which on boxes count."""
PIXELS = {"boxes + MobileSAM": " (pixels)"}
COMMAND = "python -m projects.nano.benchmarks.baselines --data DIR --sets SETS --json"


def center_box() -> np.ndarray:
    cells = np.zeros((16, 16), dtype=bool)
    cells[4:12, 4:12] = True
    return cells


def certain_boxes(found: np.ndarray, expression: str, score: float) -> np.ndarray:
    """Boxes of that score and more of the class that the expression ends in; its place is lost."""
    named = [name for name in COCO_CLASSES if expression.endswith(name)]
    index = COCO_CLASSES.index(max(named, key=len)) if named else -1
    certain: np.ndarray = found[(found[:, 1] >= score) & (found[:, 0] == index)]
    return certain


def box_cells(boxes: np.ndarray) -> np.ndarray:
    certain = boxes.copy()
    certain[:, 1] = 1.0
    return np.asarray(detections_to_map(certain, 16, 16).max(axis=-1) >= 0.5)


def box_pixels(sam: Any, neck: torch.Tensor, boxes: np.ndarray) -> np.ndarray:
    """MobileSAM's outlines of the boxes, all together, on the square of its logits."""
    if not len(boxes):
        return np.zeros((SIDE // 2, SIDE // 2), dtype=bool)
    masks = outline(sam, neck, boxes[:, 2:])[0].any(axis=0)
    return np.asarray(Image.fromarray(masks).resize((SIDE // 2, SIDE // 2)))


def head_cells(chat: NanoModel, image: ImageState, expression: str) -> np.ndarray:
    target = chat.ground(image, question(expression))
    if target.absent:
        return np.zeros((16, 16), dtype=bool)
    return np.asarray((target.logits[0] > 0).reshape(16, 16).numpy())


class Ways:
    """All ways to answer questions about the images under `root`."""

    def __init__(
        self, chat: NanoModel, root: Path, probes: Mapping[str, Probe], score: float
    ) -> None:
        self._chat, self._root, self._probes, self._score = chat, root, probes, score
        self._sam = load_mobilesam(side=SIDE)
        self.look = cache(self._look)  # positions are asked about the images of coco

    def _look(self, name: str) -> tuple[ImageFeatures, np.ndarray]:
        """Encode an image, and detect boxes on the whole of it."""
        image = open_image(self._root / name)
        return self._chat.vision_encoder.encode_with_detections(image), detect(self._chat, image)

    def answer(self, file: Path) -> Iterator[dict[str, tuple[np.ndarray | None, np.ndarray]]]:
        """For each question and way the truth (None: absent) and the answer, cells or pixels."""
        for name, records in by_image(file).items():
            image_features, found = self.look(name)
            probe = self._probes[name.partition("/")[0]]
            with torch.inference_mode():
                image = self._chat.model.fusion.encode_image(image_features.features[None].float())
            for record in records:
                expression = record["expression"]
                cells, pixels = true_cells(record["mask"]), true_pixels(record["mask"])
                boxes = certain_boxes(found, expression, self._score)
                yield {
                    "center box": (cells, center_box()),
                    "linear probe": (cells, probe.cells(image_features.features, expression)),
                    "raw boxes": (cells, box_cells(boxes)),
                    "head": (cells, head_cells(self._chat, image, expression)),
                    "boxes + MobileSAM": (
                        pixels,
                        box_pixels(self._sam, image_features.neck, boxes),
                    ),
                }


def true_pixels(encoded: Any) -> np.ndarray | None:
    """The true mask as pixels of a square."""
    if encoded is None:
        return None
    square = Image.fromarray(rle_to_mask(encoded)).resize((SIDE // 2, SIDE // 2))
    return np.asarray(square)


def detect(chat: NanoModel, image: Image.Image) -> np.ndarray:
    """The detector's boxes `n 6` of a whole image."""
    square = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return np.asarray(chat.vision_encoder._detector.detect(square))


def choose_score(chat: NanoModel, root: Path) -> float:
    """From which score on raw boxes have the largest grid IoU, on COCO's train images."""
    overlaps: dict[float, list[float]] = {score: [] for score in SCORES}
    scenes = [scene for scene in read_collection(root, "train") if scene.source == "coco"]
    for scene in scenes[:TRIED]:
        found = detect(chat, open_image(scene.image))
        for name, layer in scene.layers.items():
            if layer.mean() > SMALLEST_SHARE:
                truth = np.asarray(coverage_to_cells(layer))
                for score, values in overlaps.items():
                    marked = box_cells(certain_boxes(found, name, score))
                    values.append(float((marked & truth).sum() / (marked | truth).sum()))
    return max(overlaps, key=lambda score: float(np.mean(overlaps[score])))


def learn_probes(chat: NanoModel, root: Path, features: Path) -> dict[str, Probe]:
    """One for each collection, of its own train images."""
    store = open_store(chat, features, root)
    scenes = [scene for scene in read_collection(root, "train") if scene.source in COLLECTIONS]
    by_source = {name: [scene for scene in scenes if scene.source == name] for name in COLLECTIONS}
    return {name: learn(found, store) for name, found in by_source.items() if found}


def table(record: dict[str, Any]) -> str:
    """Markdown: a row a way; for each set IoU of all things and of those of 13 cells and more."""
    sets = record["sets"]
    lines = ["| | " + " | ".join(sets) + " |", "|---|" + "---|" * len(sets)]
    for way in next(iter(sets.values())):
        cells = [
            f"{found[way]['iou']:.3f} / {found[way]['large_iou'] or 0:.3f}"
            for found in sets.values()
        ]
        lines.append(f"| {way}{PIXELS.get(way, '')} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Measured by `{record['command']}`"])


def main() -> None:
    parser = argparse.ArgumentParser(description="What nano has to beat.")
    add_arguments(parser)
    parser.add_argument("--names", nargs="+", default=["coco", "clothing", "positions"])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    chat = NanoModel.load(arguments.weights)
    probes = learn_probes(chat, arguments.data, arguments.features)
    score = choose_score(chat, arguments.data)
    ways = Ways(chat, arguments.data, probes, score)
    report: dict[str, dict[str, Any]] = {}
    for name in arguments.names:
        found = list(ways.answer(arguments.sets / f"{name}.jsonl"))
        report[name] = {way: figures([asked[way] for asked in found]) for way in found[0]}
        print(name, json.dumps(report[name], indent=1), file=sys.stderr)
    thresholds = {name: probe.threshold for name, probe in probes.items()}
    record = {"benchmark": "baselines", "command": COMMAND, "box_score": score}
    record |= {"probe_thresholds": thresholds, "sets": report}
    print(json.dumps(record, indent=1) if arguments.json else table(record))


if __name__ == "__main__":
    main()
