"""Models, tokenizers and image processors from a folder; nothing is fetched, no code is run."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text4seg.core.errors import MissingExtraError, WeightsError
from text4seg.models.defaults import ModelDefaults, read_json
from text4seg.models.families import Family, get_family, square_side

CONFIG, ADAPTER = "config.json", "adapter_config.json"
_IMAGE_SETTINGS = ("preprocessor_config.json", "processor_config.json")
_LONGEST_REASON = 300
# What a folder that does not fit makes of transformers, tokenizers and torch.
_MISFITS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model with what makes its inputs."""

    family: Family
    model: Any
    processor: Any
    side: int
    defaults: ModelDefaults


def load_folder(folder: Path, *, device: str | None = None, **options: Any) -> LoadedModel:
    """A model that `save_pretrained` wrote, or an adapter together with its base model.

    `options` go to transformers, such as a `quantization_config`.

    Raises:
        UnknownNameError: The model is of a family that the table does not know.
        WeightsError: A file is missing, damaged, or of another model.
    """
    defaults = ModelDefaults.load(folder)
    base = base_folder(folder)
    config = read_json(base / CONFIG)
    family = get_family(str(config.get("model_type")))
    model = _load_model(base, device, options)
    if base != folder:
        model = _with_adapter(model, folder)
    source = folder if has_processor(folder) else base
    processor = load_processor(source, family)
    side = defaults.square or square_side(family, model.config)
    return LoadedModel(family, model.eval(), processor, side, defaults)


def base_folder(folder: Path) -> Path:
    """Where the base model lies: the folder itself, or what its adapter was trained on.

    Raises:
        WeightsError: The adapter names a base model that is not a folder on this machine.
    """
    if (folder / CONFIG).is_file() or not (folder / ADAPTER).is_file():
        return folder
    # A path as it was when the adapter was trained, or one relative to the adapter.
    named = str(read_json(folder / ADAPTER).get("base_model_name_or_path"))
    for base in (Path(named), folder / named):
        if (base / CONFIG).is_file():
            return base
    raise WeightsError(
        f"{folder} is an adapter to {named!r}, which is no folder with a {CONFIG}: download the "
        f'base model and write its folder as "base_model_name_or_path" in {folder / ADAPTER}'
    )


def _load_model(folder: Path, device: str | None, options: Mapping[str, Any]) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype="auto",
            device_map=device,
            # Nothing is fetched, no code of the folder is run, and no pickle is opened.
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (SafetensorError, *_MISFITS) as error:
        raise WeightsError(f"the model in {folder} cannot be loaded: {_short(error)}") from error
    model, report = loaded
    # transformers fills missing tensors with random numbers and only warns.
    missing = sorted(report["missing_keys"])
    if missing:
        raise WeightsError(
            f"the weights in {folder} lack {len(missing)} tensors that its configuration asks "
            f"for, such as {missing[0]}"
        )
    return model


def _with_adapter(model: Any, folder: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingExtraError("peft", "train") from error
    from safetensors import SafetensorError

    try:
        # Merged: the cache is then stepped through plain layers.
        return PeftModel.from_pretrained(model, folder).merge_and_unload()
    except (SafetensorError, *_MISFITS) as error:
        raise WeightsError(f"the adapter in {folder} cannot be loaded: {_short(error)}") from error


def has_processor(folder: Path) -> bool:
    """Whether a folder brings its own processor; an adapter's may stay with its base model."""
    return any((folder / name).is_file() for name in _IMAGE_SETTINGS)


def load_processor(folder: Path, family: Family) -> Any:
    """The family's processor with the settings of the folder.

    Raises:
        WeightsError: The folder has no image processor or no tokenizer, or one that does not fit.
    """
    from transformers import AutoTokenizer

    image, options = _read_processor(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except _MISFITS as error:
        raise WeightsError(f"{folder} has no usable tokenizer: {_short(error)}") from error
    # Newer folders keep the template in a file, older ones in the tokenizer or nowhere.
    template = folder / "chat_template.jinja"
    if template.is_file():
        options["chat_template"] = template.read_text(encoding="utf-8")
    elif getattr(tokenizer, "chat_template", None):
        options.setdefault("chat_template", tokenizer.chat_template)
    options.setdefault("chat_template", family.template)
    try:
        return make_processor(family, tokenizer, image, options)
    except _MISFITS as error:
        raise WeightsError(
            f"the processor in {folder} does not fit {family.name}: {_short(error)}"
        ) from error


def _read_processor(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the image processor and of what joins it with text, old files or new."""
    found = [folder / name for name in _IMAGE_SETTINGS if (folder / name).is_file()]
    image: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for file in found:
        settings = read_json(file)
        if file.name == _IMAGE_SETTINGS[0]:
            image = settings
        else:
            image = settings.pop("image_processor", None) or image
            options = settings
    if not image:
        raise WeightsError(
            f"{folder} has no image processor ({' or '.join(_IMAGE_SETTINGS)}): copy the files of "
            "the processor and the tokenizer from the base model's folder beside the weights"
        )
    # `auto_map` names code of the folder; videos are never read.
    skipped = ("processor_class", "video_processor", "auto_map")
    return image, {key: value for key, value in options.items() if key not in skipped}


def make_processor(
    family: Family, tokenizer: Any, image: Mapping[str, Any], options: Mapping[str, Any]
) -> Any:
    """Image processor and tokenizer joined as the family's prompts need it; for images only."""
    import transformers

    # Options differ between versions of transformers: pass only those that are accepted.
    joined = getattr(transformers, family.processor)
    accepted = inspect.signature(joined.__init__).parameters
    fitting = {key: value for key, value in options.items() if key in accepted}
    if "video_processor" in accepted:
        fitting["video_processor"] = None
    # Of the same name, as the folder's files shall name the class that transformers knows.
    images_only = type(joined.__name__, (_ImagesOnly, joined), {})
    return images_only(
        image_processor=image_reader(family).from_dict(dict(image)), tokenizer=tokenizer, **fitting
    )


def image_reader(family: Family) -> Any:
    """The class of the family's image processor."""
    module, _, name = family.image_processor.rpartition(".")
    return getattr(importlib.import_module(module or "transformers"), name)


class _ImagesOnly:
    """A processor that may lack its reader of videos, which needs torchvision."""

    def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
        if argument is None:
            return None
        return super().check_argument_for_proper_class(name, argument)  # type: ignore[misc]

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Its two parts; transformers' own cannot save what is not there."""
        for part in ("tokenizer", "image_processor"):
            getattr(self, part).save_pretrained(folder)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
