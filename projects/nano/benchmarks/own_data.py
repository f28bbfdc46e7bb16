r"""Fine-tuning on a user's own names: 50 images to learn from, 30 others to ask about.

    python -m projects.nano.benchmarks.own_data \
        --data DIR --out DIR [--names own|kinds] [--train [--json FILE]]

Without `--train` only the two files of questions are written. With it nano's recipe is run on them
as a user would, and the scores before and after and the seconds are recorded.

The images are the validation images of the clothing set, none of which nano was trained on. With
`--names own` the things are asked for by German words, which nano does not know, a few of them
false friends ("Rock" is a skirt). The images to learn from are asked about `--absent` absent
things, the others about two, as in nano's own evaluation. With `--names kinds` things are asked for
by kinds, each of several garments that nano distinguishes, and about every absent kind.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from projects.nano.benchmarks.evaluation_sets import (
    SEED,
    SMALLEST_SHARE,
    clothing_masks,
    line,
    lines,
)
from text4seg.core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

RECIPE = Path(__file__).parents[3] / "recipes" / "nano-own-data.toml"
WEIGHTS = "nano v4"  # as they come with the package; the recipe trains their fusion alone
SHOWN = ("grid_iou", "miss_rate", "n_acc")
IMAGES_TO_LEARN = 50
OWN_NAMES = {
    "accessories": "Zubehör", "bag": "Tasche", "belt": "Gürtel", "blazer": "Sakko",
    "blouse": "Bluse", "bodysuit": "Bodysuit-Teil", "boots": "Stiefel", "bra": "Büstenhalter",
    "bracelet": "Armband", "cape": "Umhang", "cardigan": "Strickjacke", "clogs": "Holzschuhe",
    "coat": "Mantel", "dress": "Kleid", "earrings": "Ohrringe", "flats": "Ballerinas",
    "glasses": "Brille", "gloves": "Handschuhe", "hair": "Haare", "hat": "Hut",
    "heels": "Absatzschuhe", "hoodie": "Kapuzenpulli", "intimate": "Unterwäsche",
    "jacket": "Jacke", "jeans": "Jeanshose", "jumper": "Strickpulli", "leggings": "Leggins",
    "loafers": "Slipper", "necklace": "Halskette", "panties": "Slip", "pants": "Hose",
    "pumps": "Pumps-Schuhe", "purse": "Handtasche", "ring": "Fingerring", "romper": "Spielanzug",
    "sandals": "Sandalen", "scarf": "Schal", "shirt": "Hemd", "shoes": "Schuhe",
    "shorts": "kurze Hose", "skin": "Haut", "skirt": "Rock", "sneakers": "Turnschuhe",
    "socks": "Socken", "stockings": "Strümpfe", "suit": "Anzug", "sunglasses": "Sonnenbrille",
    "sweater": "Pulli", "sweatshirt": "Sweatpulli", "swimwear": "Badeanzug",
    "t-shirt": "Kurzarmhemd", "tie": "Krawatte", "tights": "Strumpfhose", "top": "Oberteil",
    "vest": "Weste", "wallet": "Geldbeutel", "watch": "Armbanduhr", "wedges": "Keilschuhe",
}  # fmt: skip

OWN_KINDS = {
    "Schuhwerk": ("shoes", "boots", "heels", "flats", "loafers", "sneakers", "sandals", "clogs",
                  "pumps", "wedges"),
    "Überkleidung": ("coat", "jacket", "blazer", "cape", "vest", "cardigan"),
    "Oberteile": ("shirt", "t-shirt", "blouse", "top", "sweater", "sweatshirt", "jumper", "hoodie"),
    "Unterteile": ("pants", "jeans", "shorts", "skirt", "leggings"),
    "Ganzteile": ("dress", "romper", "suit", "bodysuit"),
    "Beinwäsche": ("stockings", "tights", "socks"),
    "Taschen": ("bag", "purse", "wallet"),
    "Schmuck": ("bracelet", "earrings", "necklace", "ring", "watch"),
    "Augengläser": ("glasses", "sunglasses"),
    "Kopfbedeckung": ("hat",),
    "nackte Haut": ("skin",),
    "Frisur": ("hair",),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the own-data example.")
    parser.add_argument("--data", type=Path, required=True, help="folder with clothing/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    parser.add_argument("--names", choices=("known", "own", "kinds"), default="known")
    parser.add_argument("--absent", type=int, default=8, help="absent things an image to learn")
    parser.add_argument("--train", action="store_true", help="run the recipe on them, too")
    parser.add_argument("--json", type=Path, help="add what it gave to this record")
    arguments = parser.parse_args()
    kinds = arguments.names == "kinds"
    records = list(kind_lines(arguments.data) if kinds else lines(arguments.data, "clothing"))
    images = list(dict.fromkeys(record["image"] for record in records))
    learned = set(images[:IMAGES_TO_LEARN])
    parts = {
        "train": [record for record in records if record["image"] in learned],
        "val": [record for record in records if record["image"] not in learned],
    }
    if not kinds:
        parts["train"] += more_absent(arguments.data, parts["train"], arguments.absent)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, given in parts.items():
        chosen = [rename(record) for record in given] if arguments.names == "own" else given
        file = arguments.out / f"{name}.jsonl"
        write_atomically(file, "".join(json.dumps(record) + "\n" for record in chosen).encode())
        count = len({record["image"] for record in chosen})
        print(f"{file}: {len(chosen)} questions about {count} images")
    if arguments.train:
        row = {"names": arguments.names, "questions": len(parts["train"]), **train(arguments)}
        record: dict[str, Any] = {"benchmark": "own_data", "rows": []}
        if arguments.json and arguments.json.is_file():
            record = json.loads(arguments.json.read_text())
        kept = [old for old in record["rows"] if old["names"] != arguments.names]
        record["rows"] = sorted([*kept, row], key=lambda one: str(one["names"]))
        print(table(record))
        if arguments.json:
            arguments.json.write_text(json.dumps(record, indent=2) + "\n")


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the recipe; figures before and after, and the seconds of the whole command."""
    run = arguments.out / "run"
    settings = {
        "data.train": arguments.out / "train.jsonl",
        "data.validation": arguments.out / "val.jsonl",
        "data.images": arguments.data,
        "output": run,
    }
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "text4seg", "train", str(RECIPE), *changes, "--json"]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - started
    provenance = json.loads((run / "provenance.json").read_text())
    figures = {when: {name: provenance[when]["clothing"][name] for name in SHOWN}
               for when in ("before", "after")}  # fmt: skip
    return {
        "steps": provenance["steps"],
        "seconds": round(seconds),
        "cores": len(os.sched_getaffinity(0)),
        "weights": WEIGHTS,
        "interpolation": provenance["interpolation"],
        "aliases": provenance["aliases"],
        **figures,
    }


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        "| names | | kept | IoU on the grid | there, left empty | absent, left empty | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        for when in ("before", "after"):
            grid, missed, empty = (row[when][name] for name in SHOWN)
            kept, minutes = "", ""
            if when == "after":
                kept, minutes = f"{row['interpolation']['share']:.0%}", f"{row['seconds'] / 60:.0f}"
            lines.append(
                f"| {row['names']} | {when} | {kept} "
                f"| {grid:.3f} | {missed:.1%} | {empty:.1%} | {minutes} |"
            )
    weights = " and ".join(dict.fromkeys(row["weights"] for row in record["rows"]))
    lines += ["", f"With {weights}, on {record['rows'][0]['cores']} core."]
    return "\n".join(lines) + "\n"


def more_absent(data: Path, records: list[dict[str, Any]], wanted: int) -> list[dict[str, Any]]:
    """Further questions about absent things, so that each image has as many as wanted."""
    random = np.random.default_rng(SEED + 1)
    asked: dict[str, set[str]] = {}
    absent: dict[str, int] = {}
    for record in records:
        image = record["image"]
        asked.setdefault(image, set()).add(record["expression"])
        absent[image] = absent.get(image, 0) + (record["mask"] is None)
    more = []
    for image, masks, annotated in clothing_masks(data):
        if image not in asked:
            continue
        left = [
            name for name in annotated if name not in masks and f"the {name}" not in asked[image]
        ]
        drawn = random.choice(left, max(0, wanted - absent[image]), replace=False)
        more += [line(image, str(name), None, "clothing") for name in drawn]
    return more


def kind_lines(data: Path) -> Iterator[dict[str, Any]]:
    """Of every image all kinds, present or absent; none whose things are all too small to ask."""
    for image, masks, _ in clothing_masks(data):
        for kind, names in OWN_KINDS.items():
            found = [masks[name] for name in names if name in masks]
            mask = np.any(found, axis=0) if found else None
            if mask is None or mask.mean() > SMALLEST_SHARE:
                yield line(image, kind, mask, "clothing")


def rename(record: dict[str, Any]) -> dict[str, Any]:
    """The question in words of the user's own."""
    name = record["expression"].removeprefix("the ")
    return {**record, "expression": f"the {OWN_NAMES[name]}"}


if __name__ == "__main__":
    main()
