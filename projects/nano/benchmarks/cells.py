"""The fusion's cells for the questions of an evaluation set, before any text is written.

Shared by the benchmarks that compare, ablate and choose thresholds. Features of the frozen encoders
are kept in a folder; missing ones are computed, about a second an image.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from projects.nano.feature_store import FeatureStore
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape
from text4seg.evaluation.summary import LARGE_CELLS
from text4seg.prompts import question

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from text4seg.models.nano.nano_model import NanoModel

    Change = Callable[[torch.Tensor], torch.Tensor]

SHAPE = GridShape(16, 16)
CELL_ROWS = SHAPE.cells
"""Of the features: boxes stand behind the rows of the cells."""


@dataclass(frozen=True, slots=True)
class CellPrediction:
    """The fusion's answer to a question.

    Attributes:
        image: The image's name.
        expression: What is asked for.
        truth: True cells, `16 16`; None if the target is absent.
        logits: Target logits, `16 16`.
        gate: Name of the threshold that the question has.
    """

    image: str
    expression: str
    truth: np.ndarray | None
    logits: np.ndarray
    gate: str

    def cells(self, gate: float | None) -> np.ndarray:
        """Mark the cells above 0, or none if no logit reaches the threshold."""
        marked: np.ndarray = self.logits > 0
        return marked & (gate is None or float(self.logits.max()) >= gate)


def by_image(file: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for text in file.read_text().splitlines():
        record = json.loads(text)
        found.setdefault(record["image"], []).append(record)
    return found


def true_cells(encoded: Any) -> np.ndarray | None:
    if encoded is None:
        return None
    return np.asarray(coverage_to_cells(mask_to_coverage(rle_to_mask(encoded), SHAPE)))


def predict_cells(
    chat: NanoModel, store: FeatureStore, root: Path, file: Path, change: Change | None = None
) -> list[CellPrediction]:
    """Ask the fusion every question of a set; `change` is applied to the features before."""
    found = []
    for name, records in by_image(file).items():
        features = store[root / name].float()
        if change is not None:
            features = change(features)
        wordings = [question(record["expression"]) for record in records]
        logits = ask_together(chat, features, wordings)
        for record, wording, one in zip(records, wordings, logits, strict=True):
            truth = true_cells(record["mask"])
            found.append(
                CellPrediction(name, record["expression"], truth, one, chat.threshold_kind(wording))
            )
    return found


def ask_together(chat: NanoModel, features: torch.Tensor, wordings: Sequence[str]) -> np.ndarray:
    """Get the target logits `n 16 16` of several questions about one image."""
    words = [torch.tensor(chat.encode(wording)) for wording in wordings]
    pad = torch.nn.utils.rnn.pad_sequence
    mask = pad([torch.ones_like(ids, dtype=torch.bool) for ids in words], batch_first=True)
    with torch.inference_mode():
        image = chat.model.fusion.encode_image(features[None])
        each = image.select(torch.zeros(len(words), dtype=torch.long))
        _, logits = chat.model.ground(each, pad(words, batch_first=True), mask)
    found: np.ndarray = logits.reshape(-1, 16, 16).numpy()
    return found


def figures(found: Sequence[tuple[np.ndarray | None, np.ndarray]]) -> dict[str, float | None]:
    """Compute the mean IoU of present targets and of large ones, the miss rate and N-acc."""
    present = [(t, p) for t, p in found if t is not None]
    overlaps = [float((t & p).sum() / (t | p).sum()) for t, p in present]
    large = [
        overlap
        for overlap, (truth, _) in zip(overlaps, present, strict=True)
        if truth.mean() * SHAPE.cells >= LARGE_CELLS
    ]
    absent = [not p.any() for t, p in found if t is None]
    return {
        "iou": float(np.mean(overlaps)),
        "large_iou": float(np.mean(large)) if large else None,
        "miss_rate": float(np.mean([not p.any() for _, p in present])),
        "n_acc": float(np.mean(absent)) if absent else None,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with coco/ and clothing/")
    add("--sets", type=Path, required=True, help="folder of evaluation sets")
    add(
        "--features",
        type=Path,
        default=Path("out/features"),
        help="folder of cached features; missing ones are computed",
    )
    add("--weights", type=Path, help="folder of nano's weights; by default those of the package")
    add("--json", action="store_true")


def open_store(chat: NanoModel, folder: Path, root: Path) -> FeatureStore:
    return FeatureStore(
        folder, root, lambda image: torch.as_tensor(chat.vision_encoder.encode(image))
    )
