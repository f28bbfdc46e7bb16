"""TRL's trainer with loss weights and errors that name a bad batch; settings of both trainers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import PrinterCallback, Trainer
from trl import SFTTrainer

from text4seg.core.errors import Text4SegError
from text4seg.training.distributed import count_steps, world_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from text4seg.models.families import Family
    from text4seg.training.chats import Chat
    from text4seg.training.recipe import Recipe


class TrainingError(Text4SegError):
    """A training cannot go on; its last checkpoint is kept."""


class MaskTrainer(SFTTrainer):
    """`SFTTrainer` whose batches may bring `loss_weights`, and `sample_index` for messages."""

    chats: Sequence[Chat] = ()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - the signature of transformers
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Compute the loss of answer tokens, each with its weight.

        Raises:
            TrainingError: The loss is not finite.
        """
        # Neither is an argument of a model.
        index, weights = inputs.pop("sample_index", None), inputs.pop("loss_weights", None)
        if weights is None:
            found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        else:
            loss, outputs = weighted_loss(model, inputs, weights, num_items_in_batch)
            if num_items_in_batch is not None:
                # Labels are counted over all processes, but gradients are averaged over them.
                loss = loss * self.accelerator.num_processes
            found = (loss, outputs) if return_outputs else loss
        loss = found[0] if return_outputs else found
        # Before the step: weights that became NaN could not be saved from.
        check_finite(loss, index, self.chats, self.state.global_step)
        return found


def train_quietly(trainer: Trainer, resumed: Path | None) -> tuple[int, float | None]:
    """Train, from a checkpoint on if there is one; return the steps in all and the last loss."""
    # It prints to stdout, which belongs to the results.
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return trainer.state.global_step, losses[-1] if losses else None


def weighted_loss(
    model: Any, inputs: dict[str, Any], weights: Tensor, items: Tensor | int | None
) -> tuple[Tensor, Any]:
    """Compute the weighted mean of the answers' negative log-probabilities.

    Args:
        model: A model whose forward pass TRL has patched to return `log_probs`.
        inputs: The batch, with labels `b t`.
        weights: Loss weights `b t`.
        items: Labels of the whole step, over accumulated batches and processes; None counts those
            of this batch.

    Returns:
        The loss, and the model's outputs.
    """
    outputs = model(**inputs, use_cache=False, fused_lm_head=True)
    ahead = weights[:, 1:].to(outputs.log_probs)  # a position predicts the token after it
    # Labels are counted, not weights: with weights of 1 this is TRL's own loss.
    count = outputs.label_mask.sum() if items is None else items
    return -(outputs.log_probs * ahead).sum() / torch.as_tensor(count).clamp(min=1), outputs


def check_finite(loss: Tensor, index: Tensor | None, chats: Sequence[Chat], step: int) -> None:
    """Raise `TrainingError` for a loss that is not finite, naming the batch's samples."""
    if torch.isfinite(loss.detach()).all():
        return
    sources = [chats[i].source for i in index.tolist()] if index is not None and chats else []
    named = f" on {'; '.join(sources)}" if sources else ""
    raise TrainingError(
        f"the loss is {float(loss.detach()):g} at step {step + 1}{named}; the last checkpoint is "
        "kept. A lower training.learning_rate or training.precision=bfloat16 (not float16) helps "
        "most often; else look at these samples"
    )


def linear_modules(model: Any, family: Family) -> list[str]:
    """Name the linear layers of the language model and of the projector, as in the paper."""
    parts = (f"{family.language}.", f"{family.projector}.")
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and f"{name}.".startswith(parts)
    ]


def shared_settings(recipe: Recipe, folder: Path, samples: int) -> dict[str, Any]:
    """Write a recipe in the words of transformers' `TrainingArguments`.

    Args:
        recipe: The recipe.
        folder: Where checkpoints go.
        samples: How many samples an epoch has.

    Returns:
        The arguments that hold for every kind of model.

    Raises:
        InputError: The batch cannot be shared among the processes.
    """
    training, report = recipe.training, recipe.report
    steps = count_steps(recipe, samples)
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": training.device_batch,
        "gradient_accumulation_steps": max(
            1, training.batch // (training.device_batch * world_size())
        ),
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.schedule,
        "warmup_steps": round(training.warmup * steps),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.clip,
        "seed": training.seed,
        "data_seed": training.seed,
        "save_steps": training.save_every or max(1, steps // 10),
        # The one before the last is kept, too: a kill may hit while the last is written.
        "save_total_limit": 2,
        "logging_steps": report.every,
        "report_to": list(report.to) or "none",
        "remove_unused_columns": False,
        "disable_tqdm": True,
    }
