"""Configuration of nano, as an ordinary `transformers` configuration."""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, PreTrainedConfig

EYE_CHANNELS = 2048
CELLS = 16


class NanoConfig(PreTrainedConfig):
    """Sizes of nano's three parts: frozen eyes (features come in), fusion, language model.

    `language` is the configuration of the language model's first layers (a `LlamaConfig` as a
    dict); `names` the words whose cells the fusion learned to recognise; `others_bias` is added to
    the logit of the word others wherever the mask may go on in several ways, `cell_bias` to every
    cell's target logit before the writer is given it; where no cell's target logit, so raised,
    reaches `presence_gate`, the thing counts as absent. `placed_gate` stands in its
    place where a question tells one of several apart: such answers are fainter. With
    `sentence_width`, questions are also matched by what their words mean; `word_lists` tells of
    each of the three lists how many words it has, and of how many at most for one name; `words`
    are those of the first, the names and the other words for them. Words in `look_alikes` name
    things that are often taken for one another: `look_alike_gate` decides of them. With `terms`,
    colors, places, sizes and relations are read off a question and looked up in the image. With
    `runs`, each token of an answer is also told how long the run is that its cell begins. With
    `answers`, questions may be answered in words, too.
    """

    model_type = "text4seg-nano"

    def __init__(
        self,
        *,
        language: dict[str, Any] | None = None,
        names: list[str] | None = None,
        width: int = 256,
        heads: int = 4,
        fusion_width: int = 192,
        image_layers: int = 2,
        query_layers: int = 2,
        fusion_layers: int = 3,
        eye_channels: int = EYE_CHANNELS,
        cells: int = CELLS,
        image_side: int = 8,
        image_token: int = 16,
        others_bias: float = 0.0,
        cell_bias: float = 0.0,
        presence_gate: float | None = None,
        placed_gate: float | None = None,
        sentence_width: int = 0,
        word_lists: list[list[int]] | None = None,
        words: list[str] | None = None,
        aliases: dict[str, str] | None = None,
        look_alikes: list[str] | None = None,
        look_alike_gate: float | None = None,
        terms: bool = False,
        runs: bool = False,
        answers: bool = False,
        **rest: Any,
    ) -> None:
        self.language = language or {}
        self.names = list(names or [])
        self.width = width
        self.heads = heads
        self.fusion_width = fusion_width
        self.image_layers = image_layers
        self.query_layers = query_layers
        self.fusion_layers = fusion_layers
        self.eye_channels = eye_channels
        self.cells = cells
        self.image_side = image_side
        self.image_token = image_token
        self.others_bias = others_bias
        self.cell_bias = cell_bias
        self.presence_gate = presence_gate
        self.placed_gate = placed_gate
        self.sentence_width = sentence_width
        self.word_lists = [list(size) for size in word_lists or []]
        self.words = list(words or [])
        self.aliases = dict(aliases or {})
        self.look_alikes = list(look_alikes or [])
        self.look_alike_gate = look_alike_gate
        self.terms = terms
        self.runs = runs
        self.answers = answers
        super().__init__(**rest)

    def get_text_config(
        self,
        decoder: bool | None = None,  # noqa: ARG002, FBT001 - the signature of transformers
        encoder: bool | None = None,  # noqa: ARG002, FBT001
    ) -> PreTrainedConfig:
        """The language model's configuration: `generate` builds its cache for it."""
        return LlamaConfig(**self.language) if self.language else self

    @property
    def image_tokens(self) -> int:
        return self.image_side**2
