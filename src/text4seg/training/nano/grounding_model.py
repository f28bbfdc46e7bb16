"""nano's fusion under fine-tuning: its losses on new questions, and on what it knew before.

Fine-tuned on few images, a model forgets. So the fusion before training is kept, frozen, as a
teacher: names that the user did not ask about are to be predicted as it predicts them, and
questions by known names are to be answered as it answers them (distillation; Li and Hoiem 2016,
"Learning without forgetting").
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from text4seg.training.nano.losses import names_loss, target_loss
from text4seg.training.nano.precision import mixed_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from text4seg.models.nano.fusion import Fusion, ImageState
    from text4seg.models.nano.matching import Phrases
    from text4seg.models.nano.modeling import QuestionReader
    from text4seg.training.nano.finetune_data import FineTuneBatch

# Weights of the name head's loss, as in nano's own training, and of the two losses of the teacher.
_NAMES_WEIGHT = 2.0
_TEACHER_NAMES_WEIGHT, _TEACHER_TARGET_WEIGHT = 1.0, 4.0


class GroundingModel(nn.Module):
    """The fusion with its losses: a batch in, one number out."""

    def __init__(
        self,
        fusion: Fusion,
        tokenizer: Tokenizer,
        embedding: Tensor,
        reader: QuestionReader | None = None,
    ) -> None:
        """Keep a copy of the fusion as the teacher.

        Args:
            fusion: Trained in place.
            tokenizer: nano's tokenizer.
            embedding: Token embeddings of its language model, `tokens d`; frozen.
            reader: Finds the phrases of a question, for models that match by meaning.
        """
        super().__init__()
        self.fusion = fusion
        self._tokenizer, self._reader = tokenizer, reader
        # In a tuple they are no submodules: they are neither trained nor saved.
        self._frozen = (copy.deepcopy(fusion).requires_grad_(False).eval(), embedding.detach())

    def forward(self, batch: FineTuneBatch, old: tuple[Tensor, list[str]]) -> Tensor:
        """Compute the loss of a batch.

        Args:
            batch: The user's questions.
            old: Questions by known names, to be answered as before: their images in the batch `k`,
                and their wordings.

        Returns:
            One number.
        """
        teacher = self._frozen[0]
        with mixed_precision():
            image = self.fusion.encode_image(batch.features)
            _, logits = self.fusion.ground(image.select(batch.image), *self._encode(batch.wordings))
            words = self._encode(old[1])
            _, answer = self.fusion.ground(image.select(old[0]), *words)
            with torch.no_grad():
                earlier = teacher.encode_image(batch.features)
                _, wanted = teacher.ground(earlier.select(old[0]), *words)
        loss = target_loss(logits.float(), batch.cells)
        loss = loss + _NAMES_WEIGHT * names_loss(image.names.float(), batch.names, batch.annotated)
        loss = loss + _TEACHER_NAMES_WEIGHT * self._teacher_names_loss(image, earlier, batch)
        return loss + _TEACHER_TARGET_WEIGHT * functional.binary_cross_entropy_with_logits(
            answer.float(), wanted.float().sigmoid()
        )

    def _teacher_names_loss(
        self, image: ImageState, earlier: ImageState, batch: FineTuneBatch
    ) -> Tensor:
        """Compare the names that were not asked about with the teacher's; it has no new ones."""
        known = self._frozen[0].name_embedding.shape[0]
        kept = functional.binary_cross_entropy_with_logits(
            image.names[..., :known].float(), earlier.names.float().sigmoid(), reduction="none"
        )
        unasked = ~batch.annotated[:, None, :known]
        return (kept * unasked).sum() / unasked.sum() / kept.shape[1]

    def _encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Phrases | None]:
        """Embed questions, padded: `q t d`, the mask `q t`, and their phrases."""
        ids = [torch.tensor(self._tokenizer.encode(text).ids) for text in texts]
        pad = nn.utils.rnn.pad_sequence
        mask = pad([torch.ones(len(row), dtype=torch.bool) for row in ids], batch_first=True)
        tokens, phrases = pad(ids, batch_first=True), None
        if self._reader is not None:
            tokens, mask, phrases = self._reader(tokens, mask)
        return self._frozen[1][tokens], mask, phrases
