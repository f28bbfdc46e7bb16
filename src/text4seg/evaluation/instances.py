"""Average precision of instances, as COCO defines it, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, MissingExtraError

NAMES = {
    "AP_all": "ap",
    "AP_50": "ap_50",
    "AP_75": "ap_75",
    "AP_small": "ap_small",
    "AP_medium": "ap_medium",
    "AP_large": "ap_large",
    "AR_third": "ar_100",  # the third of 1, 10 and 100 detections a photo
}


def instance_ap(truth: Path, results: Path, *, kind: str = "segm") -> dict[str, float | None]:
    """AP and AR of instances: means over classes and IoU thresholds 0.5, 0.55 … 0.95.

    Lin et al., Microsoft COCO, ECCV 2014; areas and the 100 detections a photo are COCO's.

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
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise MissingExtraError("faster-coco-eval", "eval") from None
    found = _read(results)
    document = _read(truth)
    _check(document, found, truth, results)
    # It prints as it goes; what it says is in the result.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            coco = COCO(document)
            run = COCOeval_faster(coco, coco.loadRes(found), kind)
            run.evaluate()
            run.accumulate()
            run.summarize()
        except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{results} cannot be scored against {truth}: {error}") from error
    stats = run.stats_as_dict
    return {ours: None if stats[name] < 0 else float(stats[name]) for name, ours in NAMES.items()}


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
    photos = {image["id"] for image in document["images"]}
    for number, record in enumerate(found):
        where = f"{results}, result {number}"
        if not isinstance(record, dict):
            raise InputError(f"{where}: an object is expected, not {type(record).__name__}")
        lacking = {"image_id", "category_id", "score"} - {*record}
        if lacking:
            raise InputError(f"{where}: {', '.join(sorted(lacking))} is missing")
        if record["image_id"] not in photos:
            raise InputError(f"{where}: the truth has no photo {record['image_id']!r}")
