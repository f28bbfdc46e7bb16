from __future__ import annotations

import jaxtyping
import pytest


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pass arrays of shapes that do not fit, as callers without a type checker do."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
