"""Masks in other forms: text, JSON, COCO, label images, cut-outs, SVG, detections of supervision.

COCO's run lengths are in `core.run_lengths`, PNG files of one mask in `images`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Bool, Int

from text4seg.codec import get_format
from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.geometry import mask_to_box, masks_to_grid
from text4seg.core.instances import grid_to_record, record_to_grid
from text4seg.core.regions import Regions, masks_to_regions
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import OTHERS, Box, DescriptorGrid, GridShape, Size
from text4seg.images import TINTS, image_to_png

if TYPE_CHECKING:
    from PIL.Image import Image

Value = DescriptorGrid | Regions
"""What a text format reads and writes: a grid, or boxes with a grid each."""


def value_to_record(value: Value) -> dict[str, Any]:
    """Make a record for JSON of a grid, or of boxes with their grids.

    Args:
        value: What a text format reads.

    Returns:
        `labels` with `grid` and `cells`, or with `regions`.
    """
    if isinstance(value, Regions):
        return {"labels": list(value.labels), "regions": value.to_record()}
    return grid_to_record(value)


def record_to_value(record: Any) -> Value:
    """Read what `value_to_record` returned.

    Raises:
        InputError: The record has another form.
        LabelError: A label cannot be written.
    """
    if isinstance(record, dict) and "regions" in record:
        return Regions.from_record(record["regions"])
    return record_to_grid(record)


def value_to_text(
    value: Value, format_name: str, *, grid: GridShape, size: Size | None = None
) -> str:
    """Write a value as text of any format.

    Args:
        value: A grid, or boxes with their grids.
        format_name: The name of a text format.
        grid: The grid of the text, where boxes become a grid or a grid becomes boxes.
        size: The size of the image, whose pixels lie between a grid and boxes.

    Returns:
        The text.

    Raises:
        UnknownNameError: There is no such format.
        InputError: The size is needed and missing.
    """
    form = get_format(format_name)
    if form.syntax.covers_image == isinstance(value, DescriptorGrid):
        return form.encode(value)
    if size is None:
        raise InputError("between boxes and a grid the pixels count: give the image's --size")
    if not form.syntax.covers_image:
        return form.encode(masks_to_regions(value.things(size), grid))
    masks = {label: value.mask(label, size) for label in value.labels if label != OTHERS}
    return form.encode(masks_to_grid(masks, grid))


def masks_to_coco(things: Sequence[tuple[str, Bool[np.ndarray, "h w"]]]) -> list[dict[str, Any]]:
    """Make COCO annotations of labelled masks.

    Args:
        things: Label and boolean array `h w` of each.

    Returns:
        Annotations with `segmentation`, `bbox`, `area`, `iscrowd`, and `category_name` instead of
        the ids that only a data set has.
    """
    found = []
    for label, mask in things:
        box = mask_to_box(mask) or Box(0, 0, 0, 0)
        found.append(
            {
                "category_name": label,
                "segmentation": mask_to_rle(mask),
                "bbox": [box.x0, box.y0, box.width, box.height],
                "area": int(mask.sum()),
                "iscrowd": 0,
            }
        )
    return found


def label_map_to_png(labels: Int[np.ndarray, "h w"], count: int) -> bytes:
    """Write a label map as an 8-bit PNG with a palette.

    Args:
        labels: The number of each pixel's label; 0 is the background.
        count: The number of labels, with the background.

    Returns:
        The bytes of the file, whose pixel values are the numbers.

    Raises:
        InputError: There are more than 256 labels.
    """
    from PIL import Image as Pillow

    if count > 256:
        raise InputError(f"a picture with a palette has 256 labels at most, got {count}")
    picture = Pillow.fromarray(labels.astype(np.uint8), mode="P")
    colors = [(0, 0, 0), *(TINTS[number % len(TINTS)] for number in range(count - 1))]
    picture.putpalette([value for color in colors for value in color])
    return image_to_png(picture)


def cut_out(image: Image, mask: Bool[np.ndarray, "h w"]) -> Image:
    """Cut an image out along a mask.

    Args:
        image: The image.
        mask: A boolean array `h w` of its size.

    Returns:
        An RGBA image, transparent outside the mask.

    Raises:
        InputError: The sizes differ.
    """
    from PIL import Image as Pillow

    if mask.shape != image.size[::-1]:
        raise InputError(
            f"the mask is {mask.shape[0]}x{mask.shape[1]} and the image "
            f"{image.height}x{image.width} (height x width)"
        )
    picture = image.convert("RGB")
    picture.putalpha(Pillow.fromarray(np.asarray(mask).astype(np.uint8) * 255))
    return picture


def masks_to_svg(masks: Mapping[str, Bool[np.ndarray, "h w"]]) -> str:
    """Write masks as outlines, found by OpenCV.

    An outline runs a quarter of a pixel inside the mask's edge, so that the centers of exactly the
    mask's pixels are inside it.

    Args:
        masks: Boolean arrays `h w` of one size by label.

    Returns:
        An SVG document with a path for each label; holes stay open (even-odd rule).

    Raises:
        InputError: There is no mask, or the sizes differ.
        MissingExtraError: OpenCV is not installed.
    """
    sizes = {mask.shape for mask in masks.values()}
    if len(sizes) != 1:
        raise InputError("an SVG picture needs masks, all of one size")
    ((height, width),) = sizes
    root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}")
    for number, (label, mask) in enumerate(masks.items()):
        color = "#{:02x}{:02x}{:02x}".format(*TINTS[number % len(TINTS)])
        path = {"d": _path(mask), "fill": color, "fill-rule": "evenodd"}
        ET.SubElement(ET.SubElement(root, "path", path), "title").text = label
    return ET.tostring(root, encoding="unicode") + "\n"


def _path(mask: Bool[np.ndarray, "h w"]) -> str:
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("opencv-python-headless", "hf") from None
    # OpenCV joins the centers of border pixels. In a picture twice as large those lie a quarter of
    # a pixel inside the edge; at its own size, a line one pixel wide would have no area at all.
    big = np.kron(np.pad(np.asarray(mask) != 0, 1), np.ones((2, 2), dtype=np.uint8))
    contours, _ = cv2.findContours(big.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in contours:
        points = (contour[:, 0, :].astype(np.float64) - 1.5) / 2
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z")
    return "".join(parts)


def masks_to_detections(
    masks: Sequence[tuple[str, Bool[np.ndarray, "h w"], float]],
) -> Any:
    """Make `supervision.Detections` of masks.

    Args:
        masks: Label, boolean array `h w` and score of each thing.

    Returns:
        The detections. Class numbers count the labels in the order of their first appearance; the
        names are in `data["class_name"]`.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError:
        raise MissingExtraError("supervision", "supervision") from None
    if not masks:
        return supervision.Detections.empty()
    stack = np.stack([np.asarray(mask) != 0 for _, mask, _ in masks])
    numbers: dict[str, int] = {}
    return supervision.Detections(
        xyxy=supervision.mask_to_xyxy(stack),
        mask=stack,
        confidence=np.array([score for _, _, score in masks], dtype=np.float32),
        class_id=np.array([numbers.setdefault(label, len(numbers)) for label, _, _ in masks]),
        data={"class_name": np.array([label for label, _, _ in masks])},
    )
