"""Fine-tuning of nano by a recipe, on transformers' own `Trainer`.

Only grounding is trained: the fusion learns which cells the user's words refer to. The language
layers write what the fusion predicts, so they stay as they are. In order:

1. A word for a kind that nano knows by another name is read as that name (`aliases`).
2. Other new words become names of the name head (`new_names`), fitted to the masks (`name_init`).
3. The fusion is trained on the user's questions and, against forgetting, on questions by known
   names, which it has to answer as before (`grounding_model`).
4. The weights are interpolated with those before, by held-out images (`interpolation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments

from text4seg.core.errors import InputError
from text4seg.core.types import GridShape
from text4seg.models import KNOWN
from text4seg.models.nano.checkpoint import save_model
from text4seg.models.nano.nano_model import SHIPPED, NanoModel
from text4seg.prompts import question as wording_of
from text4seg.training.callbacks import ProgressCallback, ValidationCallback
from text4seg.training.checkpoints import FOLDER, MERGED, MarkFinished, last_finished
from text4seg.training.distributed import count_steps
from text4seg.training.estimate import ADAM_BYTES, LAYER_BYTES, measure_speed, to_hours
from text4seg.training.nano.aliases import find_aliases
from text4seg.training.nano.finetune_data import (
    FeatureCache,
    FineTuneBatch,
    FineTuneData,
    FineTuneQuestion,
    read_questions,
)
from text4seg.training.nano.grounding_model import GroundingModel
from text4seg.training.nano.interpolation import (
    Interpolation,
    hold_back,
    interpolate_on,
    weights_of,
)
from text4seg.training.nano.name_init import init_names
from text4seg.training.nano.new_names import add_names
from text4seg.training.recipe import LossSection
from text4seg.training.trainer import check_finite, shared_settings, train_quietly
from text4seg.training.tuner import Estimate

if TYPE_CHECKING:
    from text4seg.models import VisionLanguageModel
    from text4seg.training.chats import Chat
    from text4seg.training.recipe import Recipe
    from text4seg.training.tuner import ProgressFn, ValidateFn

FEATURES = "features"
"""Folder of the cached features, in the recipe's output."""

# Operations for each parameter of the fusion, cell and question; measured, since questions about
# one image share its encoding. Seconds an image of the vision encoders, on one core.
_OPERATIONS, _ENCODING_SECONDS = 3.0, 1.0
# Bytes of a weight in float32.
_FLOAT = 4.0
# Questions by known names, as a share of the user's in a batch.
_OLD_SHARE = 0.5


class NanoTuner:
    """Trains nano on a user's masks, in one process.

    Attributes:
        can_shard: nano is too small to be split among processes.
        portable: No other trainer knows it.
    """

    can_shard: ClassVar[bool] = False
    portable: ClassVar[bool] = False

    def __init__(self, recipe: Recipe) -> None:
        """Load nano.

        Args:
            recipe: The recipe.

        Raises:
            InputError: A setting is of no use for nano.
            WeightsError: The weights cannot be loaded.
        """
        check_recipe(recipe)
        self.recipe = recipe
        self._chat = NanoModel.load(_folder(recipe))
        self.aliases: dict[str, str] = {}
        self.new_names: list[str] = []
        self.interpolation: Interpolation | None = None

    @classmethod
    def estimate(cls, recipe: Recipe, chats: Sequence[Chat]) -> Estimate:
        """Estimate what the training takes, from nano's own weights, which are small.

        Args:
            recipe: The recipe.
            chats: The user's chats.

        Returns:
            Counts, memory and hours.

        Raises:
            InputError: A setting or a chat is of no use for nano.
        """
        check_recipe(recipe)
        questions = _read(recipe, chats)
        chat = NanoModel.load(_folder(recipe))
        config = chat.model.config
        lengths = [len(chat.encode(question.wording)) for question in questions]
        fusion, total = (
            sum(parameter.numel() for parameter in part.parameters())
            for part in (chat.model.fusion, chat.model)
        )
        steps, cells = count_steps(recipe, len(chats)), config.cells**2
        images = len({chat.image for chat in chats})
        device, speed = measure_speed(precision="float32")
        operations = _OPERATIONS * fusion * cells * recipe.training.batch * steps
        # A layer over cells and words keeps about half as much again as one over cells alone.
        layers = config.image_layers + 1.5 * config.fusion_layers
        return Estimate(
            samples=len(chats),
            images=images,
            steps=steps,
            tokens=sum(lengths) / len(lengths),
            longest=max(lengths),
            loss_share=0.0,
            parameters=total,
            trained=fusion,
            # The fusion is there twice: the teacher is a copy of it.
            weights=_FLOAT * (total + fusion),
            adapter=float(fusion * ADAM_BYTES),
            activations=recipe.training.device_batch * cells * config.width * 2
            * LAYER_BYTES * layers,
            tera_operations=operations / 1e12,
            hours=to_hours(operations, speed) + images * _ENCODING_SECONDS / 3600,
            device=device,
        )  # fmt: skip

    def model(self) -> VisionLanguageModel:
        """Get the model as it is now, ready to be asked."""
        self._chat.model.eval()
        return self._chat

    def fit(
        self,
        chats: Sequence[Chat],
        output: Path,
        progress: ProgressFn,
        validate: ValidateFn | None = None,
    ) -> tuple[int, float | None]:
        """Train from the last finished checkpoint on, then interpolate.

        Args:
            chats: The user's chats.
            output: The recipe's output.
            progress: Called while images are encoded and words are searched, and at each step.
            validate: Asks the validation questions between steps.

        Returns:
            Number of steps and the last loss.

        Raises:
            InputError: A chat is of no use for nano.
            TrainingError: The loss is no number.
        """
        torch.manual_seed(self.recipe.training.seed)
        asked = _read(self.recipe, chats)
        held = hold_back(chats, self.recipe.training.interpolate_on)
        away = [chat.image.name in held for chat in chats]
        learned = [chat for chat, out in zip(chats, away, strict=True) if not out]
        questions = [question for question, out in zip(asked, away, strict=True) if not out]
        features = self._encode_images(chats, output, progress)
        # The teacher is copied before there are new names.
        model = self._chat.model
        grounding = GroundingModel(
            model.fusion,
            self._chat.text.tokenizer,
            model.language.embed_tokens.weight,
            model.question_reader,
        )
        data = self._add_words(questions, features, progress)
        before = weights_of(model.fusion)
        validation = ValidationCallback(self.recipe, self.model, validate)
        trainer = NanoTrainer(
            model=grounding,
            args=TrainingArguments(
                **shared_settings(self.recipe, output / FOLDER, len(learned)),
                use_cpu=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=list(range(len(learned))),
            data_collator=_number,
            callbacks=[MarkFinished(), ProgressCallback(progress), validation],
        )
        validation.trainer = trainer
        trainer.data, trainer.chats = data, learned
        trained = train_quietly(trainer, last_finished(output))
        if self.recipe.training.interpolate_on:
            back = [question for question, out in zip(asked, away, strict=True) if out]
            self.interpolation = Interpolation(share=1.0, images=0)
            if back:
                self.interpolation = interpolate_on(
                    self._chat, before, back, features=features, names=self.new_names
                )
        return trained

    def _encode_images(self, chats: Sequence[Chat], output: Path, progress: ProgressFn) -> Tensor:
        """Get the features of every image, `images 256 c`."""
        cache = FeatureCache(output / FEATURES, self._chat.vision_encoder.encode)
        images = list({chat.image: chat for chat in chats}.values())
        features = []
        for count, chat in enumerate(images):
            progress(count, len(images), {})
            features.append(cache.get(chat))
        return torch.stack(features)

    def _add_words(
        self, questions: Sequence[FineTuneQuestion], features: Tensor, progress: ProgressFn
    ) -> FineTuneData:
        """Find the aliases, add the new names, and fit their rows."""
        model = self._chat.model
        self.aliases = find_aliases(
            self._chat, questions, features, lambda count, words: progress(count, words, {})
        )
        model.config.aliases |= self.aliases
        self.new_names = add_names(
            model,
            self._chat.text.tokenizer,
            FineTuneData.names_to_know(questions),
            self._chat.embed,
        )
        data = FineTuneData(questions, features, model.config.names)
        init_names(model.fusion, data, self.new_names)
        return data

    def save(self, output: Path) -> None:
        """Write the folder that `Segmenter.from_pretrained` loads.

        Args:
            output: The recipe's output.
        """
        folder = output / MERGED
        save_model(self._chat.model, folder)
        # The language layers were not trained: it still writes its own format best. The grid is
        # the one that the fusion was trained on.
        replace(self._chat.defaults, grid=self.recipe.data.defaults().grid).save(folder)

    def report(self) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Get the aliases and the interpolation, as plain values and in sentences."""
        chosen = self.interpolation
        details = {
            "interpolation": chosen.to_dict() if chosen else None,
            "aliases": dict(self.aliases),
        }
        read = ", ".join(f"{word} as {name}" for word, name in sorted(self.aliases.items()))
        notes = (f"reads {read}" if read else "", str(chosen) if chosen else "")
        return details, tuple(note for note in notes if note)


def check_recipe(recipe: Recipe) -> None:
    """Check that a recipe has no setting that nano has no use for.

    Args:
        recipe: The recipe.

    Raises:
        InputError: It has; the message has the changes that are needed.
    """
    faults = {
        "lora.rank=0": recipe.lora.rank > 0,
        "model.quantize=none": recipe.model.quantize != "none",
        "model.side=0": recipe.model.side > 0,
        "loss.digits=1.0": recipe.loss != LossSection(background=recipe.loss.background),
        "loss.background=1.0": recipe.loss != LossSection(digits=recipe.loss.digits),
    }
    wanted = [change for change, wrong in faults.items() if wrong]
    if wanted:
        changes = " ".join(f"--set {change}" for change in wanted)
        raise InputError(
            f"nano is trained without an adapter and without weights of tokens: {changes} "
            "(recipes/nano-own-data.toml has these settings)"
        )


def _folder(recipe: Recipe) -> Path:
    """Get the recipe's weights; a name stands for those of the package."""
    return SHIPPED if recipe.model.folder in KNOWN else Path(recipe.model.folder)


def _read(recipe: Recipe, chats: Sequence[Chat]) -> list[FineTuneQuestion]:
    shape = GridShape.parse(recipe.data.grid)
    return read_questions(chats, format_name=recipe.data.format, grid=shape)


class NanoTrainer(Trainer):
    """Trainer whose samples are numbers; it draws their batch, augmented by the step's seed."""

    data: FineTuneData
    chats: Sequence[Chat] = ()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - the signature of transformers
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:
        """Compute the loss, which has to be finite."""
        index = inputs["sample_index"]
        # Of the step and the samples alone, so a resumed training draws the same.
        seed = (self.args.seed, self.state.global_step, *index.tolist())
        batch = self.data.batch(index.tolist(), seed)
        loss = model(batch, self._draw_old(batch, np.random.default_rng((*seed, 2))))
        check_finite(loss, index, self.chats, self.state.global_step)
        return (loss, None) if return_outputs else loss

    def _draw_old(
        self, batch: FineTuneBatch, random: np.random.Generator
    ) -> tuple[Tensor, list[str]]:
        """Draw questions by known names about the images of a batch."""
        count = max(1, round(_OLD_SHARE * len(batch.image)))
        images = torch.from_numpy(random.integers(len(batch.features), size=count))
        names = random.choice(np.array(self.data.known), size=count)
        return images, [wording_of(f"the {name}") for name in names]


def _number(rows: Sequence[int]) -> dict[str, Tensor]:
    return {"sample_index": torch.tensor(rows)}
