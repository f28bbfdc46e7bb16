"""What nano has to beat, and what its own cell head sees, on the sets of `evaluation_sets.py`.

    python benchmarks/nano_baselines.py --data DIR --sets SETS [--weights DIR] --json

Grid IoU, like the one of `text4seg evaluate`: a box in the centre, the detector's raw boxes (the
named class's, from the whole photo, score 0.5 and more), and the fusion's target logits above 0
before any text is written (`head`), with the gates as shipped. Besides, pixel IoU of what MobileSAM
makes of the detector's certain boxes (`boxes + MobileSAM`, at 512×512, judged on 256×256):
the pipeline that somebody without nano would wire up.
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
from text4seg.pretrained.mobilesam import load_mobilesam
from text4seg.prompts import question
from text4seg.training.nano.pseudo import outline

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = GridShape(16, 16)
LARGE_SHARE = 13 / 256
CERTAIN = 0.5
PIXELS = {"boxes + MobileSAM": " (pixels)"}
COMMAND = "python benchmarks/nano_baselines.py --data DIR --sets SETS --json"


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


def certain_boxes(found: np.ndarray, expression: str) -> np.ndarray:
    """Certain boxes of the class that the expression ends in, `n 6`; its place is lost."""
    named = [name for name in COCO_CLASSES if expression.endswith(name)]
    index = COCO_CLASSES.index(max(named, key=len)) if named else -1
    certain: np.ndarray = found[(found[:, 1] >= CERTAIN) & (found[:, 0] == index)]
    return certain


def box_cells(boxes: np.ndarray) -> np.ndarray:
    certain = boxes.copy()
    certain[:, 1] = 1.0
    return np.asarray(detections_to_map(certain, 16, 16).max(axis=-1) >= CERTAIN)


def box_pixels(sam: Any, neck: torch.Tensor, boxes: np.ndarray) -> np.ndarray:
    """MobileSAM's outlines of the boxes, all together, on the square of its logits."""
    if not len(boxes):
        return np.zeros((SIDE // 2, SIDE // 2), dtype=bool)
    masks = outline(sam, neck, boxes[:, 2:])[0].any(axis=0)
    return np.asarray(Image.fromarray(masks).resize((SIDE // 2, SIDE // 2)))


def head_cells(chat: NanoChat, features: torch.Tensor, expression: str) -> np.ndarray:
    with torch.inference_mode():
        image = chat.model.fusion.encode_image(features[None].float())
    target = chat.ask(image, question(expression))
    if target.absent:
        return np.zeros((16, 16), dtype=bool)
    return np.asarray((target.logits[0] > 0).reshape(16, 16).numpy())


def answers(
    chat: NanoChat, sam: Any, root: Path, file: Path
) -> Iterator[dict[str, tuple[np.ndarray | None, np.ndarray]]]:
    """For each question and way, the truth (None: absent) and the answer, cells or pixels."""
    for name, records in by_photo(file).items():
        with Image.open(root / name) as opened:
            photo = opened.convert("RGB")
        sight = chat.eyes.look_closely(photo)
        square = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        found = chat.eyes._detector.detect(square)
        for record in records:
            cells, pixels = truths(record["mask"])
            boxes = certain_boxes(found, record["expression"])
            yield {
                "centre box": (cells, centre_box()),
                "raw boxes": (cells, box_cells(boxes)),
                "head": (cells, head_cells(chat, sight.features, record["expression"])),
                "boxes + MobileSAM": (pixels, box_pixels(sam, sight.neck, boxes)),
            }


def truths(encoded: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The true mask as cells and as pixels of a square."""
    if encoded is None:
        return None, None
    mask = rle_to_mask(encoded)
    square = np.asarray(Image.fromarray(mask).resize((SIDE // 2, SIDE // 2)))
    return coverage_to_cells(mask_to_coverage(mask, SHAPE)), square


def figures(found: list[tuple[np.ndarray | None, np.ndarray]]) -> dict[str, float | None]:
    present = [(t, p) for t, p in found if t is not None]
    overlaps = [float((t & p).sum() / (t | p).sum()) for t, p in present]
    large = [i for i, (t, _) in zip(overlaps, present, strict=True) if t.mean() >= LARGE_SHARE]
    absent = [not p.any() for t, p in found if t is None]
    return {
        "iou": float(np.mean(overlaps)),
        "large_iou": float(np.mean(large)) if large else None,
        "false_empties": float(np.mean([not p.any() for _, p in present])),
        "true_empties": float(np.mean(absent)) if absent else None,
    }


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
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True, help="folder of evaluation sets")
    parser.add_argument("--names", nargs="+", default=["coco", "clothing", "positions"])
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chat, sam = NanoChat.load(arguments.weights), load_mobilesam(side=SIDE)
    report: dict[str, dict[str, Any]] = {}
    for name in arguments.names:
        found = list(answers(chat, sam, arguments.data, arguments.sets / f"{name}.jsonl"))
        report[name] = {way: figures([asked[way] for asked in found]) for way in found[0]}
        if not arguments.json:
            print(name, json.dumps(report[name], indent=1))
    if arguments.json:
        record = {"benchmark": "nano_baselines", "command": COMMAND, "sets": report}
        print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
