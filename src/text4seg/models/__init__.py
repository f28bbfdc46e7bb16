"""Vision-language models behind one protocol (`protocol.py`); a name or a folder loads one."""

from __future__ import annotations

from pathlib import Path

from text4seg.core.errors import MissingExtraError, UnknownNameError
from text4seg.models.protocol import Asked, Session, SteppedModel, TokenTable, VisionChat

KNOWN = ("nano",)

__all__ = ["KNOWN", "Asked", "Session", "SteppedModel", "TokenTable", "VisionChat", "load"]


def load(name: str) -> VisionChat:
    """The embedded model by its name, or a folder that `save_pretrained` of one wrote.

    Raises:
        UnknownNameError: Neither a known name nor a folder with a `config.json`.
        WeightsError: The weights cannot be had or are damaged.
        MissingExtraError: torch or another package of the extra `hf` is not installed.
    """
    folder = None
    if name not in KNOWN:
        folder = Path(name)
        if not (folder / "config.json").is_file():
            raise UnknownNameError("model (nor is it a folder with a config.json)", name, KNOWN)
    try:
        from text4seg.models.nano.chat import NanoChat
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "hf") from error
    return NanoChat.load(folder)
