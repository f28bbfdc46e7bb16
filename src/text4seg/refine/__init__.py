"""Refiners: from the probability of each cell to a mask in pixels.

A new refiner implements `interface.Refiner`, or is a plain function wrapped by `from_function`, and
has one row in `refiners.REFINERS`, or an entry point in the group `text4seg.refiners`.
"""

from __future__ import annotations

from text4seg.refine.crf import crf
from text4seg.refine.interface import (
    FunctionRefiner,
    RefinedMask,
    RefineFunction,
    RefineMask,
    Refiner,
    RefinerFactory,
    RefinerSpec,
    from_function,
)
from text4seg.refine.none import none
from text4seg.refine.refiners import REFINERS, get_refiner
from text4seg.refine.smooth import smooth

__all__ = [
    "REFINERS",
    "FunctionRefiner",
    "RefineFunction",
    "RefineMask",
    "RefinedMask",
    "Refiner",
    "RefinerFactory",
    "RefinerSpec",
    "crf",
    "from_function",
    "get_refiner",
    "none",
    "smooth",
]
