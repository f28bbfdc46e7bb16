from __future__ import annotations

from text4seg.evaluation.lmms.models import AVAILABLE_MODELS


def test_models_are_found_where_the_loader_looks() -> None:
    """lmms-eval imports `models` of a plugin for this name."""
    assert AVAILABLE_MODELS == {}
