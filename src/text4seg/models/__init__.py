"""Vision-language models behind one protocol (`interface.py`); a name or a folder loads one."""

from __future__ import annotations

import json
from pathlib import Path

from text4seg.core.errors import MissingExtraError, UnknownNameError, WeightsError
from text4seg.models.defaults import NANO_DEFAULTS, ModelDefaults
from text4seg.models.interface import (
    BatchStep,
    Capabilities,
    GeneratedText,
    ImageSession,
    PreparedPrompt,
    Step,
    TokenTable,
    VisionLanguageModel,
)

KNOWN = ("nano",)
_CONFIG, _ADAPTER = "config.json", "adapter_config.json"
_NANO = "text4seg-nano"

__all__ = [
    "KNOWN",
    "BatchStep",
    "Capabilities",
    "GeneratedText",
    "ImageSession",
    "PreparedPrompt",
    "Step",
    "TokenTable",
    "VisionLanguageModel",
    "is_nano",
    "load",
    "load_defaults",
]


def load(name: str) -> VisionLanguageModel:
    """The embedded model by its name, or a folder of a model or of an adapter.

    A folder is one that `save_pretrained` wrote, of nano or of any family of vision-language
    models in `text4seg.models.families`, with its tokenizer and image processor beside it.

    Args:
        name: A known name, or the path of a folder.

    Returns:
        The model, ready to encode images.

    Raises:
        UnknownNameError: Neither a known name nor such a folder, or a family that is not known.
        WeightsError: The weights cannot be had or are damaged.
        MissingExtraError: torch or another package of the extra `hf` is not installed.
    """
    # A folder called `nano` in the working directory does not shadow the embedded model.
    folder = None if name in KNOWN else Path(name)
    if folder is not None and not _holds_model(folder):
        raise UnknownNameError(
            f"model (nor is it a folder with a {_CONFIG} or an {_ADAPTER})", name, KNOWN
        )
    # Imported here: torch and transformers take seconds, and not every caller loads a model.
    try:
        if folder is None or is_nano(name):
            from text4seg.models.nano.nano_model import NanoModel

            return NanoModel.load(folder)
        from text4seg.models.hf.model import HFModel

        return HFModel.load(folder)
    except ImportError as error:
        # A failed import inside the package is a fault of its own, not a package to install.
        if (error.name or "").partition(".")[0] == "text4seg":
            raise
        raise MissingExtraError(error.name or "torch", "hf") from error


def load_defaults(name: str) -> ModelDefaults:
    """What a model was trained with, read without loading the model.

    Args:
        name: As for `load`.

    Returns:
        Its text format, grid and image side.

    Raises:
        WeightsError: The folder's `text4seg.json` is damaged.
    """
    base = NANO_DEFAULTS if is_nano(name) else ModelDefaults()
    return base if name in KNOWN else ModelDefaults.load(Path(name), base)


def is_nano(name: str) -> bool:
    """Whether a name or a folder is the embedded model, which needs its pretrained parts."""
    if name in KNOWN:
        return True
    config = Path(name) / _CONFIG
    return config.is_file() and _model_type(config) == _NANO


def _holds_model(folder: Path) -> bool:
    return any((folder / file).is_file() for file in (_CONFIG, _ADAPTER))


def _model_type(config: Path) -> str:
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        return str(settings["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f'{config} does not say what model it is: a JSON object with "model_type" is expected'
        ) from error
