"""The commands of the same training with ms-swift and LLaMA-Factory.

Options are those of ms-swift 4 (before: `--train_type` for `--tuner_type`) and LLaMA-Factory 0.9.5;
`tests/training/external/test_commands.py` runs both where they are installed.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from text4seg.models.defaults import DEFAULTS_FILE
from text4seg.training.external.dataset import CHATS, DATASET, family_and_side
from text4seg.training.recipe import LossSection, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from text4seg.models.families import Family

# The language model's linear layers in every family that LLaMA-Factory trains.
_LANGUAGE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# LLaMA-Factory cuts samples silently; a limit that no mask reaches costs nothing.
_LONGEST = 16384


@dataclass(frozen=True, slots=True)
class ExternalCommands:
    """The same training for other trainers.

    Attributes:
        commands: Commands by the trainer's name; `samples` writes what both read.
        notes: What they leave out.
    """

    commands: Mapping[str, str]
    notes: tuple[str, ...]


def external_commands(recipe: Recipe, call: Sequence[str]) -> ExternalCommands:
    """Write the commands of a recipe for other trainers.

    Args:
        recipe: The recipe.
        call: The words of the `text4seg train` command that names it.

    Returns:
        The commands.

    Raises:
        InputError: Other trainers do not know such models, or `model.side` is needed.
        WeightsError: The recipe's folder holds no model's configuration.
    """
    family, side = family_and_side(recipe)
    # A family without a chat template has no turns, so no system prompt stands before one.
    system = (
        own_system(Path(recipe.model.folder), family)
        if family is not None and family.template is None
        else None
    )
    commands = {"samples": shlex.join([*call, "--samples", str(_samples(recipe))])}
    notes = []
    if family is None or family.ms_swift:
        commands["ms-swift"] = _ms_swift(recipe, family, system)
    else:
        notes.append(f"ms-swift does not know {family.name} in the layout of transformers")
    if family is None or family.llama_factory:
        commands["LLaMA-Factory"] = _llama_factory(recipe, family, system, side)
    else:
        notes.append(f"LLaMA-Factory does not train {family.name} as it is trained here")
    if family and family.ms_swift and "do_image_splitting" in family.image_options:
        notes.append("the processor would cut tiles: train the folder that text4seg export writes")
    if family is None:
        notes.append("NAME is what that trainer calls this model and its template")
    if recipe.loss != LossSection():
        notes.append("loss.digits and loss.background are text4seg train's alone")
    return ExternalCommands(commands, tuple(notes))


def own_system(folder: Path, family: Family) -> str:
    """Get the system prompt that a model's chat template writes by itself; empty if none."""
    from jinja2 import TemplateError

    from text4seg.models.hf.loading import load_processor

    processor = load_processor(folder, family)
    probe = "PROBE"  # marks where a given system prompt would stand

    def written(*roles: str) -> str:
        chat = [
            {
                "role": role,
                "content": [{"type": "text", "text": probe if role == "system" else "-"}],
            }
            for role in roles
        ]
        try:
            return str(processor.apply_chat_template(chat, tokenize=False))
        except (TemplateError, ValueError, KeyError, TypeError):
            return ""  # the template takes no system prompt

    # What surrounds the probe is written for any system prompt; the rest, without one, is its own.
    before, found, after = written("system", "user").partition(probe)
    plain = written("user")
    if not found or not (plain.startswith(before) and plain.endswith(after)):
        return ""
    return plain[len(before) : len(plain) - len(after)]


def _ms_swift(recipe: Recipe, family: Family | None, system: str | None) -> str:
    """`swift sft` with the recipe's settings, then a copy of `text4seg.json` to its adapter."""
    model_type, template = ("NAME", "NAME") if family is None else family.ms_swift
    output = f"{recipe.output}-ms-swift"
    options = {
        "model": Path(recipe.model.folder).absolute(),
        "model_type": model_type,
        "template": template,
        **({} if system is None else {"system": system}),
        "dataset": _samples(recipe) / CHATS,
        "tuner_type": "lora" if recipe.lora.rank else "full",
        **_lora(recipe),
        **({"target_modules": "all-linear"} if recipe.lora.rank else {}),
        # As here: vision frozen, projector trained.
        "freeze_vit": "true",
        "freeze_aligner": "false",
        **_settings(recipe),
        "torch_dtype": recipe.training.precision,
        "output_dir": output,
        "add_version": "false",  # else the folder's name has the time in it
    }
    if recipe.model.quantize == "4bit":
        options |= {"quant_method": "bnb", "quant_bits": 4}
    if recipe.model.attention:
        options["attn_impl"] = recipe.model.attention
    last = shlex.quote(f"{output}/last-checkpoint")
    return f"{_command('swift sft', options)}\ncp {_defaults_file(recipe)} {last}"


def _llama_factory(recipe: Recipe, family: Family | None, system: str | None, side: int) -> str:
    """`llamafactory-cli train` with the recipe's settings, then a copy of `text4seg.json`."""
    output = f"{recipe.output}-llama-factory"
    layers = () if family is None else family.projector_layers
    precision = recipe.training.precision
    options = {
        "stage": "sft",
        "do_train": "true",
        "model_name_or_path": Path(recipe.model.folder).absolute(),
        "template": "NAME" if family is None else family.llama_factory,
        **({} if system is None else {"default_system": system}),
        "dataset_dir": _samples(recipe),
        "dataset": DATASET,
        "image_max_pixels": side**2,  # by default it shrinks large squares
        "cutoff_len": _LONGEST,
        "finetuning_type": "lora" if recipe.lora.rank else "full",
        **_lora(recipe),
        # `all` would leave the projector out.
        **({"lora_target": ",".join((*_LANGUAGE, *layers))} if recipe.lora.rank else {}),
        "freeze_vision_tower": "true",
        "freeze_multi_modal_projector": "false",
        **_settings(recipe),
        "bf16": str(precision == "bfloat16").lower(),
        "fp16": str(precision == "float16").lower(),
        "output_dir": output,
    }
    if not recipe.training.gradient_checkpointing:
        options["disable_gradient_checkpointing"] = "true"
    if recipe.model.quantize == "4bit":
        options |= {"quantization_method": "bnb", "quantization_bit": 4}
    lines = [_command("llamafactory-cli train", options)]
    lines.append(f"cp {_defaults_file(recipe)} {shlex.quote(output)}")
    if family is not None and family.template is not None:
        # It writes a template of its own, which takes no image.
        lines.append(f"rm {shlex.quote(output)}/chat_template.jinja")
    return "\n".join(lines)


def _samples(recipe: Recipe) -> Path:
    return Path(f"{recipe.output}-samples")


def _defaults_file(recipe: Recipe) -> str:
    return shlex.quote(str(_samples(recipe) / DEFAULTS_FILE))


def _lora(recipe: Recipe) -> dict[str, object]:
    lora = recipe.lora
    if not lora.rank:
        return {}
    return {"lora_rank": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}


def _settings(recipe: Recipe) -> dict[str, object]:
    """Options that both name after transformers' trainer."""
    training = recipe.training
    settings: dict[str, object] = {
        "num_train_epochs": training.epochs,
        "max_steps": training.steps or -1,  # -1: as many as the epochs have
        "per_device_train_batch_size": training.device_batch,
        "gradient_accumulation_steps": max(1, training.batch // training.device_batch),
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.schedule,
        "warmup_ratio": training.warmup,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.clip,
        "logging_steps": recipe.report.every,
        "seed": training.seed,
        "report_to": recipe.report.to or "none",
    }
    if training.save_every:
        settings["save_steps"] = training.save_every
    return settings


def _command(name: str, options: Mapping[str, object]) -> str:
    words = []
    for key, value in options.items():
        values = value if isinstance(value, tuple) else (value,)
        words.append(f"  --{key} {shlex.join(str(one) for one in values)}")
    return " \\\n".join([name, *words])
