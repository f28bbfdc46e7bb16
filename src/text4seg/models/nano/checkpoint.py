"""Weights of nano on disk: configuration and trained tensors (bfloat16), without pretrained parts.

Names in files and names in the model differ in a few places: `FILE_PREFIXES` here and `FILE_KEYS`
in `config` are the whole of it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from text4seg.core.errors import WeightsError
from text4seg.core.files import write_atomically
from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.modeling import NanoForConditionalGeneration

if TYPE_CHECKING:
    from pathlib import Path

    from text4seg.models.nano.encoders.parts import PretrainedParts

CONFIG, WEIGHTS, HASH = "config.json", "model.safetensors", "model.safetensors.sha256"
# What a configuration or a state dict that does not fit makes of transformers and torch.
_MISFITS = (RuntimeError, TypeError, ValueError, KeyError, AttributeError)
_LONGEST_REASON = 300
_EMBEDDING = "language.embed_tokens.weight"
_CLASSIFIER = ("fusion.matching.classifier_weight", "fusion.matching.classifier_bias")

# Prefix of a tensor in the file → of the parameter in the model. The shipped file was written
# before these modules had their names, and its bytes are not to change; so files keep the first.
FILE_PREFIXES = {
    "fusion.open.": "fusion.matching.",
    "fusion.placing.": "fusion.spatial.",
    "answer_reader.": "vqa_head.",
}


def save_model(model: NanoForConditionalGeneration, folder: Path) -> None:
    """Write configuration, weights and their sha256.

    Left out is what its own part brings: SmolLM2's embedding and EfficientNet's last layer, which
    are more than half of all parameters.

    Args:
        model: The weights to write.
        folder: Made where it is missing; files in it are replaced one by one, atomically.
    """
    from safetensors.torch import save

    state = {
        _file_name(name): (value.bfloat16() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
        if name != _EMBEDDING and name not in _CLASSIFIER
    }
    # Serialised first, so that the hash is of the very bytes that are written.
    data = save(state, metadata={"format": "pt"})
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS, data)
    write_atomically(folder / HASH, f"{hashlib.sha256(data).hexdigest()}  {WEIGHTS}\n".encode())
    # The configuration comes last: a folder with one is whole.
    write_atomically(folder / CONFIG, (model.config.to_json_string() + "\n").encode())


def load_model(folder: Path, parts: PretrainedParts) -> NanoForConditionalGeneration:
    """Read weights that `save_model` or `save_pretrained` wrote.

    Args:
        folder: With config.json and model.safetensors; a sha256 beside them is checked.
        parts: They bring the tensors that the file lacks.

    Returns:
        The model, float32.

    Raises:
        WeightsError: A file is missing, damaged, or of another model.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = (folder / WEIGHTS).read_bytes()
        settings = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"the weights in {folder} cannot be read: {error}") from error
    if not isinstance(settings, dict) or not settings.get("language"):
        # Without the key transformers would build a Llama of seven billion parameters.
        raise WeightsError(
            f"{folder / CONFIG} is of another model: it configures no language model"
        )
    _check_hash(folder, data)
    try:
        state = {parameter_name(name): value for name, value in load(data).items()}
        model = NanoForConditionalGeneration(NanoConfig.from_dict(settings))
        # `save_pretrained` writes all tensors, `save_model` leaves out what a part brings.
        if _EMBEDDING not in state:
            state[_EMBEDDING] = parts.embedding()
        if model.fusion.matching is not None and _CLASSIFIER[0] not in state:
            state |= zip(_CLASSIFIER, parts.classifier(), strict=True)
        model.load_state_dict(
            {
                name: value.float() if value.is_floating_point() else value
                for name, value in state.items()
            }
        )
    except (SafetensorError, StrictDataclassError, *_MISFITS) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise WeightsError(
            f"the weights in {folder} are damaged or of another model: {reason}"
        ) from error
    return model


def has_vqa_head(folder: Path) -> bool:
    """Whether weights in a folder have a VQA head.

    Raises:
        WeightsError: Its config.json cannot be read.
    """
    try:
        return bool(json.loads((folder / CONFIG).read_text()).get("answers"))
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{folder / CONFIG} cannot be read: {error}") from error


def parameter_name(tensor: str) -> str:
    """The model's name of a tensor in a file; one that the model knows already stays."""
    for stored, named in FILE_PREFIXES.items():
        if tensor.startswith(stored):
            return named + tensor.removeprefix(stored)
    return tensor


def _file_name(parameter: str) -> str:
    """The name under which a parameter is kept in the file."""
    for stored, named in FILE_PREFIXES.items():
        if parameter.startswith(named):
            return stored + parameter.removeprefix(named)
    return parameter


def _check_hash(folder: Path, data: bytes) -> None:
    """Raise `WeightsError` where the weights are not those of the sha256 beside them."""
    file = folder / HASH
    # `save_pretrained` writes no hash; then there is nothing to compare with.
    if not file.is_file():
        return
    expected = file.read_bytes().decode("ascii", "replace").partition(" ")[0]
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise WeightsError(
            f"{folder / WEIGHTS} has the sha256 {found[:12]}…, but {file.name} says "
            f"{expected[:12]}…; install the package again"
        )
