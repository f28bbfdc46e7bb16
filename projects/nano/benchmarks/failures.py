"""Draw docs/nano-failures.png: where nano goes wrong, on images that anyone may show.

    python -m projects.nano.benchmarks.failures --out docs/nano-failures.png

The images are those of examples/photos and, where scikit-learn and scikit-image are installed
(`pip install scikit-learn scikit-image`), of these packages. Nothing is made up: each picture is
nano's own answer, without a refiner. All questions that were tried are in `QUESTIONS`; `SHOWN` are
those of them that went wrong, by eye.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from text4seg.cli._model_options import load_segmenter
from text4seg.core.files import write_atomically
from text4seg.images import draw_overlay, image_to_png, open_image

if TYPE_CHECKING:
    from text4seg import Segmentation

EXAMPLES = Path(__file__).parents[3] / "examples" / "photos"
QUESTIONS = {
    "cat.jpg": ("the left eye", "the nose", "the ear", "the hound", "the tabby"),
    "astronaut.jpg": (
        *("the flag", "the helmet", "the face", "the shuttle", "the hair", "the red patch"),
        *("the left hand", "the woman", "the man"),
    ),
    "coffee.jpg": (
        *("the spoon", "the saucer", "the coffee", "the red cup", "the bowl", "the table"),
        "the foam",
    ),
    "sklearn/datasets/images/china.jpg": (
        *("the roof", "the tree", "the left tree", "the lantern", "the sky", "the building"),
        *("the person", "the temple"),
    ),
    "sklearn/datasets/images/flower.jpg": (
        *("the flower", "the leaf", "the bee", "the dahlia", "the vase"),
    ),
    "skimage/data/rocket.jpg": ("the rocket", "the tower", "the sky", "the flame", "the missile"),
    "skimage/data/camera.png": ("the man", "the camera", "the tripod", "the coat", "the building"),
    "skimage/data/coins.png": ("the coin", "the largest coin", "the top left coin"),
}
SHOWN = (
    ("cat.jpg", "the left eye"),
    ("astronaut.jpg", "the flag"),
    ("astronaut.jpg", "the helmet"),
    ("astronaut.jpg", "the man"),
    ("coffee.jpg", "the saucer"),
    ("coffee.jpg", "the coffee"),
    ("coffee.jpg", "the bowl"),
    ("sklearn/datasets/images/china.jpg", "the roof"),
    ("sklearn/datasets/images/china.jpg", "the left tree"),
    ("sklearn/datasets/images/flower.jpg", "the flower"),
    ("sklearn/datasets/images/flower.jpg", "the bee"),
    ("sklearn/datasets/images/flower.jpg", "the dahlia"),
    ("skimage/data/rocket.jpg", "the rocket"),
    ("skimage/data/rocket.jpg", "the tower"),
    ("skimage/data/coins.png", "the coin"),
    ("skimage/data/coins.png", "the top left coin"),
)
TILE = (240, 180)
COLUMNS = 4
# A small file matters more here than the finest shades.
COLORS = 256


def find_image(name: str) -> Path:
    """An image of examples/photos, or one inside an installed package.

    Raises:
        LookupError: The package is not installed.
    """
    package, slash, inside = name.partition("/")
    if not slash:
        return EXAMPLES / name
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise LookupError(f"{package} is not installed: pip install scikit-learn scikit-image")
    return Path(spec.origin).parent / inside


def tile(image_path: Path, answer: Segmentation, caption: str) -> Image.Image:
    image = open_image(image_path).resize(TILE)
    mask = np.asarray(Image.fromarray(answer.mask).resize(TILE))
    return draw_overlay(image, mask, caption=caption)


def sheet(tiles: list[Image.Image]) -> Image.Image:
    rows = -(-len(tiles) // COLUMNS)
    drawn = Image.new("RGB", (TILE[0] * COLUMNS, TILE[1] * rows), "white")
    for place, one in enumerate(tiles):
        drawn.paste(one, (TILE[0] * (place % COLUMNS), TILE[1] * (place // COLUMNS)))
    return drawn


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw what nano gets wrong.")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    parser.add_argument("--all", action="store_true", help="everything that was tried")
    parser.add_argument("--model", default="nano", help="a model's name or folder")
    arguments = parser.parse_args()
    segmenter, tiles = load_segmenter(arguments.model), []
    for name, expressions in QUESTIONS.items():
        wanted = [e for e in expressions if arguments.all or (name, e) in SHOWN]
        if not wanted:
            continue
        try:
            image = find_image(name)
        except LookupError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        for expression, answer in zip(wanted, segmenter.segment_many(image, wanted), strict=True):
            share = float(answer.mask.mean())
            print(json.dumps({"image": name, "expression": expression, "share": round(share, 4)}))
            tiles.append(tile(image, answer, f"{expression}: {share:.0%}" if share else
                              f"{expression}: nothing"))  # fmt: skip
    write_atomically(arguments.out, image_to_png(sheet(tiles).quantize(COLORS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
