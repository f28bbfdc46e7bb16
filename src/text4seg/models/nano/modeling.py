"""Nano: frozen vision encoder → fusion → the first layers of SmolLM2, which write the mask as text.

An ordinary `transformers` model: configuration, `save_pretrained`, `generate`, PEFT and Trainer
work on it. It takes the features of the vision encoder (`encoders.vision`) where other models take
pixels.

How a token comes about: 64 image tokens and the question stand before the answer, as in LLaVA (Liu
et al. 2023, arXiv:2304.08485). The fusion makes a state for every cell out of image and question.
While the answer is written, each position is also given, added to its embedding:

- the state of the cell that its next token writes (`text.cell_tracker` knows which one);
- a strip of target logits from that cell to the end of its row;
- the next digit of the run length that is to be written there (`run_digits`).

Shapes: `b` sequences, `t` tokens, 256 = 16×16 cells, `d` the width of the fusion, `hidden` that of
the language model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationMixin, LlamaConfig, LlamaModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.fusion import Fusion, ImageState
from text4seg.models.nano.run_digits import RUN_CHANNELS, describe_runs
from text4seg.models.nano.text.cell_tracker import NOWHERE, CellTracker
from text4seg.models.nano.vqa_head import VqaHead

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import Cache

    from text4seg.models.nano.matching import Phrases

    QuestionReader = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Phrases]]

# Target logits of so many cells are read, from the pointed one on: a row of the usual grid.
STRIP = 16
_IGNORED = -100


@dataclass
class NanoOutput(ModelOutput):
    """The result of `NanoForConditionalGeneration.forward`.

    Attributes:
        loss: Mean cross-entropy of the labels, where there are any.
        logits: Of the kept positions, `b t vocabulary`; with labels, of the labelled tokens only.
        past_key_values: The language model's cache.
        cell_states: The fusion's states, `b 256 d`: to be passed to the next steps.
        target_logits: The fusion's target logits, `b 256`: likewise.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    cell_states: Tensor | None = None
    target_logits: Tensor | None = None


class NanoForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """Fusion and language model, as a `transformers` model.

    Before it reads text it needs a cell tracker (`set_cell_tracker`), and for weights with open
    matching also a reader of questions (`set_question_reader`).

    Args:
        config: Sizes and thresholds.
    """

    config_class = NanoConfig
    base_model_prefix = "nano"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = False
    _supports_sdpa = True
    _no_split_modules = ["LlamaDecoderLayer"]  # noqa: RUF012 - transformers' own way
    _tied_weights_keys = {}  # noqa: RUF012

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        # Kept as a dict in the configuration: a nested object would be saved with all its defaults.
        language = LlamaConfig(**config.language)
        language._attn_implementation = "sdpa"
        self.fusion = Fusion(config, language.hidden_size)
        self.image_projector = nn.Sequential(
            nn.LayerNorm(config.fusion_width), nn.Linear(config.fusion_width, language.hidden_size)
        )
        self.reader = nn.Sequential(
            nn.Linear(config.fusion_width + 2 * STRIP, language.hidden_size),
            nn.GELU(),
            nn.Linear(language.hidden_size, language.hidden_size),
        )
        self.run_reader: nn.Linear | None = None
        if config.runs:
            self.run_reader = nn.Linear(RUN_CHANNELS, language.hidden_size, bias=False)
            # Zero, so that weights trained without it write as before until it is trained.
            nn.init.zeros_(self.run_reader.weight)
        self.language = LlamaModel(language)
        # Only questions answered in words use it: masks are the same with it and without it.
        self.vqa_head = self._new_vqa_head() if config.answers else None
        self.cell_tracker: CellTracker | None = None
        self.question_reader: QuestionReader | None = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Do nothing: the fusion initialises itself, the language model comes from SmolLM2."""

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding, which is also the output layer (tied)."""
        embedding: nn.Module = self.language.embed_tokens
        return embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:  # type: ignore[override]
        """Replace the token embedding."""
        self.language.embed_tokens = value

    def set_cell_tracker(self, cell_tracker: CellTracker) -> None:
        """Set what knows which tokens move from cell to cell; needed before text is read."""
        self.cell_tracker = cell_tracker

    def add_vqa_head(self) -> None:
        """Add an untrained VQA head to weights that only write masks."""
        self.config.answers = True
        self.vqa_head = self._new_vqa_head()

    def _new_vqa_head(self) -> VqaHead:
        """A head of the sizes of the configuration."""
        config = cast("NanoConfig", self.config)
        return VqaHead(config, config.language["hidden_size"])

    def set_question_reader(self, reader: QuestionReader) -> None:
        """Set what reads phrases off questions; needed by weights with open matching.

        Args:
            reader: Question tokens `b t` and their mask → tokens, mask and phrases as the fusion
                is to read them (`PhraseReader.read_tokens`).
        """
        self.question_reader = reader

    # -- the image and the question ----------------------------------------------------------------

    def image_embeddings(self, image: ImageState) -> Tensor:
        """Image tokens for the language model, `b 64 hidden`: the cells, pooled to 8×8."""
        embedded: Tensor = self.image_projector(self.pool_cells(image))
        return embedded

    def pool_cells(self, image: ImageState) -> Tensor:
        """Cell states pooled to 8×8, `b 64 d`: the image tokens before their projection."""
        side, cells = self.config.image_side, self.config.cells
        maps = image.cells.transpose(1, 2).unflatten(2, (cells, cells))
        return functional.adaptive_avg_pool2d(maps, side).flatten(2).transpose(1, 2)

    def ground(
        self,
        image: ImageState,
        question_ids: Tensor,
        mask: Tensor,
        phrases: Phrases | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Find what questions ask for in their images.

        Args:
            image: One row a question.
            question_ids: Tokens of the questions, `b t`, padded.
            mask: `b t`, true where there is a token.
            phrases: The phrases of the questions, where they were read already; then the tokens
                are those that the fusion is to read.

        Returns:
            Cell states `b 256 d` and target logits `b 256`, positive where a cell is of the target.

        Raises:
            RuntimeError: The weights need a reader of questions that was not set.
        """
        if self.fusion.matching is not None and phrases is None:
            if self.question_reader is None:
                raise RuntimeError("nano needs set_question_reader(…) before it is asked")
            question_ids, mask, phrases = self.question_reader(question_ids, mask)
        if phrases is not None:
            # The sentence encoder is float32, whatever the model was converted to.
            phrases = replace(phrases, vectors=phrases.vectors.to(self.dtype))
        words = self.language.embed_tokens(question_ids)
        states, logits = self.fusion.ground(image, words, mask, phrases)
        # Chosen on validation images: the fusion's logits are a little low for the best IoU.
        return states, logits + self.config.cell_bias

    def read_cells(
        self,
        states: Tensor,
        logits: Tensor,
        pointers: Tensor,
        grid: tuple[int, int],
        *,
        resampled: bool = False,
    ) -> Tensor:
        """What to add to the embeddings of the answer's positions.

        Args:
            states: Cell states, `b 256 d`.
            logits: Target logits, `b 256`.
            pointers: (cell, length, named) of each position, `b t 3`; see `CellPointer`.
            grid: Rows and columns of the mask.
            resampled: Whether states and logits are those of the grid's cells already.

        Returns:
            `b t hidden`; zeros where the pointer is `NOWHERE`.
        """
        if not resampled:
            states, logits = self.resample(states, logits, grid)
        rows, cols = grid
        inside = pointers[..., 0] != NOWHERE
        cell = pointers[..., 0].clamp_min(0)
        picked = states.gather(1, cell[..., None].expand(-1, -1, states.shape[-1]))
        ahead = torch.arange(STRIP, device=cell.device)
        within = (cell[..., None] % cols + ahead) < cols
        index = (cell[..., None] + ahead).clamp_max(rows * cols - 1)
        # tanh keeps a sure cell from drowning the others; cells beyond the row's end are flagged.
        strip = torch.tanh(logits / 2).gather(1, index.flatten(1)).unflatten(1, index.shape[1:])
        strip = strip.masked_fill(~within, 0.0)
        read: Tensor = self.reader(
            torch.cat([picked, strip.to(picked.dtype), within.to(picked.dtype)], -1)
        )
        if self.run_reader is not None:
            read = read + self.run_reader(describe_runs(logits, pointers, cols).to(read.dtype))
        return read * inside[..., None]

    def resample(
        self, states: Tensor, logits: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Resample states and logits of 16×16 cells to another grid.

        Args:
            states: `b 256 d`.
            logits: `b 256`.
            grid: Rows and columns.

        Returns:
            `b n d` and `b n`, n = rows × columns.
        """
        side = self.config.cells
        if grid == (side, side):
            return states, logits
        maps = torch.cat([states, logits[..., None]], -1).transpose(1, 2).unflatten(2, (side, side))
        # States are interpolated with the logits, so that both stay those of one cell. Antialiasing
        # averages where the grid is coarser: a thin thing must not fall between two cells.
        maps = functional.interpolate(
            maps.float(), size=grid, mode="bilinear", antialias=min(grid) < side
        )
        cells = maps.flatten(2).transpose(1, 2).to(states.dtype)
        return cells[..., :-1], cells[..., -1]

    # -- text --------------------------------------------------------------------------------------

    def question_of(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Cut the questions out of prompts.

        A question stands between the last image token and the end of the user's turn.

        Args:
            input_ids: Prompts, `b t`.

        Returns:
            Their questions' tokens, padded, and a mask, both `b u`.
        """
        end = self.config.language["eos_token_id"]
        spans = []
        for row in input_ids.tolist():
            start = (
                len(row) - row[::-1].index(self.config.image_token)
                if self.config.image_token in row
                else 0
            )
            stop = row.index(end, start) if end in row[start:] else len(row)
            # Never empty: attention over no token is undefined.
            spans.append(torch.tensor(row[start:stop] or [end], device=input_ids.device))
        mask = [torch.ones(len(span), dtype=torch.bool, device=input_ids.device) for span in spans]
        pad = nn.utils.rnn.pad_sequence
        return pad(spans, batch_first=True), pad(mask, batch_first=True)

    def pointers_of(self, input_ids: Tensor, grid: tuple[int, int]) -> Tensor:
        """What each token's successor writes, `b t 3`; raises `RuntimeError` without a tracker."""
        if self.cell_tracker is None:
            raise RuntimeError(
                "nano needs set_cell_tracker(CellTracker.from_tokenizer(…)) before it reads text"
            )
        rows = [self.cell_tracker.pointers(row, *grid) for row in input_ids.tolist()]
        return torch.tensor(rows, device=input_ids.device)

    def read(
        self,
        input_ids: Tensor,
        features: Tensor | None = None,
        cell_states: Tensor | None = None,
        target_logits: Tensor | None = None,
        pointers: Tensor | None = None,
        grid: tuple[int, int] | None = None,
        *,
        resampled: bool = False,
        **language: Any,
    ) -> tuple[Any, Tensor | None, Tensor | None]:
        """Run tokens through the language model.

        Args:
            input_ids: `b t`.
            features: Of the vision encoder, `b 288 2060`, for tokens that hold the image's places.
            cell_states: `b 256 d`, of an earlier step.
            target_logits: `b 256`, of an earlier step.
            pointers: `b t 3`; by default read off `input_ids`, which then must be whole texts.
            grid: Rows and columns of the mask; 16×16 by default.
            resampled: Whether states and logits are those of the grid's cells already.
            **language: Arguments of the language model: cache, mask, positions.

        Returns:
            The language model's output, without logits; cell states and target logits.
        """
        shape = grid or (self.config.cells, self.config.cells)
        embedded = self.language.embed_tokens(input_ids)
        if features is not None:
            image = self.fusion.encode_image(features.to(embedded.dtype))
            places = input_ids == self.config.image_token
            image_tokens = self.image_embeddings(image).to(embedded.dtype)
            embedded = embedded.masked_scatter(places[..., None], image_tokens)
            if cell_states is None:
                cell_states, target_logits = self.ground(image, *self.question_of(input_ids))
        if cell_states is not None and target_logits is not None:
            if pointers is None:
                pointers = self.pointers_of(input_ids, shape)
            read = self.read_cells(cell_states, target_logits, pointers, shape, resampled=resampled)
            # Added, not concatenated: the layers of SmolLM2 keep their width and their cache.
            embedded = embedded + read.to(embedded.dtype)
        return self.language(inputs_embeds=embedded, **language), cell_states, target_logits

    def forward(
        self,
        input_ids: Tensor,
        features: Tensor | None = None,
        cell_states: Tensor | None = None,
        target_logits: Tensor | None = None,
        pointers: Tensor | None = None,
        grid: tuple[int, int] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,  # noqa: FBT001 - the signature of transformers
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> NanoOutput:
        """Logits, and the loss where there are labels.

        Args:
            input_ids: `b t`.
            features: With the tokens that hold the image's places; see `read`.
            cell_states: Of the previous output, in later steps.
            target_logits: Likewise.
            pointers: `b t 3`, in later steps.
            grid: Rows and columns of the mask; 16×16 by default.
            attention_mask: As of any language model, likewise the next three.
            position_ids: Positions of the tokens.
            past_key_values: The cache.
            use_cache: Whether to extend it.
            labels: `b t`, -100 where ignored; they are shifted here.
            logits_to_keep: The last so many positions; 0 for all.

        Returns:
            Logits and what the next step needs.
        """
        out, cell_states, target_logits = self.read(
            input_ids,
            features,
            cell_states,
            target_logits,
            pointers,
            grid,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
        )
        loss, logits = self._score(out.last_hidden_state, labels, logits_to_keep)
        return NanoOutput(loss, logits, out.past_key_values, cell_states, target_logits)

    def _score(
        self, hidden: Tensor, labels: Tensor | None, keep: int
    ) -> tuple[Tensor | None, Tensor]:
        """Loss and logits; with labels, logits are computed for the labelled tokens only."""
        vocabulary = self.language.embed_tokens.weight
        if labels is None:
            return None, hidden[:, -keep:] @ vocabulary.T
        # Most positions are prompt: logits of 49,152 tokens for them would only fill memory.
        wanted = labels[:, 1:] != _IGNORED
        logits = hidden[:, :-1][wanted] @ vocabulary.T
        return functional.cross_entropy(logits.float(), labels[:, 1:][wanted]), logits

    # -- generate ----------------------------------------------------------------------------------

    def prepare_inputs_for_generation(  # type: ignore[override]  # features, grid; by keyword
        self,
        input_ids: Tensor,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        features: Tensor | None = None,
        cell_states: Tensor | None = None,
        target_logits: Tensor | None = None,
        grid: tuple[int, int] | None = None,
        **rest: Any,
    ) -> dict[str, Any]:
        """What `generate` feeds next: new tokens with their pointers, features only at first."""
        past = 0 if past_key_values is None else past_key_values.get_seq_length()
        # Read off the whole text each time: `generate` hands over no state of the tracker.
        pointers = self.pointers_of(input_ids, grid or (self.config.cells, self.config.cells))
        return {
            "input_ids": input_ids[:, past:],
            "pointers": pointers[:, past:],
            "features": features if past == 0 else None,
            "cell_states": cell_states,
            "target_logits": target_logits,
            "grid": grid,
            "attention_mask": attention_mask,
            "past_key_values": past_key_values,
            "use_cache": rest.get("use_cache"),
            "logits_to_keep": 1,
        }

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], *args: Any, **rest: Any
    ) -> dict[str, Any]:
        """Carry cell states and target logits from one step of `generate` to the next."""
        kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **rest)
        kwargs["cell_states"] = outputs.cell_states
        kwargs["target_logits"] = outputs.target_logits
        return dict(kwargs)
