"""Make the evaluation sets of nano from images with masks: lines that `text4seg evaluate` reads.

    python -m projects.nano.benchmarks.evaluation_sets --data DIR --out DIR

- `coco`: each class present in an image of `coco/instances_val.json`, all its instances together
  (crowds too), if they cover over 0.5 % of the image; and two absent classes an image, whose mask
  is null.
- `clothing`: each garment and body part likewise.
- `positions`: of two to six things of a class in a COCO image (and no crowd of them), the outermost
  one on each side if it is 1.5 cells apart ("the left dog"), and the largest and the smallest if
  they differ by half.
- `unseen`: the present things of both sets in words that nano was never taught; `seen`: the same
  things by the names it knows.
- `colors`: garments of a clear color ("the red dress"), and absent ones of a wrong color.
- `relations`: what is left, right, above or below of another thing in a COCO image ("the cup left
  of the bottle"); of three relations that nothing is in, one is asked.
- `composed`, with `--composed`: colors, relations and positions in `OUT/composed`, images composed
  of COCO validation things on COCO validation images; score it with `--images OUT`.
- `classes`, with `--outlines` for the folder that the stage `label` makes: images of the ImageNet
  classes that nano was never trained on, by their names, and by the name of another such class,
  which is absent. The masks are clear outlines of U²-Net-p, not true ones.

`all.jsonl` has the sets but `seen`, `colors`, `relations`, `composed` and `classes`;
`attributes.jsonl` has every fourth question of `colors` and `relations`. The draw is seeded.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from projects.nano.attribute_questions import related_choices
from projects.nano.composed_images import compose_images, cut_coco
from projects.nano.scenes import SHAPE, Scene, Thing, shades_of_masks
from projects.nano.scenes import read_coco as read_coco_scenes
from text4seg.core.files import write_atomically
from text4seg.core.geometry import mask_to_coverage, polygons_to_mask
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask
from text4seg.core.types import Size
from text4seg.models.nano.encoders.colors import clear_color, wrong_colors
from text4seg.models.nano.text.lexicon import HELD_OUT, imagenet_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALLEST_SHARE = 0.005
ABSENT_A_IMAGE = 2
FEWEST, MOST = 2, 6
CLEAR_GAP = 1.5 / 16
CLEAR_RATIO = 1.5
SIDES = {"left": (1, -1), "right": (1, 1), "top": (0, -1), "bottom": (0, 1)}
SEED = 2026
SALIENT = 128
TOGETHER = "all.jsonl"
ATTRIBUTES, EVERY = ("colors", "relations"), 4
APART = ("seen", "colors", "relations", "composed")
COMPOSED, COMPOSED_SEED = 60, 7
RELATION_WORDS = {
    "left": "to the left of the", "right": "to the right of the", "above": "above the",
    "below": "below the",
}  # fmt: skip


def read_coco(root: Path) -> Iterator[tuple[str, list[tuple[str, np.ndarray, bool]], list[str]]]:
    """Image (relative to root), its (class, mask, whether a crowd), all annotated classes."""
    document = json.loads((root / "coco" / "instances_val.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    for image in document["images"]:
        size = Size(image["height"], image["width"])
        found = []
        for record in document["annotations"]:
            if record["image_id"] == image["id"]:
                outline = record["segmentation"]
                mask = (
                    rle_to_mask(outline)
                    if isinstance(outline, dict)
                    else polygons_to_mask(outline, size)
                )
                found.append((names[record["category_id"]], mask, bool(record.get("iscrowd"))))
        yield f"coco/images/{image['file_name']}", found, sorted(names.values())


def coco_masks(root: Path) -> Iterator[tuple[str, dict[str, np.ndarray], list[str]]]:
    """Image, masks by class, all annotated classes."""
    for image, found, annotated in read_coco(root):
        masks: dict[str, np.ndarray] = {}
        for name, mask, _ in found:
            masks[name] = masks[name] | mask if name in masks else mask
        yield image, masks, annotated


def clothing_masks(root: Path) -> Iterator[tuple[str, dict[str, np.ndarray], list[str]]]:
    from PIL import Image

    document = json.loads((root / "clothing" / "index.json").read_text())
    labels: list[str] = document["labels"]
    for stem in document["val"]:
        pixels = np.asarray(Image.open(root / "clothing" / "masks" / f"{stem}.png"))
        masks = {labels[value]: pixels == value for value in np.unique(pixels) if value}
        yield f"clothing/images/{stem}.jpg", masks, labels[1:]


MASKS = {"coco": coco_masks, "clothing": clothing_masks}


def lines(root: Path, name: str) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(SEED)
    for image, masks, annotated in MASKS[name](root):
        for label, mask in masks.items():
            if mask.mean() > SMALLEST_SHARE:
                yield line(image, label, mask, name)
        missing = [label for label in annotated if label not in masks]
        for label in random.choice(missing, ABSENT_A_IMAGE, replace=False):
            yield line(image, str(label), None, name)


def line(image: str, label: str, mask: np.ndarray | None, name: str) -> dict[str, Any]:
    encoded = None if mask is None else mask_to_rle(mask)
    return {"image": image, "expression": f"the {label}", "mask": encoded, "set": name}


def position_lines(root: Path) -> Iterator[dict[str, Any]]:
    for image, found, _ in read_coco(root):
        crowds = {name for name, _, crowd in found if crowd}
        for kind in sorted({name for name, _, _ in found} - crowds):
            masks = [m for name, m, _ in found if name == kind and m.mean() > SMALLEST_SHARE / 2]
            if FEWEST <= len(masks) <= MOST:
                for word, mask in singled_out(masks):
                    yield line(image, f"{word} {kind}", mask, "positions")


def singled_out(masks: list[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """What tells one of them from the others: a side, or a size, and its mask."""
    centers = [[np.average(np.arange(m.shape[a]), weights=m.sum(1 - a)) for a in (0, 1)]
               for m in masks]  # fmt: skip
    for word, (axis, sign) in SIDES.items():
        along = sign * np.array(centers)[:, axis] / masks[0].shape[axis]
        second, first = np.argsort(along)[-2:]
        if along[first] - along[second] >= CLEAR_GAP and masks[first].mean() > SMALLEST_SHARE:
            yield word, masks[first]
    by_size = sorted(masks, key=lambda mask: int(mask.sum()))
    for word, (one, other) in {"largest": (-1, -2), "smallest": (0, 1)}.items():
        sizes = sorted((by_size[one].sum(), by_size[other].sum()))
        if sizes[1] >= CLEAR_RATIO * sizes[0] and by_size[one].mean() > SMALLEST_SHARE:
            yield word, by_size[one]


def unseen_lines(root: Path, *, seen: bool) -> Iterator[dict[str, Any]]:
    for name in MASKS:
        for asked in lines(root, name):
            known = asked["expression"].removeprefix("the ")
            if asked["mask"] is not None and known in HELD_OUT:
                word = known if seen else HELD_OUT[known]
                yield {
                    **asked,
                    "expression": f"the {word}",
                    "set": "seen" if seen else "unseen",
                }


def class_lines(root: Path, outlines: Path) -> Iterator[dict[str, Any]]:
    from PIL import Image

    from projects.nano.class_images import trusted_coverage

    held_out = [one for one in imagenet_classes() if one.held_out]
    for index, one in enumerate(held_out):
        for file in outlines.glob(f"{one.wnid}_*.png"):
            saliency = np.asarray(Image.open(file).convert("L"))
            if trusted_coverage(saliency) is None:
                continue
            image_path = f"photos/imagenet/{file.stem}.jpg"
            with Image.open(root / image_path) as image:
                size = image.size
            mask = np.asarray(Image.fromarray(saliency).resize(size)) >= SALIENT
            yield line(image_path, one.name, mask, "classes")
            other = held_out[(index + len(held_out) // 2) % len(held_out)]
            if not set(other.words) & set(one.words[:-1]):
                yield line(image_path, other.name, None, "classes")


def color_lines(root: Path) -> Iterator[dict[str, Any]]:
    for image, masks, _ in clothing_masks(root):
        shades = shades_of_masks(root / image, list(masks.values()))
        for (label, mask), shade in zip(masks.items(), shades, strict=True):
            color = None if shade is None else clear_color(shade)
            if shade is None or color is None or mask.mean() <= SMALLEST_SHARE:
                continue
            if label in ("skin", "hair"):
                continue
            yield line(image, f"{color} {label}", mask, "colors")
            wrong = wrong_colors(shade)
            if wrong:
                random = np.random.default_rng((SEED, len(image), int(mask.sum())))
                yield line(image, f"{random.choice(wrong)} {label}", None, "colors")


def relation_lines(root: Path) -> Iterator[dict[str, Any]]:
    for image, found, _ in read_coco(root):
        crowds = {name for name, _, crowd in found if crowd}
        things = [(name, mask) for name, mask, _ in found if name not in crowds]
        yield from related(image, things, "relations")


def related(
    image: str, things: list[tuple[str, np.ndarray]], name: str
) -> Iterator[dict[str, Any]]:
    """Every relation that holds of two names clearly, and every third that does not."""
    made = [Thing(kind, mask_to_coverage(mask, SHAPE)) for kind, mask in things]
    of = {id(thing.coverage): mask for thing, (_, mask) in zip(made, things, strict=True)}
    layers: dict[str, Any] = {}
    for thing in made:
        layers[thing.name] = np.maximum(layers.get(thing.name, 0.0), thing.coverage)
    scene = Scene(Path(image), name, layers, frozenset(layers), tuple(made))
    for index, (kind, relation, landmark, chosen) in enumerate(related_choices(scene)):
        masks = [of[id(thing.coverage)] for thing in chosen]
        words = f"{kind} {RELATION_WORDS[relation]} {landmark}"
        if not masks and index % 3 == 0:
            yield line(image, words, None, name)
        elif masks and np.maximum.reduce(masks).mean() > SMALLEST_SHARE:
            yield line(image, words, np.maximum.reduce(masks), name)


def composed_lines(root: Path, out: Path) -> Iterator[dict[str, Any]]:
    coco = (root / "coco" / "instances_val.json", root / "coco" / "images")
    cut_outs, backgrounds = cut_coco(*coco), read_coco_scenes(*coco)
    for made in compose_images(
        cut_outs, backgrounds, out / "composed", count=COMPOSED, seed=COMPOSED_SEED
    ):
        image = f"composed/{made['image']}"
        things = [(thing["name"], rle_to_mask(thing["mask"])) for thing in made["things"]]
        yield from related(image, things, "composed")
        for kind in sorted({name for name, _ in things}):
            masks = [mask for name, mask in things if name == kind]
            if len(masks) >= FEWEST:
                for word, mask in singled_out(masks):
                    yield line(image, f"{word} {kind}", mask, "composed")


def sets(
    root: Path, outlines: Path | None = None, out: Path | None = None
) -> dict[str, Iterator[dict[str, Any]]]:
    extra = {"classes": class_lines(root, outlines)} if outlines else {}
    return (
        extra
        | {
            "coco": lines(root, "coco"),
            "clothing": lines(root, "clothing"),
            "positions": position_lines(root),
            "seen": unseen_lines(root, seen=True),
            "unseen": unseen_lines(root, seen=False),
            "colors": color_lines(root),
            "relations": relation_lines(root),
        }
        | ({"composed": composed_lines(root, out)} if out else {})
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the evaluation sets of nano.")
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/ and clothing/")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for coco.jsonl, clothing.jsonl, …"
    )
    parser.add_argument("--composed", action="store_true", help="make the set composed as well")
    parser.add_argument("--outlines", type=Path, help="folder of outlines, for the set classes")
    arguments = parser.parse_args()
    everything: list[dict[str, Any]] = []
    attributes: list[dict[str, Any]] = []
    composed = arguments.out if arguments.composed else None
    for name, found in sets(arguments.data, arguments.outlines, composed).items():
        records = list(found)
        arguments.out.mkdir(parents=True, exist_ok=True)
        file = arguments.out / f"{name}.jsonl"
        write_atomically(file, "".join(json.dumps(record) + "\n" for record in records).encode())
        present = sum(record["mask"] is not None for record in records)
        print(f"{file}: {present} present, {len(records) - present} absent")
        everything += records if name not in APART else []
        attributes += records[::EVERY] if name in ATTRIBUTES else []
    # Image by image: each is looked at once. The things of `seen` are asked for in other sets.
    for name, records in ((TOGETHER, everything), ("attributes.jsonl", attributes)):
        records.sort(key=lambda record: record["image"])
        together = "".join(json.dumps(record) + "\n" for record in records)
        write_atomically(arguments.out / name, together.encode())


if __name__ == "__main__":
    main()
