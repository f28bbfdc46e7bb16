"""Nano: frozen eyes → fusion → the first layers of SmolLM2, which write the mask as text.

An ordinary `transformers` model: configuration, `save_pretrained`, `generate`, PEFT and Trainer
work on it. It takes the features of the vision encoder (`text4seg.models.nano.encoders.vision`)
where other models take pixels.

How a token comes about: 64 image tokens and the question stand before the answer, as in any
vision-language model. The fusion makes a state for every cell out of the image and the question.
While the answer is written, each position is also given the state of the cell that its next token
writes (`pointers`), a strip of target logits from that cell to the end of its row, and the next
digit of the run length that is to be written there (`runs`).
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

STRIP = 16
_IGNORED = -100


@dataclass
class NanoOutput(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    cell_states: Tensor | None = None
    target_logits: Tensor | None = None


class NanoForConditionalGeneration(PreTrainedModel, GenerationMixin):
    config_class = NanoConfig
    base_model_prefix = "nano"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = False
    _supports_sdpa = True
    _no_split_modules = ["LlamaDecoderLayer"]  # noqa: RUF012 - transformers' own way
    _tied_weights_keys = {}  # noqa: RUF012

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
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
            nn.init.zeros_(self.run_reader.weight)  # weights from before it go on as they were
        self.language = LlamaModel(language)
        # Of no concern to masks: weights with it and without it write the same ones.
        self.vqa_head = self._new_vqa_head() if config.answers else None
        self.cell_tracker: CellTracker | None = None
        self.question_reader: QuestionReader | None = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the fusion initialises itself, the language model comes from SmolLM2."""

    def get_input_embeddings(self) -> nn.Module:
        embedding: nn.Module = self.language.embed_tokens
        return embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:  # type: ignore[override]
        self.language.embed_tokens = value

    def set_cell_tracker(self, cell_tracker: CellTracker) -> None:
        """Tells which tokens move from cell to cell; needed before text is read or written."""
        self.cell_tracker = cell_tracker

    def add_vqa_head(self) -> None:
        """A new one, to be trained: weights without it only write masks."""
        self.config.answers = True
        self.vqa_head = self._new_vqa_head()

    def _new_vqa_head(self) -> VqaHead:
        config = cast("NanoConfig", self.config)
        return VqaHead(config, config.language["hidden_size"])

    def set_question_reader(self, reader: QuestionReader) -> None:
        """Tells what a question asks for; needed by weights that match by meaning."""
        self.question_reader = reader

    # -- the image and the question ----------------------------------------------------------------

    def image_embeddings(self, image: ImageState) -> Tensor:
        """`b 64 hidden`: the cells, pooled to 8×8, as tokens."""
        embedded: Tensor = self.image_projector(self.pool_cells(image))
        return embedded

    def pool_cells(self, image: ImageState) -> Tensor:
        """`b 64 d`: what the image tokens are made of."""
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
        """Question tokens `b t` → cell states `b 256 d` and target logits `b 256`.

        With `phrases` the questions have been read: the tokens are as the fusion reads them.
        """
        if self.fusion.matching is not None and phrases is None:
            if self.question_reader is None:
                raise RuntimeError("nano needs set_question_reader(…) before it is asked")
            question_ids, mask, phrases = self.question_reader(question_ids, mask)
        if phrases is not None:
            phrases = replace(phrases, vectors=phrases.vectors.to(self.dtype))
        words = self.language.embed_tokens(question_ids)
        states, logits = self.fusion.ground(image, words, mask, phrases)
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
        """What the answer's positions, of `pointers b t 3`, are given: `b t hidden`.

        It is zero where they point `NOWHERE`.

        `resampled`: the states are those of the grid's cells already.
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
        """States `b 256 d` and target logits `b 256` of the cells of another grid."""
        side = self.config.cells
        if grid == (side, side):
            return states, logits
        maps = torch.cat([states, logits[..., None]], -1).transpose(1, 2).unflatten(2, (side, side))
        maps = functional.interpolate(
            maps.float(), size=grid, mode="bilinear", antialias=min(grid) < side
        )
        cells = maps.flatten(2).transpose(1, 2).to(states.dtype)
        return cells[..., :-1], cells[..., -1]

    # -- text --------------------------------------------------------------------------------------

    def question_of(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """The question's tokens `b t`, padded, and their mask.

        It stands between the last image token and the end of the turn.
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
            spans.append(torch.tensor(row[start:stop] or [end], device=input_ids.device))
        mask = [torch.ones(len(span), dtype=torch.bool, device=input_ids.device) for span in spans]
        pad = nn.utils.rnn.pad_sequence
        return pad(spans, batch_first=True), pad(mask, batch_first=True)

    def pointers_of(self, input_ids: Tensor, grid: tuple[int, int]) -> Tensor:
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
        """Tokens through the language model → its output (no logits yet), states, target logits."""
        shape = grid or (self.config.cells, self.config.cells)
        embedded = self.language.embed_tokens(input_ids)
        if features is not None:
            image = self.fusion.encode_image(features.to(embedded.dtype))
            places = input_ids == self.config.image_token
            seen = self.image_embeddings(image).to(embedded.dtype)
            embedded = embedded.masked_scatter(places[..., None], seen)
            if cell_states is None:
                cell_states, target_logits = self.ground(image, *self.question_of(input_ids))
        if cell_states is not None and target_logits is not None:
            if pointers is None:
                pointers = self.pointers_of(input_ids, shape)
            read = self.read_cells(cell_states, target_logits, pointers, shape, resampled=resampled)
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

        `features b 256 2048` come with the tokens that hold the image's places; later steps come
        with `cell_states` and `target_logits` (both are in the output) and the `pointers` of their
        tokens. `labels` as usual: -100 is ignored, and they are shifted inside.
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
        vocabulary = self.language.embed_tokens.weight
        if labels is None:
            return None, hidden[:, -keep:] @ vocabulary.T
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
        seen = 0 if past_key_values is None else past_key_values.get_seq_length()
        pointers = self.pointers_of(input_ids, grid or (self.config.cells, self.config.cells))
        return {
            "input_ids": input_ids[:, seen:],
            "pointers": pointers[:, seen:],
            "features": features if seen == 0 else None,
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
        kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **rest)
        kwargs["cell_states"] = outputs.cell_states
        kwargs["target_logits"] = outputs.target_logits
        return dict(kwargs)
