"""How masks, boxes and label maps are scored; numpy only.

Results are shares from 0 to 1; a figure over no samples is `nan`. Each function's docstring gives
its formula and where it comes from.

- `overlaps`: pixels of a prediction, of the truth, and of both, from masks or run lengths
- `referring`: cIoU, gIoU, mIoU, Pr@X, N-acc, T-acc
- `box_metrics`: box IoU and REC accuracy
- `semantic`: mean IoU of classes by confusion matrix
- `boundary`: F of the outlines
- `bootstrap`: intervals over images, paired comparison of two models
"""

from __future__ import annotations

from text4seg.metrics.bootstrap import (
    Difference,
    Interval,
    compare_ratios,
    ratio_interval,
    ratio_intervals,
)
from text4seg.metrics.boundary import boundary_f
from text4seg.metrics.box_metrics import box_acc, box_iou, inclusive_to_box
from text4seg.metrics.overlaps import Overlap, Pair, iou, overlap, rle_overlap
from text4seg.metrics.referring import (
    FIGURES,
    GREFCOCO_EMPTY_BELOW,
    PRECISION_THRESHOLDS,
    Figure,
    ciou,
    giou,
    mean_iou,
    n_acc,
    precision_at,
    ratio,
    t_acc,
)
from text4seg.metrics.semantic import class_ious, confusion_matrix, mean_class_iou

__all__ = [
    "FIGURES",
    "GREFCOCO_EMPTY_BELOW",
    "PRECISION_THRESHOLDS",
    "Difference",
    "Figure",
    "Interval",
    "Overlap",
    "Pair",
    "boundary_f",
    "box_acc",
    "box_iou",
    "ciou",
    "class_ious",
    "compare_ratios",
    "confusion_matrix",
    "giou",
    "inclusive_to_box",
    "iou",
    "mean_class_iou",
    "mean_iou",
    "n_acc",
    "overlap",
    "precision_at",
    "ratio",
    "ratio_interval",
    "ratio_intervals",
    "rle_overlap",
    "t_acc",
]
