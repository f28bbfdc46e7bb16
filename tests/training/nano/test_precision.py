"""bfloat16 is used only where it is faster."""

from __future__ import annotations

import pytest
import torch

from text4seg.training.nano import precision


@pytest.mark.parametrize(("faster", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_products_are_in_the_faster_precision(
    faster: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "is_bfloat16_faster", lambda: faster)
    matrix = torch.eye(4)
    with precision.mixed_precision():
        assert (matrix @ matrix).dtype == dtype
    assert (matrix @ matrix).dtype == torch.float32


def test_the_machine_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(dtype: torch.dtype) -> float:
        measured.append(dtype)
        return 1.0 if dtype == torch.bfloat16 else 2.0

    monkeypatch.setattr(precision, "_measure_seconds", measure)
    precision.is_bfloat16_faster.cache_clear()
    try:
        assert precision.is_bfloat16_faster()
        assert precision.is_bfloat16_faster()
    finally:
        precision.is_bfloat16_faster.cache_clear()
    assert measured == [torch.bfloat16, torch.float32]
