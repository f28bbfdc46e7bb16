"""The tasks of the plugin, each a YAML file beside the functions that it names."""

from __future__ import annotations
