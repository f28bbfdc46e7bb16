"""Configuration of nano, as an ordinary `transformers` configuration."""

from __future__ import annotations

from typing import Any, Literal

from transformers import LlamaConfig, PreTrainedConfig

VISION_CHANNELS = 2048
CELLS = 16
# Key in config.json → attribute here. The shipped file was written before the attributes had these
# names, and rewriting it would make every fine-tuned copy unreadable; so files keep their keys.
FILE_KEYS = {
    "eye_channels": "vision_channels",
    "terms": "attributes",
    "presence_gate": "presence_threshold",
    "placed_gate": "position_threshold",
    "look_alike_gate": "look_alike_threshold",
}

ThresholdKind = Literal["presence", "position", "look_alike"]
"""Kinds of questions that have a threshold of their own; see `NanoConfig`."""


class NanoConfig(PreTrainedConfig):
    """Sizes, names and thresholds of nano.

    Args:
        language: Configuration of the language model's first layers: a `LlamaConfig` as a dict.
        names: Names that the fusion recognises in every cell.
        width: Channels of the image layers.
        heads: Attention heads of all layers of the fusion.
        fusion_width: Channels of the layers that read the question.
        image_layers: Layers over the image alone.
        query_layers: Layers over the question alone.
        fusion_layers: Layers over the image that read the question.
        vision_channels: Channels of a cell's features, the detector's class map included.
        cells: Side of the map of cells.
        image_side: Side of the map of image tokens.
        image_token: The token that holds an image token's place.
        others_bias: Added to the logit of `others` wherever the mask may go on in several ways.
        cell_bias: Added to every cell's target logit, before thresholds and writing.
        presence_threshold: A thing counts as absent where no target logit reaches it; None: never.
        position_threshold: In its place for questions that tell one of several apart.
        look_alike_threshold: In its place for the words in `look_alikes`.
        look_alikes: Words for things that are often taken for one another.
        sentence_width: Width of a sentence embedding; 0 for no open matching.
        word_lists: Of each of the three lists, its words and the most words of one name.
        words: Words of the first list: the names and the other words for them.
        aliases: A user's words → names.
        attributes: Whether colors, positions, sizes and relations are read off questions.
        runs: Whether tokens are given the digits of run lengths.
        answers: Whether there is a VQA head.
        **rest: Arguments of `PreTrainedConfig`.
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
        vision_channels: int = VISION_CHANNELS,
        cells: int = CELLS,
        image_side: int = 8,
        image_token: int = 16,
        others_bias: float = 0.0,
        cell_bias: float = 0.0,
        presence_threshold: float | None = None,
        position_threshold: float | None = None,
        sentence_width: int = 0,
        word_lists: list[list[int]] | None = None,
        words: list[str] | None = None,
        aliases: dict[str, str] | None = None,
        look_alikes: list[str] | None = None,
        look_alike_threshold: float | None = None,
        attributes: bool = False,
        runs: bool = False,
        answers: bool = False,
        **rest: Any,
    ) -> None:
        # Lists are copied, so that a change of one configuration never reaches another one.
        self.language = language or {}
        self.names = list(names or [])
        self.width = width
        self.heads = heads
        self.fusion_width = fusion_width
        self.image_layers = image_layers
        self.query_layers = query_layers
        self.fusion_layers = fusion_layers
        self.vision_channels = vision_channels
        self.cells = cells
        self.image_side = image_side
        self.image_token = image_token
        self.others_bias = others_bias
        self.cell_bias = cell_bias
        self.presence_threshold = presence_threshold
        self.position_threshold = position_threshold
        self.sentence_width = sentence_width
        self.word_lists = [list(size) for size in word_lists or []]
        self.words = list(words or [])
        self.aliases = dict(aliases or {})
        self.look_alikes = list(look_alikes or [])
        self.look_alike_threshold = look_alike_threshold
        self.attributes = attributes
        self.runs = runs
        self.answers = answers
        # Last: transformers reads the fields above, such as the language model's size.
        super().__init__(**rest)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The configuration of a config.json, whose keys are those of `FILE_KEYS`."""
        # Shipped weights keep the key names that they were saved with.
        named = {FILE_KEYS.get(key, key): value for key, value in config_dict.items()}
        return super().from_dict(named, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """What goes into config.json, under the keys of `FILE_KEYS`."""
        keys = {attribute: key for key, attribute in FILE_KEYS.items()}
        return {keys.get(name, name): value for name, value in super().to_dict().items()}

    def get_text_config(
        self,
        decoder: bool | None = None,  # noqa: ARG002, FBT001 - the signature of transformers
        encoder: bool | None = None,  # noqa: ARG002, FBT001
    ) -> PreTrainedConfig:
        """The language model's configuration, for which `generate` builds its cache."""
        return LlamaConfig(**self.language) if self.language else self

    def threshold(self, kind: ThresholdKind) -> float | None:
        """The target logit that some cell must reach for a thing to count as present, if any."""
        thresholds = {
            "presence": self.presence_threshold,
            "position": self.position_threshold,
            "look_alike": self.look_alike_threshold,
        }
        return thresholds[kind]

    @property
    def image_tokens(self) -> int:
        """Tokens that stand for the image."""
        return self.image_side**2
