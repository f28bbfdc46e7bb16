"""Logits that are computed where they are read equal those of the whole output layer."""

from __future__ import annotations

import numpy as np
import torch

from text4seg.models.nano.lazy_logits import LogitRow, LogitRows


def test_rows_are_the_products_with_the_output_layer() -> None:
    torch.manual_seed(0)
    hidden, vocabulary = torch.randn(3, 8), torch.randn(50, 8)
    rows = LogitRows(hidden, vocabulary)
    expected = (hidden @ vocabulary.T).numpy()
    assert len(rows) == 3
    assert [len(row) for row in rows] == [50] * 3
    for row, whole in zip(rows, expected, strict=True):
        assert np.allclose(np.asarray(row), whole, atol=1e-5)
        few = np.array([5, 40, 7])
        few.setflags(write=False)
        assert np.allclose(row[few], whole[few], atol=1e-5)


def test_logits_are_float32_and_a_copy() -> None:
    row = LogitRow(torch.ones(4, dtype=torch.bfloat16), torch.eye(4, dtype=torch.bfloat16))
    first, second = np.asarray(row), np.asarray(row)
    assert first.dtype == np.float32
    first[0] = 9.0
    assert second[0] == 1.0
