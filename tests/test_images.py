from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.images import (
    check_image,
    draw_overlay,
    image_to_png,
    mask_to_png,
    open_image,
    open_mask,
)


def image(mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> Image.Image:
    return Image.new(mode, size)


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header promises more pixels than anyone wants to decode."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def png_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))

BROKEN = [
    pytest.param(b"", "is empty", id="no byte in it"),
    pytest.param(b"hello", "not a picture", id="no picture at all"),
    pytest.param(b"\x89PNG\r\n\x1a\n", "not a picture|broken", id="a signature and nothing else"),
    pytest.param(png_bytes(NOISE)[:2000], "broken picture", id="cut off in the middle"),
    pytest.param(
        png_bytes(NOISE)[:100] + b"\0" * 50 + png_bytes(NOISE)[150:],
        "broken picture",
        id="bytes overwritten",
    ),
    pytest.param(png_that_claims(12000, 12000), "12000 x 12000 pixels", id="over our limit"),
    pytest.param(png_that_claims(60000, 60000), "pixels", id="an image bomb"),
    pytest.param(png_that_claims(4, 4), "broken picture", id="a header without pixels"),
    pytest.param(png_that_claims(0, 0), "picture", id="no pixels"),
]


@pytest.mark.parametrize(("data", "message"), BROKEN)
def test_a_broken_file_is_an_input_error(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    for opener in (open_image, open_mask):
        with pytest.raises(InputError, match=message) as caught:
            opener(path)
        assert "photo.png" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_file_a_folder_and_a_device_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        open_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="is a folder"):
        open_image(tmp_path)
    with pytest.raises(InputError, match="not an ordinary file"):
        open_image("/dev/null")
    with pytest.raises(InputError, match="cannot be read"):
        open_image(tmp_path / ("n" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    image().save(path)
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        open_image(path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("photo.tif" if mode in ("I", "F", "CMYK") else "photo.png")
    image(mode).save(path)
    opened = open_image(path)
    assert (opened.mode, opened.size) == ("RGB", (6, 4))


def test_deep_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(path)
    assert np.asarray(open_image(path))[0, :, 0].tolist() == [0, 128, 255]


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    path = tmp_path / "glass.png"
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(path)
    assert open_image(path).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_noted_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    image(size=(6, 4)).save(path, exif=exif)
    upright = (4, 6) if orientation >= 5 else (6, 4)
    assert open_image(path).size == upright
    assert check_image(path) == Size(height=upright[1], width=upright[0])


def test_reading_a_mask(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    expected = np.array([[True, False, False], [False, True, True]])
    path.write_bytes(mask_to_png(expected))
    assert np.array_equal(open_mask(path), expected)
    palette = Image.fromarray(expected.astype(np.uint8), mode="P")
    palette.putpalette([255, 255, 255, 0, 0, 0])
    palette.save(path)
    assert np.array_equal(open_mask(path), expected), "the first palette entry is background"
    glass = np.zeros((2, 3, 4), dtype=np.uint8)
    glass[..., :3] = 200
    glass[..., 3] = expected * 255
    Image.fromarray(glass).save(path)
    assert np.array_equal(open_mask(path), expected), "transparent is background"
    Image.fromarray(expected.astype(np.uint8)).save(path)
    assert np.array_equal(open_mask(path), expected), "1 is as good as 255"


def test_an_overlay_tints_the_mask_and_leaves_the_rest() -> None:
    image = Image.new("RGB", (100, 80), (10, 20, 30))
    mask = np.zeros((80, 100), dtype=bool)
    mask[40:60, 40:60] = True
    drawn = np.asarray(draw_overlay(image, mask, tint=(255, 0, 0)))
    assert drawn[50, 50, 0] > 100
    assert drawn[50, 39].tolist() == [255, 0, 0], "the outline is just outside"
    assert drawn[75, 5].tolist() == [10, 20, 30]
    captioned = np.asarray(draw_overlay(image, mask, caption="a very long caption " * 9))
    assert not np.array_equal(captioned[:15], drawn[:15])
    assert np.array_equal(captioned[75:], drawn[75:])


def test_an_overlay_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="4x6"):
        draw_overlay(image(), np.zeros((3, 3), dtype=bool))


def test_png_bytes_open_again() -> None:
    assert Image.open(io.BytesIO(image_to_png(image()))).size == (6, 4)
