"""Image files: opening images and masks with checks, writing PNG, drawing a mask over an image."""

from __future__ import annotations

import io
import math
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps, UnidentifiedImageError

from text4seg.core.errors import InputError
from text4seg.core.types import Size

MAX_PIXELS = 100_000_000
"""The largest image that is opened: a decoded image takes three bytes per pixel."""

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""The endings of image files, for folders that hold other files too."""

TINTS = ((255, 64, 84), (24, 148, 255), (255, 170, 0), (20, 184, 120), (170, 90, 255))
"""Colors of masks, in the order of the expressions."""

# What Pillow's readers raise on damaged files; each of them has been seen.
_BROKEN = (
    OSError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder by name, not those of folders below it."""
    return sorted(one for one in folder.iterdir() if one.suffix.lower() in IMAGE_ENDINGS)


def open_image(
    path: str | PathLike[str], *, max_pixels: int = MAX_PIXELS, content: bytes | None = None
) -> Image.Image:
    """Open an image as upright RGB.

    The orientation that a camera noted is applied, transparent parts are laid on white, deep and
    single-channel images become 8-bit RGB, and of an animation the first frame is taken.

    Args:
        path: The file; with `content`, a name for messages.
        max_pixels: The most pixels that are opened.
        content: The bytes of an image that is not a file of its own.

    Returns:
        The image in mode RGB.

    Raises:
        InputError: The file is missing, unreadable, not an image, broken or too large.
    """
    with _opened(path, max_pixels, content) as image:
        upright = ImageOps.exif_transpose(image)
        return to_rgb(upright)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB: transparent parts on white, deep grays scaled to 8 bits."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def check_image(
    path: str | PathLike[str], *, max_pixels: int = MAX_PIXELS, content: bytes | None = None
) -> Size:
    """Read the size of an image from its header.

    Args:
        path: The file; with `content`, a name for messages.
        max_pixels: The most pixels that are accepted.
        content: The bytes of an image that is not a file of its own.

    Returns:
        The size that `open_image` would give.

    Raises:
        InputError: As for `open_image`, except for damage behind the header.
    """
    with _opened(path, max_pixels, content) as image:
        sideways = image.getexif().get(0x0112) in (5, 6, 7, 8)
        width, height = image.size[::-1] if sideways else image.size
        return Size(height, width)


def open_mask(
    path: str | PathLike[str], *, max_pixels: int = MAX_PIXELS
) -> Bool[np.ndarray, "h w"]:
    """Read a mask: every pixel that is neither black nor completely transparent belongs to it.

    Args:
        path: The file. In an image with a palette the first entry is the background.
        max_pixels: The most pixels that are opened.

    Returns:
        A boolean array `h w`.

    Raises:
        InputError: As for `open_image`.
    """
    with _opened(path, max_pixels) as image:
        values = np.asarray(image)  # of a picture with a palette, the indices
        if values.ndim == 2:
            return np.asarray(values != 0)
        if image.mode in ("RGBA", "LA", "PA"):
            seen = (values[..., :-1] != 0).any(axis=-1) & (values[..., -1] != 0)
            return np.asarray(seen)
        return np.asarray((values != 0).any(axis=-1))


def open_values(
    path: str | PathLike[str], *, max_pixels: int = MAX_PIXELS, content: bytes | None = None
) -> Int[np.ndarray, "..."]:
    """Read the values of a label image.

    Args:
        path: The file; with `content`, a name for messages.
        max_pixels: The most pixels that are opened.
        content: The bytes of an image that is not a file of its own.

    Returns:
        Whole numbers, `h w` or `h w channels`; for a palette its indices.

    Raises:
        InputError: As for `open_image`, or the values are not whole numbers.
    """
    with _opened(path, max_pixels, content) as image:
        values = np.asarray(image.convert("L") if image.mode == "1" else image)
        if values.dtype.kind not in "iu":
            raise InputError(f"{path} holds {values.dtype}, and labels are whole numbers")
        return values.copy()


def mask_to_png(mask: Bool[np.ndarray, "h w"]) -> bytes:
    """Write a mask as an 8-bit gray PNG, 255 where it is set."""
    return image_to_png(Image.fromarray(mask.astype(np.uint8) * 255))


def image_to_png(image: Image.Image) -> bytes:
    """Write an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def draw_overlay(
    image: Image.Image,
    mask: Bool[np.ndarray, "h w"],
    *,
    caption: str = "",
    tint: tuple[int, int, int] = TINTS[0],
) -> Image.Image:
    """Draw an image with a mask tinted and outlined.

    Args:
        image: The image.
        mask: A boolean array `h w` of its size.
        caption: A text for the upper left corner.
        tint: The color of mask and caption.

    Returns:
        A new RGB image.

    Raises:
        InputError: The mask has another size than the image.
    """
    if mask.shape != image.size[::-1]:
        raise InputError(
            f"the mask is {mask.shape[0]}x{mask.shape[1]} and the image "
            f"{image.height}x{image.width} (height x width)"
        )
    picture = image.convert("RGB")
    inside = Image.fromarray(mask.astype(np.uint8) * 255)
    picture.paste(Image.blend(picture, Image.new("RGB", picture.size, tint), 0.45), mask=inside)
    width = 2 * max(1, round(min(image.size) / 300)) + 1
    grown = np.asarray(inside.filter(ImageFilter.MaxFilter(width))) > 0
    picture.paste(tint, mask=Image.fromarray((grown & ~mask).astype(np.uint8) * 255))
    if caption:
        _write_caption(picture, caption, tint)
    return picture


def _write_caption(picture: Image.Image, caption: str, tint: tuple[int, int, int]) -> None:
    draw = ImageDraw.Draw(picture)
    size = max(10.0, min(picture.size) / 22)
    font = ImageFont.load_default(size)
    room = picture.width - size
    while len(caption) > 1 and draw.textlength(caption, font=font) > room:
        caption = caption.removesuffix("…")[:-1] + "…"
    left, top, right, bottom = draw.textbbox((size / 2, size / 2), caption, font=font)
    edge = size / 4
    draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), fill=tint)
    draw.text((size / 2, size / 2), caption, font=font, fill="white")


@contextmanager
def _opened(
    path: str | PathLike[str], max_pixels: int, content: bytes | None = None
) -> Iterator[Image.Image]:
    """Open a file as a picture; whatever goes wrong with it in the block becomes an InputError."""
    name = Path(path)
    if content is None:
        _check_file(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(name if content is None else io.BytesIO(content)) as image:
                if math.prod(image.size) > max_pixels:
                    raise InputError(
                        f"{name} has {image.width} x {image.height} pixels, "
                        f"and at most {max_pixels / 1e6:g} million are opened"
                    )
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(
            f"{name} has too many pixels: at most {max_pixels / 1e6:g} million are opened"
        ) from None
    except UnidentifiedImageError:
        raise InputError(f"{name} is not a picture that can be read (try JPEG or PNG)") from None
    except _BROKEN as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name} is a broken picture: {what}") from error


def _check_file(name: Path) -> None:
    try:
        status = name.stat()
    except FileNotFoundError:
        raise InputError(f"there is no file {name}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{name} cannot be read: {reason}") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name} is a folder, and a picture is needed")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name} is not an ordinary file")
    if status.st_size == 0:
        raise InputError(f"{name} is empty: it has 0 bytes")


def _deep_to_rgb(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of real numbers: the full range of its kind becomes 0 to 255."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        full = 1.0 if top <= 1.0 else max(255.0, top)
    else:
        full = 65535.0 if top <= 65535.0 else top
    grey = np.clip(values / full * 255.0, 0.0, 255.0).round().astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
