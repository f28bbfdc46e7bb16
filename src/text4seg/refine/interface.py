"""The refiner interface: from the probability of each cell to a mask in pixels.

A refiner is an object with `prepare(image)`. Most refiners look at one mask at a time and are plain
functions; `from_function` makes one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32

from text4seg.core.errors import InputError
from text4seg.core.types import Size

if TYPE_CHECKING:
    from PIL.Image import Image

_SPEC = re.compile(r"(?P<name>[^@:]*)(?:@(?P<side>[^:]*))?(?::(?P<model>.*))?")


@dataclass(frozen=True, slots=True, eq=False)
class RefinedMask:
    """A refined mask.

    Attributes:
        mask: True inside the object; the image's size.
        notes: What the user should know, such as that the mask stayed coarse; empty as a rule.
    """

    mask: Bool[np.ndarray, "h w"]
    notes: tuple[str, ...] = ()


RefineMask: TypeAlias = "Callable[[Float32[np.ndarray, 'rows cols']], RefinedMask]"
"""A refiner with its image: the probability of each cell (0 to 1) in, a mask out."""

RefineFunction: TypeAlias = "Callable[[Image, Float32[np.ndarray, 'rows cols'], Size], RefinedMask]"
"""A refiner that shares no work between the masks of an image: image, probability, image size."""


class Refiner(Protocol):
    """Turns the probability of each cell into a mask of the image's size.

    A refiner never turns a non-empty answer into an empty mask without a note in its result.
    """

    def prepare(self, image: Image) -> RefineMask:
        """Take an image for all its masks.

        Args:
            image: Upright RGB, at full resolution.

        Returns:
            The function for one mask. Expensive work on the image is done at the first mask that
            needs it, once.
        """
        ...


@dataclass(frozen=True, slots=True)
class RefinerSpec:
    """A refiner as users write it: `name`, `name@side` or `name:model`.

    Attributes:
        text: The whole text, for messages.
        name: The name in `REFINERS`.
        side: What follows `@`, None without one.
        model: What follows `:` (a folder or a hub's name), None without one.
    """

    text: str
    name: str
    side: str | None = None
    model: str | None = None

    @classmethod
    def parse(cls, text: str) -> RefinerSpec:
        """Split a text into its parts.

        Args:
            text: Any text.

        Returns:
            The spec; its name need not exist.
        """
        found = _SPEC.fullmatch(text)
        return cls(text, *found.group("name", "side", "model")) if found else cls(text, text)

    def require_plain(self) -> None:
        """Accept the name alone.

        Raises:
            InputError: A side or a model follows the name.
        """
        if self.side is not None or self.model is not None:
            raise InputError(
                f"the refiner {self.name} takes nothing after its name, got {self.text!r}"
            )


RefinerFactory: TypeAlias = Callable[[RefinerSpec], Refiner]
"""What `REFINERS` holds: makes a refiner from its spec, without loading any weights.

The first line of its docstring is the refiner's line in help texts and documentation.
"""


class FunctionRefiner:
    """A refiner that calls a function for each mask."""

    def __init__(self, function: RefineFunction) -> None:
        self.function = function

    def prepare(self, image: Image) -> RefineMask:
        """Bind the image and its size to the function."""
        size = Size(image.height, image.width)
        return lambda probability: self.function(image, probability, size)


def from_function(function: RefineFunction) -> RefinerFactory:
    """Make the registry's object of a plain function; usable as a decorator.

    Args:
        function: Takes the image (upright RGB), the probability of each cell and the image's size.

    Returns:
        A factory with the function's docstring; it accepts the refiner's name alone.
    """

    @wraps(function)
    def build(spec: RefinerSpec) -> Refiner:
        spec.require_plain()
        return FunctionRefiner(function)

    return build
