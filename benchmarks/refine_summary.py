"""What benchmarks/refine.py recorded, as the README's table: what each refiner costs and gains."""

from __future__ import annotations

from typing import Any

from benchmarks.refine_tables import gain, seconds


def table(record: dict[str, Any]) -> str:
    """A row for each refiner: processor seconds, memory, and the gain on both kinds of grids."""
    lines = [
        "| `--refiner` | an image's first mask, each further | MB | IoU, soft | IoU, hard |",
        "|---|---|---|---|---|",
    ]
    found = {(result["refiner"], result["input"]): result for result in record["results"]}
    for refiner in record["refiners"].split(","):
        soft, hard = found[refiner, "soft"], found[refiner, "hard"]
        costs = [
            soft["processor seconds, first of an image"],
            hard["processor seconds a mask"],
        ]
        cells = [
            f"`{refiner}`",
            ", ".join(seconds(cost) for cost in costs),
            str(soft["peak_memory_mb"]),
            *(
                f"{result['iou']:.3f}, {gain(result['gain'])}"
                if refiner != "none"
                else f"{result['iou']:.3f}"
                for result in (soft, hard)
            ),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
