"""Renderers of `text4seg convert`: masks as images, outlines and records of other tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from text4seg.cli._console import UsageError
from text4seg.conversions import (
    Value,
    cut_out,
    label_map_to_png,
    masks_to_coco,
    masks_to_detections,
    masks_to_svg,
)
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import OTHERS, Size
from text4seg.images import image_to_png, mask_to_png

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True, eq=False)
class RenderRequest:
    """What to render.

    Attributes:
        value: The mask.
        size: The size of its image.
        image: The image, if there is one.
        label: The label to render; None is all of them.
    """

    value: Value
    size: Size
    image: Image | None = None
    label: str | None = None

    def mask(self) -> np.ndarray:
        """Get the pixels of the label, or of all labels."""
        if self.label is None:
            return np.asarray(self.value.label_map(self.size) > 0)
        return self.value.mask(self.label, self.size)

    def things(self) -> list[tuple[str, np.ndarray]]:
        """Get each object of the label, or of all labels."""
        found = self.value.things(self.size)
        return [one for one in found if self.label in (None, one[0])]


def to_png(request: RenderRequest) -> bytes:
    """Render an image that is white where the mask is."""
    return mask_to_png(request.mask())


def to_labels(request: RenderRequest) -> bytes:
    """Render an image with a palette, whose values are the indices of the labels."""
    labels = request.value.label_map(request.size)
    return label_map_to_png(labels, len(request.value.labels))


def to_cutout(request: RenderRequest) -> bytes:
    """Render the image, transparent outside the mask."""
    if request.image is None:
        raise UsageError("a cut-out is cut from an image: give it with --image")
    return image_to_png(cut_out(request.image, request.mask()))


def to_svg(request: RenderRequest) -> bytes:
    """Render outlines, a path for each label."""
    labels = [name for name in request.value.labels if name != OTHERS]
    wanted = [name for name in labels if request.label in (None, name)] or [request.label or ""]
    masks = {name: request.value.mask(name, request.size) for name in wanted}
    return masks_to_svg(masks).encode()


def to_coco(request: RenderRequest) -> bytes:
    """Render annotations as in COCO, with `category_name` in place of its ids."""
    return (json.dumps(masks_to_coco(request.things()), ensure_ascii=False) + "\n").encode()


def to_detections(request: RenderRequest) -> bytes:
    """Render what `supervision.JSONSink` writes of the masks as detections, with run lengths."""
    things = request.things()
    detections = masks_to_detections([(label, mask, 1.0) for label, mask in things])
    import supervision

    kept = {"segmentation": [mask_to_rle(mask) for _, mask in things]}
    rows = supervision.JSONSink.parse_detection_data(detections, kept) if things else []
    return (json.dumps(rows, ensure_ascii=False, default=str) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Renderer:
    """A way to render.

    Attributes:
        write: Renders a request.
        is_text: Whether the result is text, which may go to stdout.
    """

    write: Callable[[RenderRequest], bytes]
    is_text: bool


RENDERERS: Mapping[str, Renderer] = MappingProxyType(
    {
        "png": Renderer(to_png, is_text=False),
        "labels": Renderer(to_labels, is_text=False),
        "cutout": Renderer(to_cutout, is_text=False),
        "svg": Renderer(to_svg, is_text=True),
        "coco": Renderer(to_coco, is_text=True),
        "detections": Renderer(to_detections, is_text=True),
    }
)


def check_rendering(kind: str, out: Path | None, size: Size | None, image: Path | None) -> None:
    """Raise `UsageError` for what cannot be rendered, before anything is read."""
    if not RENDERERS[kind].is_text and out is None:
        raise UsageError(f"{kind} is a picture: give its file with -o")
    if size is None and image is None:
        raise UsageError(f"{kind} is made of pixels: give --size, or the image: --image")
    if kind == "cutout" and image is None:
        raise UsageError("a cut-out is cut from an image: give it with --image")
