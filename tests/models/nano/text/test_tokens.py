"""Prompts and answers are the tokens that the tokenizer makes of their text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from projects.nano.mask_tokens import MaskTokenizer
from tests.reference.small_nano import SPECIAL, small_text, small_tokenizer
from text4seg.codec import get_format
from text4seg.core.errors import WeightsError
from text4seg.core.types import OTHERS, DescriptorGrid
from text4seg.models.nano.text.tokens import PromptTokenizer, _stand_ins, token_bytes
from text4seg.prompts import ANSWER_PREFIX, question

LABELS = ["dog", "the dog", "the hot dog on the left", "t-shirt", "Großmutter", "犬", "a"]


def spelled(text: PromptTokenizer, tokens: list[int]) -> str:
    return text.tokenizer.decode(tokens, skip_special_tokens=False)


def test_a_prompt_is_a_turn_of_chat_with_places_for_the_image() -> None:
    text = small_text()
    prompt = text.prompt(question("the dog"), ANSWER_PREFIX)
    places = SPECIAL[16] * 4
    assert spelled(text, prompt) == (
        f"<|im_start|>user\n{places}Segment the dog in this image.<|im_end|>\n"
        "<|im_start|>assistant\nHere is the mask:\n<seg>"
    )
    assert prompt == text.image_prefix() + text.after_image(question("the dog"), ANSWER_PREFIX)
    assert prompt.count(16) == 4
    assert text.end == 2


def test_another_tokenizer_is_refused() -> None:
    other = Tokenizer.from_str(small_tokenizer().to_str().replace("im_end", "the_end"))
    with pytest.raises(WeightsError, match="im_end"):
        PromptTokenizer(other, image_token=16, image_tokens=4)


def grid_of(mask: np.ndarray, label: str) -> DescriptorGrid:
    return DescriptorGrid.build((OTHERS, label), mask.astype(np.int32))


@pytest.mark.nano
@pytest.mark.parametrize("label", LABELS)
@settings(max_examples=15)  # for each label; the tokenizer is slow
@given(seed=st.integers(0, 10_000))
def test_answers_to_train_on_are_the_tokens_of_the_codecs_text(
    label: str, seed: int, tokenizer: Tokenizer
) -> None:
    """With SmolLM2's own tokenizer: what nano learned to write is what it is asked to write."""
    text = PromptTokenizer(tokenizer, image_token=16, image_tokens=64)
    writer = MaskTokenizer(text)
    random = np.random.default_rng(seed)
    mask = random.random((16, 16)) < random.random() * 1.2 - 0.1
    for name, write in (("sd", writer.flat), ("rrle", writer.runs)):
        answer = write(mask, mask, label)
        body = get_format(name).encode(grid_of(mask, label))
        assert answer.tokens == text.encode(body)
        assert answer.targets == answer.tokens
        prompt = spelled(text, text.prompt(question(label), ANSWER_PREFIX))
        whole = [*text.encode(ANSWER_PREFIX), *answer.tokens, *text.encode("</seg>"), text.end]
        assert text.encode(f"{ANSWER_PREFIX}{body}</seg><|im_end|>") == whole
        assert text.encode(prompt + body) == text.encode(prompt) + answer.tokens


def test_every_byte_has_its_letter() -> None:
    letters = _stand_ins()
    assert sorted(letters) == list(range(256))
    assert sorted(letters.values()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = small_tokenizer()
    assert all(tokenizer.token_to_id(letter) is not None for letter in letters.values())


TEXT = small_text()
TABLE = token_bytes(TEXT)


@given(st.text(max_size=30))
def test_the_bytes_of_tokens_are_the_bytes_of_the_text(text: str) -> None:
    assert b"".join(TABLE[token] for token in TEXT.encode(text)) == text.encode()
