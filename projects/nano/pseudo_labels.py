"""Pseudo-labels: masks of unlabelled images, by the detector and MobileSAM.

A class is present if every box of it is certain, and absent if no box is even likely. All others
are undecided and never asked for: a crowd of which half is found would train a wrong answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from projects.nano.scenes import SHAPE, Scene, Thing
from text4seg.core.geometry import mask_to_coverage
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask
from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.encoders.vision import SIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from jaxtyping import Bool, Float32
    from torch import Tensor
    from transformers import SamModel

    from projects.nano.feature_store import FeatureStore
    from text4seg.models.nano.encoders.vision import VisionEncoder

CERTAIN = 0.45
"""Score from which a box is certain."""

# IoU from which two boxes are of the same thing.
_SAME_BOX = 0.5
# Score below which a class is absent; between twice this and `CERTAIN` a box leaves it undecided.
_ABSENT = 0.1
# MobileSAM's own estimate of its mask's IoU; worse masks are dropped.
_LEAST_MASK_SCORE = 0.8


def decide(
    detections: Float32[np.ndarray, "n 6"],
) -> tuple[Float32[np.ndarray, "m 6"], frozenset[str]]:
    """Decide which classes are present and which are absent.

    Args:
        detections: Rows of (class, score, x0, y0, x1, y1).

    Returns:
        The certain boxes of the present classes, and the names of the absent ones.
    """
    kept, absent = [], set(range(len(COCO_CLASSES)))
    for index in np.unique(detections[:, 0]):
        rows = detections[detections[:, 0] == index]
        if rows[:, 1].max() >= _ABSENT:
            absent.discard(int(index))
        certain = _without_doubles(rows[rows[:, 1] >= CERTAIN])
        doubtful = rows[(rows[:, 1] < CERTAIN) & (rows[:, 1] >= _ABSENT * 2)]
        other = [row for row in doubtful if not any(_overlap(row, c) > _SAME_BOX for c in certain)]
        if certain and not other:
            kept += certain
    rows = np.asarray(kept, dtype=np.float32).reshape(-1, 6)
    return rows, frozenset(COCO_CLASSES[index] for index in absent)


def _without_doubles(rows: Float32[np.ndarray, "n 6"]) -> list[Float32[np.ndarray, " 6"]]:
    kept: list[np.ndarray] = []
    for row in rows[np.argsort(-rows[:, 1])]:
        if all(_overlap(row, other) <= _SAME_BOX for other in kept):
            kept.append(row)
    return kept


def _overlap(a: Float32[np.ndarray, " 6"], b: Float32[np.ndarray, " 6"]) -> float:
    """IoU of two boxes."""
    low, high = np.maximum(a[2:4], b[2:4]), np.minimum(a[4:], b[4:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    return shared / (float(np.prod(a[4:] - a[2:4]) + np.prod(b[4:] - b[2:4])) - shared + 1e-9)


@torch.inference_mode()
def outline(
    sam: SamModel, neck: Tensor, boxes: Float32[np.ndarray, "n 4"]
) -> tuple[Bool[np.ndarray, "n h w"], Float32[np.ndarray, " n"]]:
    """Segment boxes with MobileSAM.

    Args:
        sam: The model.
        neck: Its image embedding.
        boxes: In shares of the image, `n 4`.

    Returns:
        A mask of each box, and the model's estimate of its IoU.
    """
    out = sam(
        image_embeddings=neck,
        input_boxes=torch.from_numpy(boxes * SIDE)[None].float(),
        multimask_output=False,
    )
    return (out.pred_masks[0, :, 0] > 0).numpy(), out.iou_scores[0, :, 0].numpy()


def label_images(
    images: Sequence[Path],
    root: Path,
    file: Path,
    *,
    vision_encoder: VisionEncoder,
    sam: SamModel,
    store: FeatureStore,
) -> Iterator[dict[str, Any]]:
    """Label the images that are not in `file` yet, a line each, and store their features."""
    done = {line["image"] for line in _lines(file)}
    for image in images:
        name = image.relative_to(root).as_posix()
        if name in done:
            continue
        line = {"image": name, **_label(image, vision_encoder, sam, store)}
        with file.open("a") as lines:
            print(json.dumps(line), file=lines)
        yield line


def _label(
    image_path: Path, vision_encoder: VisionEncoder, sam: SamModel, store: FeatureStore
) -> dict[str, Any]:
    from PIL import Image

    with Image.open(image_path) as image:
        image_features = vision_encoder.encode_with_detections(image)
    store.keep(image_path, image_features.features)
    kept, absent = decide(image_features.detections)
    things, decided = [], {COCO_CLASSES[int(row[0])] for row in kept}
    if len(kept):
        masks, scores = outline(sam, image_features.neck, kept[:, 2:])
        for row, mask, score in zip(kept, masks, scores, strict=True):
            name = COCO_CLASSES[int(row[0])]
            if score < _LEAST_MASK_SCORE or not mask.any():
                decided.discard(name)  # a layer that lacks one of its things would be wrong
                continue
            things.append({"name": name, "mask": mask_to_rle(mask)})
    return {
        "absent": sorted(absent),
        "things": [thing for thing in things if thing["name"] in decided],
    }


def read_pseudo(file: Path, root: Path) -> list[Scene]:
    """Read the scenes that `label_images` wrote; images without a present class are left out."""
    scenes = []
    for line in _lines(file):
        things = tuple(
            Thing(thing["name"], mask_to_coverage(rle_to_mask(thing["mask"]), SHAPE))
            for thing in line["things"]
        )
        layers: dict[str, Float32[np.ndarray, "16 16"]] = {}
        for thing in things:
            layers[thing.name] = np.maximum(layers.get(thing.name, 0), thing.coverage)
        annotated = frozenset(line["absent"]) | layers.keys()
        if layers:
            scenes.append(Scene(root / line["image"], "pseudo", layers, annotated, things))
    return scenes


def _lines(file: Path) -> Iterable[dict[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]
