"""Models that the plugin adds to lmms-eval: none, its own classes run ours."""

from __future__ import annotations

AVAILABLE_MODELS: dict[str, str] = {}
