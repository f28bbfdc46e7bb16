"""The table of baselines."""

from __future__ import annotations

from projects.nano.benchmarks import baselines


def test_ways_as_a_table() -> None:
    figures = {"iou": 0.5, "large_iou": None}
    record = {"sets": {"coco": {"head": figures, "boxes + MobileSAM": figures}}, "command": "c"}
    assert baselines.table(record).splitlines()[2:4] == [
        "| head | 0.500 / 0.000 |",
        "| boxes + MobileSAM (pixels) | 0.500 / 0.000 |",
    ]
