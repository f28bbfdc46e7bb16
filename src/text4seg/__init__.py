"""Image segmentation by a language model that writes the mask as text.

    import text4seg as t4s
    segmenter = t4s.Segmenter.from_pretrained("nano")
    segmentation = segmenter("cat.jpg", "the cat")

Names are loaded when first used: importing the package loads neither torch nor PIL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from text4seg.codec import get_format, grammar
    from text4seg.core.errors import Text4SegError
    from text4seg.core.geometry import cells_to_mask, mask_to_grid
    from text4seg.core.types import Box, DescriptorGrid, GridShape, Size
    from text4seg.data import read_dataset
    from text4seg.data.build import build_dataset
    from text4seg.data.targets import decode_mask, encode_mask
    from text4seg.decoding import DecodingOptions
    from text4seg.evaluation import EvaluationOptions, Report, evaluate, score
    from text4seg.images import open_image
    from text4seg.segmenter import Answer, Segmentation, Segmenter
    from text4seg.training.finetune import train

__version__ = "0.1.0"

_HOMES = {
    "Answer": "text4seg.segmenter",
    "Box": "text4seg.core.types",
    "DecodingOptions": "text4seg.decoding",
    "DescriptorGrid": "text4seg.core.types",
    "EvaluationOptions": "text4seg.evaluation",
    "GridShape": "text4seg.core.types",
    "Report": "text4seg.evaluation",
    "Segmentation": "text4seg.segmenter",
    "Segmenter": "text4seg.segmenter",
    "Size": "text4seg.core.types",
    "Text4SegError": "text4seg.core.errors",
    "build_dataset": "text4seg.data.build",
    "cells_to_mask": "text4seg.core.geometry",
    "decode_mask": "text4seg.data.targets",
    "encode_mask": "text4seg.data.targets",
    "evaluate": "text4seg.evaluation",
    "get_format": "text4seg.codec",
    "grammar": "text4seg.codec",
    "mask_to_grid": "text4seg.core.geometry",
    "open_image": "text4seg.images",
    "read_dataset": "text4seg.data",
    "score": "text4seg.evaluation",
    "train": "text4seg.training.finetune",
}

__all__ = [
    "Answer",
    "Box",
    "DecodingOptions",
    "DescriptorGrid",
    "EvaluationOptions",
    "GridShape",
    "Report",
    "Segmentation",
    "Segmenter",
    "Size",
    "Text4SegError",
    "build_dataset",
    "cells_to_mask",
    "decode_mask",
    "encode_mask",
    "evaluate",
    "get_format",
    "grammar",
    "mask_to_grid",
    "open_image",
    "read_dataset",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
