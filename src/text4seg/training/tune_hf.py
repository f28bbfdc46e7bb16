"""Training of Hugging Face models: TRL's SFT trainer, PEFT's adapters, accelerate."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from text4seg.codec import get_format
from text4seg.core.errors import InputError, MissingExtraError
from text4seg.models.defaults import DEFAULTS_FILE
from text4seg.models.hf.loading import load_folder
from text4seg.models.hf.model import HFModel
from text4seg.training.callbacks import ProgressCallback, ValidationCallback
from text4seg.training.checkpoints import ADAPTER, FOLDER, MERGED, MarkFinished, last_finished
from text4seg.training.collate import Collator, IndexedCollator, MaskWeights
from text4seg.training.distributed import (
    is_leading,
    learned_weights,
    move_to_ask,
    name_layers,
    own_gpu,
    sharding,
)
from text4seg.training.estimate import estimate_hf
from text4seg.training.recipe import LossSection, Recipe
from text4seg.training.trainer import (
    MaskTrainer,
    linear_modules,
    shared_settings,
    train_quietly,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig
    from torch import Tensor
    from trl import SFTConfig

    from text4seg.models import VisionLanguageModel
    from text4seg.training.chats import Chat
    from text4seg.training.tuner import Estimate, ProgressFn, ValidateFn

_PRECISION = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class HFTuner:
    """Trains models of `text4seg.models.families`, by LoRA or all language layers.

    Attributes:
        can_shard: FSDP and ZeRO-3 may split the weights.
        portable: ms-swift and LLaMA-Factory train such models, too.
    """

    can_shard: ClassVar[bool] = True
    portable: ClassVar[bool] = True

    def __init__(self, recipe: Recipe) -> None:
        """Load the recipe's model.

        Args:
            recipe: The recipe.

        Raises:
            InputError: A setting does not fit this kind of model or this machine.
            WeightsError: The model cannot be loaded.
        """
        if recipe.training.interpolate_on:
            raise InputError(
                "nano alone chooses how much it keeps: --set training.interpolate_on=0"
            )
        self.recipe = recipe
        self.folder = Path(recipe.model.folder)
        loaded = load_folder(self.folder, **_loading(recipe))
        side = recipe.model.side or loaded.side
        # The model is validated as what it will be, so its defaults are the recipe's from now on.
        defaults = recipe.data.defaults(square=side)
        self._loaded = dataclasses.replace(loaded, defaults=defaults, side=side)
        self._model = HFModel(self._loaded)
        self._tuned: Any = loaded.model

    @classmethod
    def estimate(cls, recipe: Recipe, chats: Sequence[Chat]) -> Estimate:
        """Estimate what the training takes; see `estimate.estimate_hf`."""
        return estimate_hf(recipe, chats)

    def model(self) -> VisionLanguageModel:
        """Get the model as it is now; shared weights are moved to one GPU first."""
        self._tuned.eval()
        if sharding():
            move_to_ask(self._tuned)
        return self._model

    def report(self) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Get details and notes: none."""
        return {}, ()

    def collator(self) -> Collator:
        """Make the collator, with loss weights where the recipe has some."""
        loss, pad = self.recipe.loss, self._loaded.processor.tokenizer.pad_token_id
        prompter = self._model.prompter
        if pad is None:
            pad = prompter.vocabulary.eos
        # Without weights the loss stays TRL's own, which may run in fused kernels.
        if loss == LossSection():
            return Collator(prompter, pad=pad)
        syntax = get_format(self.recipe.data.format).syntax
        return Collator(prompter, pad=pad, weights=MaskWeights(loss, syntax))

    def fit(
        self,
        chats: Sequence[Chat],
        output: Path,
        progress: ProgressFn,
        validate: ValidateFn | None = None,
    ) -> tuple[int, float | None]:
        """Train from the last finished checkpoint on.

        Args:
            chats: What to learn.
            output: The run's folder.
            progress: Called after each step.
            validate: Called every `report.validate_every` steps.

        Returns:
            The steps in all, and the last logged loss.

        Raises:
            TrainingError: The loss is not finite.
        """
        validation = ValidationCallback(self.recipe, self.model, validate)
        model, adapter = self._loaded.model, None
        if sharding():
            model.to("cpu")  # each process moves its shards to its GPU
        names = linear_modules(model, self._loaded.family)
        # The vision encoder and all embeddings stay frozen either way.
        if self.recipe.lora.rank:
            adapter = self._adapter(names)
        else:
            model.requires_grad_(False)
            for name in names:
                model.get_submodule(name).requires_grad_(True)
        trainer = MaskTrainer(
            model=model,
            args=trainer_settings(self.recipe, output / FOLDER, len(chats)),
            train_dataset=as_dataset(chats),
            data_collator=IndexedCollator(self.collator(), chats),
            processing_class=self._loaded.processor,
            peft_config=adapter,
            callbacks=[MarkFinished(), ProgressCallback(progress), validation],
        )
        trainer.chats, validation.trainer = chats, trainer
        name_layers(trainer)
        steps, loss = train_quietly(trainer, last_finished(output))
        if sharding():
            self._reload(learned_weights(trainer.model), adapter)
        else:
            # DDP's wrapper can neither be saved as a model nor asked.
            self._tuned = trainer.accelerator.unwrap_model(trainer.model)
        return steps, loss

    def _reload(self, learned: Mapping[str, Tensor], adapter: LoraConfig | None) -> None:
        """Load the model anew, whole, and copy in what was learned; the leading process alone."""
        from peft import get_peft_model
        from transformers.integrations import deepspeed

        if not is_leading():
            return
        deepspeed.unset_hf_deepspeed_config()  # else transformers would load it in shards again
        loaded = load_folder(self.folder, **_loading(self.recipe))
        self._loaded = dataclasses.replace(self._loaded, model=loaded.model)
        self._model = HFModel(self._loaded)
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
        """Write `adapter/` (unless rank is 0) and `merged/` (unless in four bits).

        Args:
            output: The run's folder.

        Raises:
            OSError: A file cannot be written.
        """
        model = self._tuned
        if self.recipe.lora.rank:
            adapter = output / ADAPTER
            # PEFT would write the path as it was given, which may be relative.
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
    """How the recipe's model is loaded: on a GPU if there is one, in four bits if asked for."""
    options: dict[str, Any] = {}
    # Weights that will be sharded stay on the CPU: one GPU may not hold all of them.
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


def trainer_settings(recipe: Recipe, folder: Path, samples: int) -> SFTConfig:
    """Write the recipe in the words of TRL's trainer."""
    from trl import SFTConfig

    training = recipe.training
    return SFTConfig(
        **shared_settings(recipe, folder, samples),
        bf16=training.precision == "bfloat16",
        fp16=training.precision == "float16",
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=training.gradient_checkpointing,
        dataloader_num_workers=training.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        # The other processes wait this long for the one that asks the validation's questions.
        ddp_timeout=24 * 3600,
        max_length=None,  # a mask that is cut off is no mask
        # The collator tokenizes; TRL would tokenize each answer as one text.
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def as_dataset(chats: Sequence[Chat]) -> Dataset:
    """Make the set that the trainer draws from: numbers of chats.

    The images' paths are there because TRL takes a set without images for one of text.
    """
    from datasets import Dataset

    rows = {"images": [[str(chat.image)] for chat in chats], "number": list(range(len(chats)))}
    return Dataset.from_dict(rows)
