"""Refiners: from the probability of each cell to a mask in pixels.

A refiner is one call. It never turns a non-empty answer into an empty mask without saying so: what
it has to say stands in the notes of its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from text4seg.core.errors import UnknownNameError
from text4seg.refine._protocol import Refined, Refiner
from text4seg.refine.none import none
from text4seg.refine.smooth import smooth

REFINERS: Mapping[str, Refiner] = MappingProxyType({"none": none, "smooth": smooth})


def get_refiner(name: str) -> Refiner:
    """The refiner of that name.

    Raises:
        UnknownNameError: There is none; the error lists the known ones.
    """
    if name not in REFINERS:
        raise UnknownNameError("refiner", name, tuple(REFINERS))
    return REFINERS[name]


__all__ = ["REFINERS", "Refined", "Refiner", "get_refiner", "none", "smooth"]
