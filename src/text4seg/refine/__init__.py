"""Refiners: from the probability of each cell to a mask in pixels.

A refiner is one call. It never turns a non-empty answer into an empty mask without saying so: what
it has to say stands in the notes of its result. One that looks at the image for long opens it once
for all its masks: see `prepare_refiner`.
"""

from __future__ import annotations

from text4seg.refine._names import REFINERS, get_refiner
from text4seg.refine._protocol import OpeningRefiner, Refined, RefineMask, Refiner, prepare_refiner
from text4seg.refine.crf import crf
from text4seg.refine.none import none
from text4seg.refine.smooth import smooth

__all__ = [
    "REFINERS",
    "OpeningRefiner",
    "RefineMask",
    "Refined",
    "Refiner",
    "crf",
    "get_refiner",
    "none",
    "prepare_refiner",
    "smooth",
]
