"""Every name nano is taught, in a fixed order: the fusion's name head has one output for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from text4seg.training.nano.scenes import Scene


def known_names(scenes: Iterable[Scene]) -> list[str]:
    return sorted({name for scene in scenes for name in scene.annotated})
