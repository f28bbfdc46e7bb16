"""The refiners by name."""

from __future__ import annotations

from text4seg.core.errors import UnknownNameError
from text4seg.core.registry import Registry
from text4seg.refine.crf import crf, crf_paper
from text4seg.refine.interface import Refiner, RefinerFactory, RefinerSpec, from_function
from text4seg.refine.none import none
from text4seg.refine.smooth import smooth

REFINERS: Registry[RefinerFactory] = Registry(
    "refiner",
    "text4seg.refiners",
    {
        "auto": "text4seg.refine.auto:auto",
        "none": from_function(none),
        "smooth": from_function(smooth),
        "crf": from_function(crf),
        "crf-paper": from_function(crf_paper),
        "sam": "text4seg.refine.sam_refiner:sam",
        "sam-int8": "text4seg.refine.sam_refiner:sam_int8",
        "sam2": "text4seg.refine.sam_refiner:sam2",
        "sam3": "text4seg.refine.sam_refiner:sam3",
        "sam_hq": "text4seg.refine.sam_refiner:sam_hq",
    },
)
"""Factories of refiners; a new one is a module and a row here, or a plug-in's entry point."""


def get_refiner(text: str) -> Refiner:
    """Get a refiner from what a user writes; no weights are loaded before its first mask.

    Args:
        text: A name of `REFINERS`. `sam@768` sets the long side to 768 pixels; `sam:FOLDER`,
            `sam2:FOLDER`, `sam3:FOLDER` and `sam_hq:FOLDER` read a model from a folder or a hub.

    Returns:
        The refiner.

    Raises:
        UnknownNameError: There is no such refiner; the message lists the known ones.
        InputError: What follows the name does not fit it.
        MissingExtraError: It needs packages that are not installed.
        PluginError: It is a plug-in that cannot be loaded.
    """
    spec = RefinerSpec.parse(text)
    if spec.name not in REFINERS:
        raise UnknownNameError("refiner", text, REFINERS)
    return REFINERS[spec.name](spec)
