"""Training a model of a family in the table: TRL's SFT trainer, PEFT's adapters, accelerate."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.models.defaults import DEFAULTS_FILE
from text4seg.models.hf.loading import load_folder
from text4seg.models.hf.model import HFModel
from text4seg.training.callbacks import ValidationCallback
from text4seg.training.checkpoints import ADAPTER, FOLDER, MarkFinished, last_finished
from text4seg.training.collate import Collator
from text4seg.training.distributed import (
    is_leading,
    learned_weights,
    move_to_ask,
    name_layers,
    own_gpu,
    sharding,
    world_size,
)
from text4seg.training.recipe import Loss, Recipe
from text4seg.training.trainer import MaskTrainer, train_quietly

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig
    from torch import Tensor

    from text4seg.models import VisionLanguageModel
    from text4seg.models.families import Family
    from text4seg.training.callbacks import ValidateFn
    from text4seg.training.conversations import Chat
    from text4seg.training.finetune import Progress
    from text4seg.training.nano.interpolation import Interpolation

MERGED = "merged"
_PATIENCE = 24 * 3600  # seconds, for the one process that asks the validation's questions
_PRECISION = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def linear_modules(model: Any, family: Family) -> list[str]:
    """Names of the linear layers of the language model and of the projector."""
    parts = (f"{family.language}.", f"{family.projector}.")
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and f"{name}.".startswith(parts)
    ]


class HFTuning:
    """A model of the table, its adapter, and what its batches are made with."""

    choice: Interpolation | None = None

    def __init__(self, recipe: Recipe) -> None:
        if recipe.training.interpolate_on:
            raise InputError(
                "nano alone chooses how much it keeps: --set training.interpolate_on=0"
            )
        self.recipe = recipe
        self.aliases: dict[str, str] = {}  # as above: nano alone reads words as others
        self.folder = Path(recipe.model.folder)
        loaded = load_folder(self.folder, **_loading(recipe))
        side = recipe.model.side or loaded.side
        defaults = recipe.data.defaults(square=side)
        self._loaded = dataclasses.replace(loaded, defaults=defaults, side=side)
        self._chat = HFModel(self._loaded)
        self._tuned: Any = loaded.model

    def chat(self) -> VisionLanguageModel:
        """The model as it is now, to be asked."""
        self._tuned.eval()
        if sharding():
            move_to_ask(self._tuned)
        return self._chat

    def collator(self) -> Collator:
        """What makes batches; with weights where the recipe asks for them."""
        tokenizer, loss = self._loaded.processor.tokenizer, self.recipe.loss
        pad = tokenizer.pad_token_id
        if pad is None:
            pad = self._chat.prompter.vocabulary.eos
        return Collator(self._chat.prompter, pad=pad, loss=None if loss == Loss() else loss)

    def fit(
        self,
        chats: Sequence[Chat],
        output: Path,
        progress: Progress,
        watch: ValidateFn | None = None,
    ) -> tuple[int, float]:
        """Train, from the last finished checkpoint on."""
        collator = self.collator()
        watching = ValidationCallback(self.recipe, self.chat, watch)
        resumed = last_finished(output)
        arguments = trainer_settings(self.recipe, output / FOLDER, len(chats))
        model, adapter = self._loaded.model, None
        if sharding():
            model.to("cpu")  # each process moves its pieces to its GPU
        names = linear_modules(model, self._loaded.family)
        if self.recipe.lora.rank:
            adapter = self._adapter(names)
        else:
            model.requires_grad_(False)
            for name in names:
                model.get_submodule(name).requires_grad_(True)
        trainer = MaskTrainer(
            model=model,
            args=arguments,
            train_dataset=as_dataset(chats),
            data_collator=IndexedCollator(collator, chats),
            processing_class=self._loaded.processor,
            peft_config=adapter,
            callbacks=[MarkFinished(), ProgressCallback(progress), watching],
        )
        trainer.chats, watching.trainer = chats, trainer
        name_layers(trainer)
        steps, loss = train_quietly(trainer, resumed)
        if sharding():
            self._put_together(learned_weights(trainer.model), adapter)
        else:
            self._tuned = trainer.accelerator.unwrap_model(trainer.model)
        return steps, float("nan") if loss is None else loss

    def _put_together(self, learned: Mapping[str, Tensor], adapter: LoraConfig | None) -> None:
        """The model anew, whole and with what was learned, in the leading process."""
        from peft import get_peft_model
        from transformers.integrations import deepspeed

        if not is_leading():
            return
        deepspeed.unset_hf_deepspeed_config()  # else it would be loaded in pieces, by all at once
        loaded = load_folder(self.folder, **_loading(self.recipe))
        self._loaded = dataclasses.replace(self._loaded, model=loaded.model)
        self._chat = HFModel(self._loaded)
        self._tuned = get_peft_model(loaded.model, adapter) if adapter else loaded.model
        with torch.no_grad():
            for name, weight in learned.items():
                self._tuned.get_parameter(name).copy_(weight)

    def _adapter(self, names: list[str]) -> LoraConfig:
        from peft import LoraConfig

        lora = self.recipe.lora
        return LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=names,
            task_type="CAUSAL_LM",
        )

    def save(self, output: Path) -> None:
        """Write the adapter, and the weights with the adapter merged in, each a folder to load."""
        model = self._tuned
        if self.recipe.lora.rank:
            adapter = output / ADAPTER
            base = str(self.folder.resolve())
            model.peft_config["default"].base_model_name_or_path = base
            model.save_pretrained(adapter)
            self._loaded.defaults.save(adapter)
            if self.recipe.model.quantize != "none":
                return  # four bits do not merge without loss: `text4seg export` merges anew
            model = model.merge_and_unload()
            self._tuned = model
        merged = output / MERGED
        model.save_pretrained(merged)
        copy_processor(self.folder, merged)
        self._loaded.defaults.save(merged)


def copy_processor(source: Path, target: Path) -> None:
    """Copy the files of tokenizer and processor as they are."""
    weights = (".safetensors", ".bin", ".index.json", ".md", ".gitattributes")
    mine = {"config.json", "generation_config.json", DEFAULTS_FILE, "adapter_config.json"}
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name not in mine and not file.name.endswith(weights):
            shutil.copy2(file, target / file.name)


def _loading(recipe: Recipe) -> dict[str, Any]:
    """How the recipe's model is loaded: on a GPU if there is one, in four bits if asked for.

    What is to be shared among the GPUs stays on the CPU, as no GPU may hold all of it.
    """
    options: dict[str, Any] = {}
    if torch.cuda.is_available() and not sharding():
        options["device"] = own_gpu()
    if recipe.model.attention:
        options["attn_implementation"] = recipe.model.attention
    if recipe.model.quantize == "4bit":
        if not torch.cuda.is_available():
            raise InputError(
                "model.quantize=4bit needs a CUDA GPU, and torch sees none here: "
                "--set model.quantize=none"
            )
        try:
            import bitsandbytes  # noqa: F401
            from transformers import BitsAndBytesConfig
        except ImportError as error:
            raise MissingExtraError("bitsandbytes", "train") from error
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=_PRECISION[recipe.training.precision],
        )
    return options


def trainer_settings(recipe: Recipe, folder: Path, samples: int) -> Any:
    """The recipe in the words of TRL's trainer."""
    from trl import SFTConfig

    training, report = recipe.training, recipe.report
    steps = count_steps(recipe, samples)
    accumulated = max(1, training.batch // (training.device_batch * world_size()))
    return SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=training.device_batch,
        gradient_accumulation_steps=accumulated,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=round(training.warmup * steps),
        weight_decay=training.weight_decay,
        max_grad_norm=training.clip,
        bf16=training.precision == "bfloat16",
        fp16=training.precision == "float16",
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=training.gradient_checkpointing,
        seed=training.seed,
        data_seed=training.seed,
        save_steps=training.save_every or max(1, steps // 10),
        save_total_limit=2,
        logging_steps=report.every,
        report_to=list(report.to) or "none",
        dataloader_num_workers=training.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_timeout=_PATIENCE,
        remove_unused_columns=False,
        max_length=None,
        disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def count_steps(recipe: Recipe, samples: int) -> int:
    """Optimiser steps of a recipe."""
    training = recipe.training
    per_step = training.device_batch * world_size()
    if training.batch % per_step:
        raise InputError(
            f"training.batch={training.batch} is no multiple of training.device_batch="
            f"{training.device_batch} times {world_size()} processes"
        )
    if training.steps:
        return training.steps
    return max(1, round(training.epochs * samples / training.batch))


def as_dataset(chats: Sequence[Chat]) -> Dataset:
    """What the trainer draws from: numbers of chats, and the images that make it a vision set."""
    from datasets import Dataset

    rows = {"images": [[str(chat.image)] for chat in chats], "number": list(range(len(chats)))}
    return Dataset.from_dict(rows)


class IndexedCollator:
    """The collator, told which chats a batch is made of, which it notes in the batch."""

    def __init__(self, collator: Any, chats: Sequence[Chat]) -> None:
        self._collator, self._chats = collator, chats

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        numbers = [row["number"] for row in rows]
        batch: dict[str, Any] = self._collator.batch([self._chats[n] for n in numbers])
        batch["sample_index"] = torch.tensor(numbers)
        return batch


class ProgressCallback(TrainerCallback):
    """Tells of every step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._figures: dict[str, float] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        known = ("loss", "learning_rate", "grad_norm")
        self._figures |= {key: float(logs[key]) for key in known if key in (logs or {})}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._progress(state.global_step, state.max_steps, self._figures)
