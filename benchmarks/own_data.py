"""Make the own-data example: questions about 50 photos to learn from, about 30 others to ask.

    python -m benchmarks.own_data --data DIR --out DIR

The photos are the validation photos of the clothing set, none of which nano was trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.evaluation_sets import lines
from text4seg.core.files import write_atomically

PHOTOS_TO_LEARN = 50


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the own-data example.")
    parser.add_argument("--data", type=Path, required=True, help="folder with clothing/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    arguments = parser.parse_args()
    records = list(lines(arguments.data, "clothing"))
    photos = list(dict.fromkeys(record["image"] for record in records))
    parts = {"train": photos[:PHOTOS_TO_LEARN], "val": photos[PHOTOS_TO_LEARN:]}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, chosen in parts.items():
        kept = [record for record in records if record["image"] in set(chosen)]
        file = arguments.out / f"{name}.jsonl"
        write_atomically(file, "".join(json.dumps(record) + "\n" for record in kept).encode())
        print(f"{file}: {len(kept)} questions about {len(chosen)} photos")


if __name__ == "__main__":
    main()
