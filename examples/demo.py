"""Segments the example images, prints each mask as text and writes it over the image.

python examples/demo.py --out out
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

from text4seg import Segmentation, Text4SegError
from text4seg.cli._model_options import load_segmenter
from text4seg.cli._terminal import print_grid, stats_line
from text4seg.core.files import write_atomically
from text4seg.images import draw_overlay, image_to_png

IMAGES = Path(__file__).parent / "photos"
QUESTIONS = (
    ("cat.jpg", "the cat"),
    ("astronaut.jpg", "the person"),
    ("coffee.jpg", "the cup"),
    ("coffee.jpg", "the dog"),  # there is none: the answer should be empty
)
SHEET_HEIGHT = 300


def main() -> int:
    parser = argparse.ArgumentParser(description="Segment the example images.")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    parser.add_argument("--model", default="nano", help="a model's name or folder")
    arguments = parser.parse_args()
    try:
        show(arguments.model, arguments.out)
    except Text4SegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def show(model: str, out: Path) -> None:
    """Ask all questions, print the answers and write them as pictures."""
    segmenter = load_segmenter(model, refiner="smooth")
    answers = []
    for image, expression in QUESTIONS:
        segmentation = segmenter(IMAGES / image, expression)
        print(f"\n{image}: {expression}")
        print_grid(segmentation.grid)
        print(stats_line(segmentation))
        stem = f"{Path(image).stem}.{expression.replace(' ', '-')}"
        answers.append(segmentation)
        for path in segmentation.save(out, stem):
            print(f"wrote {path}", file=sys.stderr)
    sheet = out / "demo.png"
    write_atomically(sheet, image_to_png(side_by_side(answers)))
    print(f"\nAll answers in one picture: {sheet}")


def side_by_side(answers: list[Segmentation]) -> Image.Image:
    """The images with their answers, all of one height, in a row."""
    pictures = []
    for answer in answers:
        words = f"{answer.expression}: nothing" if answer.empty else answer.expression
        drawn = draw_overlay(answer.image, answer.mask, caption=words)
        width = round(drawn.width * SHEET_HEIGHT / drawn.height)
        pictures.append(drawn.resize((width, SHEET_HEIGHT), Image.Resampling.LANCZOS))
    gap = 6
    width = sum(picture.width + gap for picture in pictures) - gap
    sheet = Image.new("RGB", (width, SHEET_HEIGHT), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet


if __name__ == "__main__":
    raise SystemExit(main())
