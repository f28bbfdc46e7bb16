"""What nano has to beat, and what its own cell head sees, on the sets of `evaluation_sets.py`.

    python benchmarks/nano_baselines.py --data DIR --sets SETS [--weights DIR] --json

Grid IoU, like the one of `text4seg evaluate`: a box in the centre, the detector's raw boxes (the
named class's, from the whole photo, score 0.5 and more), and the fusion's target logits above 0
before any text is written (`head`), with the gates as shipped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
from text4seg.core.rle import rle_to_mask
from text4seg.core.types import GridShape
from text4seg.models.nano.chat import SHIPPED, NanoChat
from text4seg.models.nano.detector import COCO_CLASSES, detections_to_map
from text4seg.models.nano.eyes import SIDE
from text4seg.prompts import question

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = GridShape(16, 16)
LARGE_CELLS = 13
CERTAIN = 0.5


def by_photo(file: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for text in file.read_text().splitlines():
        record = json.loads(text)
        found.setdefault(record["image"], []).append(record)
    return found


def centre_box() -> np.ndarray:
    cells = np.zeros((16, 16), dtype=bool)
    cells[4:12, 4:12] = True
    return cells


def box_cells(chat: NanoChat, photo: Image.Image, expression: str) -> np.ndarray:
    """Cells under the certain boxes of the class that the expression ends in; its place is lost."""
    named = [name for name in COCO_CLASSES if expression.endswith(name)]
    if not named:
        return np.zeros((16, 16), dtype=bool)
    square = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    found = chat.eyes._detector.detect(square)
    certain = found[found[:, 1] >= CERTAIN]
    certain[:, 1] = 1.0
    layer = detections_to_map(certain, 16, 16)[..., COCO_CLASSES.index(max(named, key=len))]
    return np.asarray(layer >= CERTAIN)


def head_cells(chat: NanoChat, features: torch.Tensor, expression: str) -> np.ndarray:
    wording = question(expression)
    words = torch.tensor([chat.encode(wording)])
    with torch.inference_mode():
        image = chat.model.fusion.encode_image(features[None].float())
        _, logits = chat.model.ask(image, words, torch.ones_like(words, dtype=torch.bool))
    if chat.is_absent(wording, logits):
        return np.zeros((16, 16), dtype=bool)
    return np.asarray((logits[0] > 0).unflatten(0, (16, 16)).numpy())


def answers(
    chat: NanoChat, root: Path, file: Path
) -> Iterator[tuple[np.ndarray | None, dict[str, np.ndarray]]]:
    for name, records in by_photo(file).items():
        with Image.open(root / name) as opened:
            photo = opened.convert("RGB")
        features = chat.eyes.look(photo)
        for record in records:
            mask, expression = record["mask"], record["expression"]
            truth = (
                None
                if mask is None
                else coverage_to_cells(mask_to_coverage(rle_to_mask(mask), SHAPE))
            )
            yield (
                truth,
                {
                    "centre box": centre_box(),
                    "raw boxes": box_cells(chat, photo, expression),
                    "head": head_cells(chat, features, expression),
                },
            )


def figures(found: list[tuple[np.ndarray | None, np.ndarray]]) -> dict[str, float | None]:
    present = [(t, p) for t, p in found if t is not None]
    overlaps = [float((t & p).sum() / (t | p).sum()) for t, p in present]
    large = [i for i, (t, _) in zip(overlaps, present, strict=True) if t.sum() >= LARGE_CELLS]
    absent = [not p.any() for t, p in found if t is None]
    return {
        "grid_iou": float(np.mean(overlaps)),
        "large_grid_iou": float(np.mean(large)) if large else None,
        "false_empties": float(np.mean([not p.any() for _, p in present])),
        "true_empties": float(np.mean(absent)) if absent else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What nano has to beat.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True, help="folder of evaluation sets")
    parser.add_argument("--names", nargs="+", default=["coco", "clothing", "positions"])
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chat = NanoChat.load(arguments.weights)
    report: dict[str, dict[str, Any]] = {}
    for name in arguments.names:
        found = list(answers(chat, arguments.data, arguments.sets / f"{name}.jsonl"))
        report[name] = {
            way: figures([(truth, cells[way]) for truth, cells in found])
            for way in ("centre box", "raw boxes", "head")
        }
        if not arguments.json:
            print(name, json.dumps(report[name], indent=1))
    if arguments.json:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
