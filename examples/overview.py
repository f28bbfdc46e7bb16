"""Draws an image, its grid of cells and its mask text side by side, row beside row.

python examples/overview.py --out docs/overview.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from text4seg import Segmentation, Segmenter
from text4seg.codec import FORMATS

IMAGE = Path(__file__).parent / "photos" / "cat.jpg"
EXPRESSION = "the cat"
FORMAT = "rrle"
ROW = 24  # height of a row of cells, so that a line of text fits beside it
GAP, TITLE = 24, 40
INK, FAINT, TARGET, TINT = (40, 44, 52), (130, 136, 146), (214, 30, 62), (255, 90, 110)


def font(size: int, *, mono: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu, which comes with matplotlib."""
    name = "DejaVuSansMono.ttf" if mono else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)


def draw_grid(image: Image.Image, cells: np.ndarray) -> Image.Image:
    """The image with the lines of the grid; cells of the background are paler."""
    rows, cols = cells.shape
    marked = np.asarray(Image.fromarray(cells).resize(image.size, Image.Resampling.NEAREST))
    pixels = np.asarray(image, dtype=np.float64)
    tinted = np.where(marked[..., None], 0.5 * pixels + 0.5 * np.array(TINT), pixels)
    paler = np.where(marked[..., None], tinted, 0.45 * pixels + 0.55 * 255)
    drawn = Image.fromarray(paler.round().astype(np.uint8))
    draw = ImageDraw.Draw(drawn)
    for row in range(1, rows):
        draw.line([(0, row * ROW), (image.width, row * ROW)], fill=(255, 255, 255))
    for col in range(1, cols):
        left = round(col * image.width / cols)
        draw.line([(left, 0), (left, image.height)], fill=(255, 255, 255))
    return drawn


def draw_text(draw: ImageDraw.ImageDraw, left: int, top: int, text: str) -> None:
    """The mask text, every line beside its row of cells, the target in color."""
    mono = font(15, mono=True)
    for number, line in enumerate(text.strip("\n").split("\n")):
        at = float(left)
        middle = top + number * ROW + ROW // 2
        for place, run in enumerate(line.strip().split("| ")):
            if place:
                draw.text((at, middle), "| ", fill=INK, font=mono, anchor="lm")
                at += mono.getlength("| ")
            color = FAINT if run.startswith("others") else TARGET
            draw.text((at, middle), run, fill=color, font=mono, anchor="lm")
            at += mono.getlength(run)


def draw_overview(segmentation: Segmentation) -> Image.Image:
    """Three panels of one height: the image, its grid and its text."""
    cells = np.asarray(segmentation.grid.select(EXPRESSION))
    height = ROW * cells.shape[0]
    width = round(segmentation.image.width * height / segmentation.image.height)
    image = segmentation.image.resize((width, height), Image.Resampling.LANCZOS)
    text = FORMATS[FORMAT].encode(segmentation.grid)
    widest = max(font(15, mono=True).getlength(line) for line in text.split("\n"))
    sheet = Image.new("RGB", (2 * width + 4 * GAP + round(widest), height + TITLE + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    lefts = (GAP, width + 2 * GAP, 2 * width + 3 * GAP)
    rows, cols = cells.shape
    titles = (
        f"Image, and the expression “{EXPRESSION}”",
        f"Grid of {rows} × {cols} cells",
        "Mask text",
    )
    for left, title in zip(lefts, titles, strict=True):
        draw.text((left, TITLE // 2), title, fill=INK, font=font(17), anchor="lm")
    sheet.paste(image, (lefts[0], TITLE))
    sheet.paste(draw_grid(image, cells), (lefts[1], TITLE))
    draw_text(draw, lefts[2], TITLE, text)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw an image, its grid and its text.")
    parser.add_argument("--out", type=Path, default=Path("out/overview.png"))
    arguments = parser.parse_args()
    segmentation = Segmenter.from_pretrained("nano", format=FORMAT)(IMAGE, EXPRESSION)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    # 256 colors are enough for two small photos, and keep the file small.
    sheet = draw_overview(segmentation).quantize(256, kmeans=8)
    sheet.save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
