"""Average precision of instances, as COCO defines it, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.geometry import resize_probability
from text4seg.core.run_lengths import mask_to_rle, rle_area, rle_to_box, rle_to_mask
from text4seg.core.types import Box, Size
from text4seg.data import Sample

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.segmenter import Segmenter

NAMES = {
    "AP_all": "ap",
    "AP_50": "ap_50",
    "AP_75": "ap_75",
    "AP_small": "ap_small",
    "AP_medium": "ap_medium",
    "AP_large": "ap_large",
    "AR_third": "ar_100",  # the third of 1, 10 and 100 detections an image
}


def instance_ap(truth: Path, results: Path, *, kind: str = "segm") -> dict[str, float | None]:
    """AP and AR of instances: means over classes and IoU thresholds 0.5, 0.55 … 0.95.

    Lin et al., Microsoft COCO, ECCV 2014; areas and the 100 detections an image are COCO's.

    Args:
        truth: An annotation file of COCO.
        results: A list of `{"image_id", "category_id", "segmentation" or "bbox", "score"}`.
        kind: `segm` (masks) or `bbox`.

    Returns:
        Shares; None where no thing of that size is true.

    Raises:
        InputError: A file cannot be read or is not what it should be.
        MissingExtraError: faster-coco-eval is not installed.
    """
    found = _read(results)
    document = _read(truth)
    _check(document, found, truth, results)
    return average_precision(document, found, kind=kind, named=(str(truth), str(results)))


def average_precision(
    document: dict[str, Any],
    found: list[dict[str, Any]],
    *,
    kind: str = "segm",
    named: tuple[str, str] = ("the truth", "the results"),
) -> dict[str, float | None]:
    """Compute `instance_ap` of an annotation document and results in memory.

    Args:
        document: The annotation document.
        found: The results.
        kind: `segm` or `bbox`.
        named: What messages call the two.

    Returns:
        As `instance_ap`.

    Raises:
        InputError: The results do not fit the document.
        MissingExtraError: faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise MissingExtraError("faster-coco-eval", "eval") from None
    # It prints as it goes; what it says is in the result.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            coco = COCO(document)
            run = COCOeval_faster(coco, coco.loadRes(found), kind)
            run.evaluate()
            run.accumulate()
            run.summarize()
        except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{named[1]} cannot be scored against {named[0]}: {error}") from error
    stats = run.stats_as_dict
    return {ours: None if stats[name] < 0 else float(stats[name]) for name, ours in NAMES.items()}


def instances_of(sample: Sample, names: Sequence[str]) -> list[dict[str, Any]]:
    """The true things of an image, each with the place of its name in `names`; others left out."""
    found = []
    for target in sample.targets:
        if target.mask is None or target.expression not in names:
            continue
        for part in target.mask.parts:
            rle = compressed(part.to_rle())
            found.append({"category": names.index(target.expression), "segmentation": rle})
    return found


def answered_instances(
    segmenter: Segmenter, image: Image, names: Sequence[str], *, chunk: int = 32
) -> list[dict[str, Any]]:
    """Split the mask of each name into connected components.

    Two instances that touch are one component.

    Args:
        segmenter: The segmenter.
        image: The image.
        names: The names to ask for.
        chunk: How many names are asked together; the image is encoded once for them.

    Returns:
        For each component the place of its name, its mask as run lengths, and its score: the mean
        probability of the name over its pixels.
    """
    found = []
    size = Size(image.height, image.width)
    for start in range(0, len(names), chunk):
        answers = segmenter.segment_many(image, names[start : start + chunk])
        for place, answer in enumerate(answers, start=start):
            probability = resize_probability(answer.probability, size, "nearest")
            found += [
                {
                    "category": place,
                    "segmentation": mask_to_rle(thing),
                    "score": float(probability[thing].mean()),
                }
                for thing in _pieces(answer.mask)
            ]
    return found


def _pieces(mask: Bool[np.ndarray, "h w"]) -> Iterator[Bool[np.ndarray, "h w"]]:
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("opencv-python-headless", "hf") from None
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        yield np.asarray(labels == number)


def score_instances(
    segmenter: Segmenter, sample: Sample, names: Sequence[str], *, chunk: int = 32
) -> dict[str, Any]:
    """Give ground truth and answers of one image as plain values; raises `InputError`."""
    image = sample.open_image()
    return {
        "size": [image.height, image.width],
        "truth": instances_of(sample, names),
        "answers": answered_instances(segmenter, image, names, chunk=chunk),
    }


def average_precision_of(
    results: Mapping[int, Mapping[str, Any]], names: Sequence[str]
) -> dict[str, float | None]:
    """Compute AP over images from their results; all figures are 0 where nothing was answered."""
    document: dict[str, Any] = {
        "images": [
            {"id": number, "height": one["size"][0], "width": one["size"][1]}
            for number, one in results.items()
        ],
        "categories": [{"id": at + 1, "name": name} for at, name in enumerate(names)],
        "annotations": [],
    }
    answers = []
    for number, one in results.items():
        for true in one["truth"]:
            document["annotations"].append(
                _record(number, true)
                | {
                    "id": len(document["annotations"]) + 1,
                    "iscrowd": 0,
                    "area": rle_area(true["segmentation"]),
                }
            )
        answers += [
            _record(number, predicted) | {"score": predicted["score"]}
            for predicted in one["answers"]
        ]
    if not document["annotations"]:
        raise InputError("no image has a thing of these names: there is nothing to score")
    if not answers:
        return dict.fromkeys(NAMES.values(), 0.0)
    return average_precision(document, answers)


def _record(number: int, thing: Mapping[str, Any]) -> dict[str, Any]:
    box = rle_to_box(thing["segmentation"]) or Box(0, 0, 0, 0)
    return {
        "image_id": number,
        "category_id": thing["category"] + 1,
        "segmentation": dict(thing["segmentation"]),
        "bbox": [box.x0, box.y0, box.width, box.height],
    }


def compressed(rle: Mapping[str, Any]) -> dict[str, Any]:
    """COCO run lengths as a string, whatever they were."""
    if isinstance(rle["counts"], str):
        return dict(rle)
    return mask_to_rle(rle_to_mask(rle))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error


def _check(document: Any, found: Any, truth: Path, results: Path) -> None:
    if not isinstance(document, dict) or not {"images", "annotations", "categories"} <= {*document}:
        raise InputError(f"{truth} is no annotation file of COCO")
    if not isinstance(found, list) or not found:
        raise InputError(f"{results} is no list of results, or an empty one")
    images = {image["id"] for image in document["images"]}
    for number, record in enumerate(found):
        where = f"{results}, result {number}"
        if not isinstance(record, dict):
            raise InputError(f"{where}: an object is expected, not {type(record).__name__}")
        lacking = {"image_id", "category_id", "score"} - {*record}
        if lacking:
            raise InputError(f"{where}: {', '.join(sorted(lacking))} is missing")
        if record["image_id"] not in images:
            raise InputError(f"{where}: the truth has no image {record['image_id']!r}")
