"""The same training for those who train with ms-swift or LLaMA-Factory: the commands to type.

Both read chats as `text4seg build` writes them. What they do to photos is theirs: they may crop,
pad or tile where `text4seg train` stretches to one square, so give them square photos. Options are
those of ms-swift 4 (before: `--train_type` for `--tuner_type`) and of LLaMA-Factory's arguments;
the commands were not run.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from text4seg.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping


def ms_swift(recipe: Recipe) -> str:
    """`swift sft` with the recipe's settings."""
    training, lora = recipe.training, recipe.lora
    return _command(
        "swift sft",
        {
            "model": recipe.model.folder,
            "dataset": recipe.data.train,
            "tuner_type": "lora" if lora.rank else "full",
            "lora_rank": lora.rank,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "target_modules": "all-linear",
            "freeze_vit": "true",
            "freeze_aligner": "false",
            "num_train_epochs": training.epochs,
            "max_steps": training.steps or -1,
            "per_device_train_batch_size": training.device_batch,
            "gradient_accumulation_steps": max(1, training.batch // training.device_batch),
            "learning_rate": training.learning_rate,
            "lr_scheduler_type": training.schedule,
            "warmup_ratio": training.warmup,
            "weight_decay": training.weight_decay,
            "torch_dtype": training.precision,
            "seed": training.seed,
            "output_dir": recipe.output,
        },
    )


def llama_factory(recipe: Recipe) -> str:
    """`llamafactory-cli train` with the recipe's settings.

    `NAME` is the model's template in its documentation; the data set has to be entered in its
    `dataset_info.json`, with ShareGPT's formatting.
    """
    training, lora = recipe.training, recipe.lora
    return _command(
        "llamafactory-cli train",
        {
            "stage": "sft",
            "do_train": "true",
            "model_name_or_path": recipe.model.folder,
            "template": "NAME",
            "dataset": "text4seg",
            "finetuning_type": "lora" if lora.rank else "full",
            "lora_rank": lora.rank,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "lora_target": "all",
            "freeze_vision_tower": "true",
            "freeze_multi_modal_projector": "false",
            "num_train_epochs": training.epochs,
            "max_steps": training.steps or -1,
            "per_device_train_batch_size": training.device_batch,
            "gradient_accumulation_steps": max(1, training.batch // training.device_batch),
            "learning_rate": training.learning_rate,
            "lr_scheduler_type": training.schedule,
            "warmup_ratio": training.warmup,
            "weight_decay": training.weight_decay,
            "bf16": str(training.precision == "bfloat16").lower(),
            "seed": training.seed,
            "output_dir": recipe.output,
        },
    )


def _command(name: str, options: Mapping[str, object]) -> str:
    words = [f"  --{key} {shlex.quote(str(value))}" for key, value in options.items()]
    return " \\\n".join([name, *words])
