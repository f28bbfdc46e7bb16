"""Training nano by a recipe, on transformers' own `Trainer`.

nano is taught by its first lesson, seeing, on the user's masks: its fusion learns which cells the
user's words mean. A word for what it knows by another name is read as that name (`aliases`), and
new words become names that it knows, beginning as what tells their masks best (`name_init`). What
it writes follows what it sees, so the language layers stay as they are. Beside the user's questions
it is asked for names that it knew before, and has to answer as it did: so it forgets less. Images
held back tell how much of what it learned is kept (`interpolation`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
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
from text4seg.training.nano.interpolation import (
    Interpolation,
    hold_back,
    interpolate_on,
    weights_of,
)
from text4seg.training.nano.losses import names_loss, target_loss
from text4seg.training.nano.name_init import init_names
from text4seg.training.nano.new_names import add_names
from text4seg.training.nano.precision import mixed_precision
from text4seg.training.recipe import LossSection
from text4seg.training.trainer import check_finite, shared_settings, train_quietly
from text4seg.training.tuner import Estimate

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from text4seg.models import VisionLanguageModel
    from text4seg.models.nano.fusion import Fusion
    from text4seg.models.nano.matching import Phrases
    from text4seg.models.nano.modeling import QuestionReader
    from text4seg.training.chats import Chat
    from text4seg.training.nano.interpolation import Weights
    from text4seg.training.recipe import Recipe
    from text4seg.training.tuner import ProgressFn, ValidateFn

SIGHTS = "features"
_OPERATIONS = 3.0  # a parameter of the fusion, cell and question: measured; questions share images
_ENCODING_SECONDS = 1.0  # an image, on one core
_NAMES_WEIGHT = 2.0  # of the names' loss, as in nano's own lesson
_KEPT_WEIGHT = 1.0  # of the loss that keeps what was known
_KEPT_SHARE = 0.5  # old names asked, of the number of the user's questions


class NanoTuner:
    """Trains nano on a user's masks, in one process.

    Attributes:
        can_shard: nano is too small to be split among processes.
        portable: No other trainer knows it.
    """

    can_shard = False
    portable = False

    def __init__(self, recipe: Recipe) -> None:
        check_recipe(recipe)
        self.recipe = recipe
        self._chat = NanoModel.load(_folder(recipe))
        self.aliases: dict[str, str] = {}
        self.new_names: list[str] = []
        self.choice: Interpolation | None = None

    @classmethod
    def estimate(cls, recipe: Recipe, chats: Sequence[Chat]) -> Estimate:
        """Estimate what the training takes, from nano's own weights, which are small."""
        check_recipe(recipe)
        questions = read_own(recipe, chats)
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
            weights=4.0 * (total + fusion),
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
        """Train, from the last finished checkpoint on; then choose how much of it is kept."""
        torch.manual_seed(self.recipe.training.seed)
        model, tokenizer = self._chat.model, self._chat.text.tokenizer
        asked = read_own(self.recipe, chats)
        held = hold_back(chats, self.recipe.training.interpolate_on)
        back = [chat.image.name in held for chat in chats]
        learned = [chat for chat, away in zip(chats, back, strict=True) if not away]
        questions = [question for question, away in zip(asked, back, strict=True) if not away]
        seeing = Seeing(
            model.fusion, tokenizer, model.language.embed_tokens.weight, model.question_reader
        )
        features = self._look(chats, output, progress)
        self.aliases = find_aliases(
            self._chat, questions, features, lambda count, words: progress(count, words, {})
        )
        model.config.aliases |= self.aliases
        self.new_names = add_names(
            model, tokenizer, FineTuneData.names_to_know(questions), self._chat.embed
        )
        lessons = FineTuneData(questions, features, model.config.names)
        init_names(model.fusion, lessons, self.new_names)
        before = weights_of(model.fusion)
        validation = ValidationCallback(self.recipe, self.model, validate)
        trainer = NanoTrainer(
            model=seeing,
            args=TrainingArguments(
                **shared_settings(self.recipe, output / FOLDER, len(learned)),
                use_cpu=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=list(range(len(learned))),
            data_collator=_numbers,
            callbacks=[MarkFinished(), ProgressCallback(progress), validation],
        )
        validation.trainer = trainer
        trainer.lessons, trainer.chats = lessons, learned
        trained = train_quietly(trainer, last_finished(output))
        if self.recipe.training.interpolate_on:
            questions = [question for question, away in zip(asked, back, strict=True) if away]
            self.choice = self._choose(before, questions, features)
        return trained

    def _choose(
        self, before: Weights, questions: Sequence[FineTuneQuestion], features: Tensor
    ) -> Interpolation:
        if not questions:
            return Interpolation(share=1.0, images=0)
        return interpolate_on(
            self._chat, before, questions, features=features, names=self.new_names
        )

    def _look(self, chats: Sequence[Chat], output: Path, progress: ProgressFn) -> Tensor:
        """What the eyes see of every image, `images 256 c`."""
        sights = FeatureCache(output / SIGHTS, self._chat.vision_encoder.encode)
        images = list({chat.image: chat for chat in chats}.values())
        seen = []
        for count, chat in enumerate(images):
            progress(count, len(images), {})
            seen.append(sights.of(chat))
        return torch.stack(seen)

    def save(self, output: Path) -> None:
        """Write the folder that `Segmenter.from_pretrained` loads."""
        folder = output / MERGED
        save_model(self._chat.model, folder)
        # It still writes its own format best: what was taught is what it sees, on this grid.
        replace(self._chat.defaults, grid=self.recipe.data.defaults().grid).save(folder)

    def report(self) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Get the words that are read as other names, and the share of learning that is kept."""
        choice = self.choice
        details = {"choice": choice.to_dict() if choice else None, "aliases": dict(self.aliases)}
        read = ", ".join(f"{word} as {name}" for word, name in sorted(self.aliases.items()))
        notes = (f"reads {read}" if read else "", str(choice) if choice else "")
        return details, tuple(note for note in notes if note)


def _folder(recipe: Recipe) -> Path:
    """The recipe's weights; a name stands for those of the package."""
    return SHIPPED if recipe.model.folder in KNOWN else Path(recipe.model.folder)


def read_own(recipe: Recipe, chats: Sequence[Chat]) -> list[FineTuneQuestion]:
    """The chats as nano's questions; raises `InputError` for others."""
    shape = GridShape.parse(recipe.data.grid)
    return read_questions(chats, format_name=recipe.data.format, grid=shape)


def check_recipe(recipe: Recipe) -> None:
    """Raise `InputError` for settings that nano has no use for."""
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
            f"nano is taught to see, without an adapter and without weights of tokens: {changes} "
            "(recipes/nano-own-data.toml has these settings)"
        )


class Seeing(nn.Module):
    """nano's fusion under training: a batch in, its loss out."""

    def __init__(
        self,
        fusion: Fusion,
        tokenizer: Tokenizer,
        embedding: Tensor,
        reader: QuestionReader | None = None,
    ) -> None:
        super().__init__()
        self.fusion = fusion
        self._tokenizer, self._reader = tokenizer, reader
        self._frozen = (copy.deepcopy(fusion).requires_grad_(False).eval(), embedding.detach())

    def forward(self, batch: FineTuneBatch, others: tuple[Tensor, list[str]]) -> Tensor:
        """`others` are the images `k` and the wordings of questions to answer as before."""
        before = self._frozen[0]
        known = before.name_embedding.shape[0]
        with mixed_precision():
            image = self.fusion.encode_image(batch.features)
            _, logits = self.fusion.ground(image.select(batch.image), *self._words(batch.wordings))
            words = self._words(others[1])
            _, again = self.fusion.ground(image.select(others[0]), *words)
            with torch.no_grad():
                seen = before.encode_image(batch.features)
                _, earlier = before.ground(seen.select(others[0]), *words)
        loss = target_loss(logits.float(), batch.cells)
        loss = loss + _NAMES_WEIGHT * names_loss(image.names.float(), batch.names, batch.annotated)
        kept = functional.binary_cross_entropy_with_logits(
            image.names[..., :known].float(), seen.names.float().sigmoid(), reduction="none"
        )
        unasked = ~batch.annotated[:, None, :known]
        loss = loss + _KEPT_WEIGHT * (kept * unasked).sum() / unasked.sum() / kept.shape[1]
        return loss + 4 * _KEPT_WEIGHT * functional.binary_cross_entropy_with_logits(
            again.float(), earlier.float().sigmoid()
        )

    def _words(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Phrases | None]:
        ids = [torch.tensor(self._tokenizer.encode(text).ids) for text in texts]
        pad = nn.utils.rnn.pad_sequence
        mask = pad([torch.ones(len(row), dtype=torch.bool) for row in ids], batch_first=True)
        tokens, phrases = pad(ids, batch_first=True), None
        if self._reader is not None:
            tokens, mask, phrases = self._reader(tokens, mask)
        return self._frozen[1][tokens], mask, phrases


class NanoTrainer(Trainer):
    """Draws the batch of its samples' numbers, moved as the step's number says."""

    lessons: FineTuneData
    chats: Sequence[Chat] = ()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - the signature of transformers
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:
        """The loss; it has to be finite."""
        index = inputs["sample_index"]
        seed = (self.args.seed, self.state.global_step, *index.tolist())
        batch = self.lessons.batch(index.tolist(), seed)
        loss = model(batch, self._others(batch, np.random.default_rng((*seed, 2))))
        check_finite(loss, index, self.chats, self.state.global_step)
        return (loss, None) if return_outputs else loss

    def _others(
        self, batch: FineTuneBatch, random: np.random.Generator
    ) -> tuple[Tensor, list[str]]:
        count = max(1, round(_KEPT_SHARE * len(batch.image)))
        images = torch.from_numpy(random.integers(len(batch.features), size=count))
        names = random.choice(np.array(self.lessons.known), size=count)
        return images, [wording_of(f"the {name}") for name in names]


def _numbers(rows: Sequence[int]) -> dict[str, Tensor]:
    return {"sample_index": torch.tensor(rows)}
