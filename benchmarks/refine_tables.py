"""What benchmarks/refine.py recorded, as Markdown for docs/refine.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Result = dict[str, Any]


def table(record: dict[str, Any]) -> str:
    """IoU and cost of each refiner, then by size of the object, then the gain by shape of image."""
    results: list[Result] = record["results"]
    parts = [["Measured by", "", "```", command(record), "```"], list(_overall(results))]
    parts.append(list(_by_size(results)))
    if "gain by image" in results[0] and len(results[0]["gain by image"]) > 1:
        parts.append(list(_by_shape(results)))
    return "\n\n".join("\n".join(part) for part in parts)


def command(record: dict[str, Any]) -> str:
    """How to measure it again."""
    given = ("grid", "refiners", "inputs", "per_image")
    options = " ".join(f"--{name.replace('_', '-')} {record[name]}" for name in given)
    limit = f" --limit {record['limit']}" if record.get("limit") else ""
    return f"python -m benchmarks.refine --coco {record['coco']} --images DIR {options}{limit}"


def _overall(results: Sequence[Result]) -> Iterator[str]:
    titles = ("input", "refiner", "objects", "IoU", "gain over `none`", "kept coarse")
    yield _row([*titles, "first mask", "further mask", "peak MB"])
    yield "|---" * 9 + "|"
    for result in results:
        cells = [
            result["input"],
            result["refiner"],
            result["objects"],
            f"{result['iou']:.3f}",
            gain(result.get("gain")),
            f"{result['kept coarse']:.0%}",
            seconds(result["processor seconds, first of an image"]),
            seconds(result["processor seconds a mask"]),
            result["peak_memory_mb"],
        ]
        yield _row(cells)


def _by_size(results: Sequence[Result]) -> Iterator[str]:
    titles = list(results[0]["by size"])
    yield _row(["IoU by share of the image", "", *titles])
    yield "|---" * (len(titles) + 2) + "|"
    yield _row(["objects", "", *(results[0]["by size"][title][1] for title in titles)])
    for result in results:
        values = (f"{result['by size'][title][0]:.3f}" for title in titles)
        yield _row([result["input"], result["refiner"], *values])


def _by_shape(results: Sequence[Result]) -> Iterator[str]:
    titles = list(results[0]["gain by image"])
    yield _row(["gain by shape of the image", "", *titles])
    yield "|---" * (len(titles) + 2) + "|"
    yield _row(["objects", "", *(results[0]["by image"][title][1] for title in titles)])
    for result in results:
        if result["refiner"] != "none":
            values = (gain(result["gain by image"][title]) for title in titles)
            yield _row([result["input"], result["refiner"], *values])


def gain(values: Sequence[float] | None) -> str:
    """A mean and its interval."""
    if values is None:
        return "–"
    mean, low, high = values
    return "0" if low == high == 0 else f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def seconds(value: float | None) -> str:
    """Two digits that count, small ones in milliseconds."""
    if value is None:
        return "–"
    return f"{value * 1000:.2g} ms" if value < 0.1 else f"{value:.2g} s"


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
