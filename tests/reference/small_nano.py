"""Nano in miniature: the same classes, a tokenizer of a few hundred tokens, noise for weights."""

from __future__ import annotations

from functools import cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.text.tokens import END_OF_TURN, PromptTokenizer
from text4seg.prompts import ANSWER_PREFIX, QUESTIONS, question

# As many control tokens as SmolLM2 has, so that its 17th can stand for the image here, too.
SPECIAL = ["<|endoftext|>", "<|im_start|>", END_OF_TURN, *(f"<extra_{i}>" for i in range(14))]
IMAGE_TOKEN = 16
LABELS = ("dog", "the dog", "hot dog", "teddy bear", "t-shirt", "chien noir", "é")
NAMES = ["cat", "dog", "hot dog"]
DETECTOR = 80
VISUAL = 12
HIDDEN = 32
_TRAINED_ON = [
    "user\n",
    "assistant\n",
    ANSWER_PREFIX,
    *(wording.format(expression=label) for wording in QUESTIONS for label in LABELS),
    *(f"others| {label}| {label}\n {label} *3| others *12\n</seg>" for label in LABELS),
]


@cache
def _tokenizer_json() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TRAINED_ON, trainer)
    return tokenizer.to_str()


def small_tokenizer() -> Tokenizer:
    """Byte-level BPE that splits as SmolLM2's does: at words, single digits, line ends."""
    return Tokenizer.from_str(_tokenizer_json())


def small_text() -> PromptTokenizer:
    return PromptTokenizer(small_tokenizer(), image_token=IMAGE_TOKEN, image_tokens=4)


def small_config() -> NanoConfig:
    return NanoConfig(
        names=NAMES,
        language={
            "vocab_size": small_tokenizer().get_vocab_size(),
            "hidden_size": HIDDEN,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "initializer_range": 0.3,
            "tie_word_embeddings": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
        },
        width=16,
        heads=2,
        fusion_width=16,
        image_layers=1,
        query_layers=1,
        fusion_layers=1,
        vision_channels=VISUAL + DETECTOR,
        image_side=2,
        image_token=IMAGE_TOKEN,
        runs=True,
    )


def small_model(seed: int = 0) -> NanoForConditionalGeneration:
    """Chaotic opinions, float32, in evaluation mode, with its walker set."""
    torch.manual_seed(seed)
    model = NanoForConditionalGeneration(small_config())
    with torch.no_grad():
        model.fusion.name_embedding.normal_()
        model.fusion.detector_embedding.normal_()
        for parameter in model.reader.parameters():
            parameter.mul_(3.0)  # what a token reads of its cell has to matter
        assert model.run_reader is not None
        model.run_reader.weight.normal_()
    model.set_cell_tracker(small_text().cell_tracker)
    return model.eval()


def small_features(seed: int = 0, images: int = 1) -> Tensor:
    """Possible features: `images 256 channels`; the detector's channels lie in 0 to 1."""
    noise = torch.Generator().manual_seed(seed)
    seen = torch.randn(images, 256, VISUAL, generator=noise)
    boxes = torch.rand(images, 256, DETECTOR, generator=noise)
    return torch.cat([seen, boxes], dim=-1)


class SmallParts:
    """What `text4seg.models.nano.encoders.parts.PretrainedParts` brings, without a download."""

    def __init__(self, model: NanoForConditionalGeneration | None = None) -> None:
        self._model = model

    def tokenizer(self) -> Tokenizer:
        return small_tokenizer()

    def embedding(self) -> Tensor:
        assert self._model is not None
        return self._model.language.embed_tokens.weight.detach().bfloat16()


def small_prompt(expression: str = "the dog") -> list[int]:
    """A question about an image and the beginning of its answer, up to `<seg>`."""
    return small_text().prompt(question(expression), ANSWER_PREFIX)
