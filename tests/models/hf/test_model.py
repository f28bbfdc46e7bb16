"""Every family of the table: what its session writes is what plain `generate` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.reference.decoding import mask_grammar
from tests.reference.plain_chat import plain_tokens
from tests.reference.small_families import RECIPES, build
from tests.reference.small_nano import small_tokenizer
from text4seg import prompts
from text4seg.core.types import GridShape
from text4seg.decoding import DecodingOptions, DecodingTask, Vocabulary, decode
from text4seg.models.families import FAMILIES
from text4seg.models.hf.model import HFModel

IMAGES = Path(__file__).parents[3] / "examples" / "photos"
SHAPE = GridShape(5, 6)
GRID = (SHAPE.rows, SHAPE.cols)


@pytest.fixture(scope="module", params=sorted(RECIPES))
def local(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    folder = tmp_path_factory.mktemp(request.param)
    return HFModel.load(build(request.param, folder, small_tokenizer()))


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.open(IMAGES / "cat.jpg").convert("RGB")


def test_every_row_of_the_table_is_tried() -> None:
    assert sorted(RECIPES) == sorted(FAMILIES)


def test_questions_fork_and_equal_plain_generate(local: HFModel, image: Image.Image) -> None:
    session = local.encode_image(image)
    texts = set()
    for expression, draft in (("the dog", "row"), ("hot dog", "row"), ("the dog", "none")):
        prompt = session.prepare(prompts.question(expression), prompts.ANSWER_PREFIX, grid=GRID)
        table = prompt.vocabulary
        known = Vocabulary(table.tokens, table.eos, table.encode, special=table.special)
        grammar = mask_grammar("rrle", SHAPE, (expression,), known)
        task = DecodingTask(prompt.first_logits, grammar, DecodingOptions(draft=draft))
        decoded = decode(prompt.step, task)
        assert list(decoded.tokens) == plain_tokens(local, image, expression, grammar.lark)
        texts.add(known.decode(decoded.tokens))
    assert len(texts) == 2


def test_the_image_is_seen(local: HFModel, image: Image.Image) -> None:
    other = Image.open(IMAGES / "coffee.jpg").convert("RGB")
    question = prompts.question("the dog")
    first, second = (
        np.asarray(local.encode_image(image).prepare(question, prompts.ANSWER_PREFIX).first_logits)
        for image in (image, other)
    )
    assert np.abs(first - second).max() > 1e-3


def test_a_cut_forgets(local: HFModel, image: Image.Image) -> None:
    """After cuts the logits are those of a cache that was never fed."""
    prompt = local.encode_image(image).prepare("Segment it.", "Here:")
    tokens = local.prompter.encode("others *4| the dog *2| others")
    straight = np.asarray(prompt.step(tokens)[len(tokens) - 1])
    prompt.step.rollback(len(tokens) - 1)
    prompt.step.rollback(1)
    for kept in (2, 0, 3):
        wrong = tokens[:kept][::-1] + local.prompter.encode("xyz")
        prompt.step(wrong)
        prompt.step.rollback(len(wrong))
    again = np.asarray(prompt.step(tokens)[len(tokens) - 1])
    np.testing.assert_allclose(again, straight, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="take back"):
        prompt.step.rollback(len(tokens) + 1)


def test_a_cache_that_cannot_be_cut_is_put_back(
    local: HFModel, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    question, prefix = prompts.question("the dog"), prompts.ANSWER_PREFIX
    tokens = local.prompter.encode("others *4| the dog")
    straight = np.asarray(
        local.encode_image(image).prepare(question, prefix).step(tokens)[len(tokens) - 1]
    )
    prompt = local.encode_image(image).prepare(question, prefix)
    for layer in prompt.step._cache.layers:
        monkeypatch.setattr(type(layer), "is_croppable", False)
    prompt.step([*tokens[:3], 5, 6])
    prompt.step.rollback(2)
    assert len(prompt.step(tokens[3:])) == len(tokens) - 3
    prompt.step.rollback(1)
    again = np.asarray(prompt.step(tokens[-1:])[0])
    np.testing.assert_allclose(again, straight, rtol=1e-3, atol=1e-4)


def test_the_whole_image_is_in_the_square(local: HFModel) -> None:
    """No crop, no pad, no resizing: the rim of a wide image is there, and nothing besides."""
    wide = Image.new("RGB", (300, 100), "black")
    wide.paste("white", (0, 0, 300, 8))
    wide.paste("white", (0, 92, 300, 100))
    square = local.prompter.square(wide)
    messages = [{"role": "user", "content": [{"type": "image"}]}]
    inputs = local.prompter.inputs(local.prompter.text(messages), square)
    pixels = inputs.get("high_res_pixel_values", inputs["pixel_values"]).float()
    views = pixels.numel() / (3 * local.prompter.side**2)
    assert views in {1, 2}  # Qwen's time axis and OneVision's only tile repeat the square
    white = float((pixels > 0).float().mean())  # every family centers its pixels
    assert white == pytest.approx((np.asarray(square) > 120).mean(), abs=0.03)
    assert 0.1 < white < 0.25
