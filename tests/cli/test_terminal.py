from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from text4seg.cli._terminal import print_grid
from text4seg.core.types import DescriptorGrid

GRID = DescriptorGrid(("others", "a cat", "a dog"), np.array([[0, 1], [2, 0]]))


@pytest.mark.parametrize(
    ("encoding", "rows"),
    [
        ("utf-8", ["··██", "██··"]),
        ("ascii", ["..##", "##.."]),
    ],
)
def test_a_grid_is_blocks_and_run_lengths(
    monkeypatch: pytest.MonkeyPatch, encoding: str, rows: list[str]
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    print_grid(GRID)
    sys.stdout.flush()
    lines = written.getvalue().decode(encoding).splitlines()
    assert [line.split()[0] for line in lines] == rows
    assert lines[0].endswith("others *1| a cat *1")
