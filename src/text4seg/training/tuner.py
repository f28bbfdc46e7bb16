"""Ways to train, by kind of model, and what they are given and return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from text4seg.core.errors import MissingExtraError
from text4seg.core.registry import Registry
from text4seg.models import VisionLanguageModel, is_nano

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.training.chats import Chat
    from text4seg.training.recipe import Recipe

Figures = Mapping[str, Mapping[str, Any]]
"""The validation's scores: plain values by name, for each set of questions."""

ProgressFn = Callable[[int, int, Mapping[str, float]], None]
"""Called with the step, the number of steps and the last logged figures, such as `loss`."""


@dataclass(frozen=True, slots=True, eq=False)
class ValidationResult:
    """The scores of a validation, and named images of some of its answers."""

    figures: Figures
    pictures: Sequence[tuple[str, Image]] = ()


ValidateFn = Callable[[VisionLanguageModel], ValidationResult]
"""Asks a model validation questions while it is trained."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a recipe takes: counts, bytes, and hours on this machine.

    Attributes:
        samples: Chats to learn from.
        images: Images that they are about.
        steps: Optimizer steps.
        tokens: Mean tokens of a sample, the image's among them.
        longest: Tokens of the longest sample looked at.
        loss_share: Share of the tokens that have a loss; 0 where something else is learned.
        parameters: Parameters of the model.
        trained: Parameters that are trained.
        weights: Bytes of the model.
        adapter: Bytes of what is trained, its gradient and Adam's moments.
        activations: Bytes of one device batch between forward and backward.
        tera_operations: Multiplications and additions of the whole training, in 10¹².
        hours: Hours on `device`.
        device: The device that was measured.
    """

    samples: int
    images: int
    steps: int
    tokens: float
    longest: int
    loss_share: float
    parameters: int
    trained: int
    weights: float
    adapter: float
    activations: float
    tera_operations: float
    hours: float
    device: str

    @property
    def memory(self) -> float:
        """Bytes in all."""
        return self.weights + self.adapter + self.activations


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training made.

    Attributes:
        folder: The recipe's output: weights, model card, recipe and provenance.
        steps: Optimizer steps in all, those before a resumption among them.
        seconds: Wall time of this run.
        loss: The last logged loss, if there was one.
        before: The validation's scores before training; empty without a validation.
        after: The same after it.
        details: What a kind of model reports beside that, as plain values for JSON.
        notes: The same in sentences, for the model card and the user.
    """

    folder: Path
    steps: int
    seconds: float
    loss: float | None
    before: Figures
    after: Figures
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Tuner(Protocol):
    """A way to train one kind of model, with the model loaded.

    Attributes:
        can_shard: Whether FSDP and ZeRO-3 may split the weights among processes.
        portable: Whether other trainers know such models.
    """

    can_shard: ClassVar[bool]
    portable: ClassVar[bool]

    def __init__(self, recipe: Recipe) -> None:
        """Load the recipe's model.

        Args:
            recipe: The recipe.

        Raises:
            InputError: This kind of model has no use for a setting.
        """

    @classmethod
    def estimate(cls, recipe: Recipe, chats: Sequence[Chat]) -> Estimate:
        """Estimate what the training takes.

        Args:
            recipe: The recipe.
            chats: What it learns from.

        Returns:
            The estimate for this machine.
        """
        ...

    def model(self) -> VisionLanguageModel:
        """Get the model as it is now.

        Returns:
            The model, ready to be asked.
        """
        ...

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
            The optimizer steps in all, and the last logged loss.
        """
        ...

    def save(self, output: Path) -> None:
        """Write the folders that a `Segmenter` loads, with their `ModelDefaults`.

        Args:
            output: The run's folder.
        """
        ...

    def report(self) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Report what is particular to this kind of model.

        Returns:
            The `details` and the `notes` of the `TrainResult`.
        """
        ...


TUNERS: Registry[type[Tuner]] = Registry(
    "kind of model to train",
    "text4seg.tuners",
    {
        # Strings: importing a trainer imports torch.
        "hf": "text4seg.training.tune_hf:HFTuner",
        "nano": "text4seg.training.nano.nano_tuner:NanoTuner",
    },
)


def find_tuner(folder: str) -> type[Tuner]:
    """Find the way to train a model.

    Args:
        folder: `model.folder` of a recipe: a folder or a model's name.

    Returns:
        The class of `TUNERS` that trains models of this kind.

    Raises:
        MissingExtraError: A package that it needs is not installed.
    """
    # Trainers are heavy and an extra of the package: they are imported here, not at import time.
    try:
        return TUNERS["nano" if is_nano(folder) else "hf"]
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "trl", "train") from error
