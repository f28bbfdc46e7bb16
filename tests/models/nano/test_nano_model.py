"""An image is opened once; every question forks from there and is answered as if asked alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.reference.plain import PlainGrammar, generate
from tests.reference.small_nano import (
    SPECIAL,
    SmallParts,
    small_features,
    small_model,
)
from text4seg.codec import get_format
from text4seg.core.errors import WeightsError
from text4seg.core.types import GridShape
from text4seg.decoding import (
    DRAFTERS,
    DecodingOptions,
    DecodingResult,
    DecodingTask,
    DraftContext,
    Vocabulary,
    compile_mask_grammar,
    decode,
    decode_batch,
)
from text4seg.images import open_image
from text4seg.models.interface import PreparedPrompt, TokenTable, VisionLanguageModel
from text4seg.models.nano.nano_model import NanoModel, NanoSession
from text4seg.prompts import ANSWER_PREFIX, question
from text4seg.segmenter import Segmenter

IMAGES = Path(__file__).parents[3] / "examples" / "photos"


class OfImage:
    """A model whose `generate` is given the image's features, as a user of `transformers` would."""

    def __init__(self, chat: NanoModel, features: torch.Tensor, shape: GridShape) -> None:
        self.model = chat.model
        self.inputs = {"features": features[None].float(), "grid": (shape.rows, shape.cols)}

    def generate(self, ids: torch.Tensor, **options: Any) -> torch.Tensor:
        return self.model.generate(ids, **self.inputs, **options)


def vocabulary_of(table: TokenTable) -> Vocabulary:
    return Vocabulary(table.tokens, table.eos, table.encode, special=table.special)


def task_of(
    asked: PreparedPrompt,
    vocabulary: Vocabulary,
    name: str,
    shape: GridShape,
    label: str,
    draft: str,
) -> DecodingTask:
    form = get_format(name)
    return DecodingTask(
        asked.first_logits,
        compile_mask_grammar(form, shape, (label,), vocabulary),
        DecodingOptions(draft=draft),
        DraftContext(form.syntax, shape, label, cell_log_odds=asked.cell_log_odds),
        bias=asked.bias,
    )


def write(
    asked: PreparedPrompt,
    vocabulary: Vocabulary,
    name: str,
    shape: GridShape,
    label: str,
    draft: str,
) -> DecodingResult:
    return decode(asked.step, task_of(asked, vocabulary, name, shape, label, draft))


def write_plainly(
    model: OfImage, chat: NanoModel, vocabulary: Vocabulary, label: str, name: str,
    bias: Mapping[int, float] | None,
) -> list[int]:  # fmt: skip
    shape = GridShape(*model.inputs["grid"])
    prompt = chat.text.prompt(question(label), ANSWER_PREFIX)
    processor = PlainGrammar(
        vocabulary.matcher_tokenizer, get_format(name).grammar(shape, (label,)), len(prompt), bias
    )
    return generate(model, prompt, processor)


@pytest.fixture(scope="module")
def small() -> NanoModel:
    return NanoModel(small_model(4), SmallParts())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small_words(small: NanoModel) -> Vocabulary:
    return vocabulary_of(small.vocabulary)


# -- the engine and its twin ----------------------------------------------------------------------

SMALL = [
    pytest.param("sd", GridShape(5, 4), "the dog", id="sd"),
    pytest.param("sd", GridShape(9, 7), "dog", id="sd tall"),
    pytest.param("rrle", GridShape(6, 13), "hot dog", id="rrle"),
    pytest.param("rrle", GridShape(16, 16), "dog", id="rrle as trained"),
    pytest.param("rle", GridShape(6, 5), "hot dog", id="rle"),
]


@pytest.mark.parametrize(("name", "shape", "label"), SMALL)
def test_small_nano_writes_what_generate_writes(
    small: NanoModel, small_words: Vocabulary, name: str, shape: GridShape, label: str
) -> None:
    features = small_features(9)[0]
    session = NanoSession(small, features)
    model = OfImage(small, features, shape)
    plain = write_plainly(model, small, small_words, label, name, None)
    for draft in DRAFTERS:
        asked = session.prepare(question(label), ANSWER_PREFIX, grid=(shape.rows, shape.cols))
        decoded = write(asked, small_words, name, shape, label, draft)
        assert list(decoded.tokens) == plain, draft
    grid = get_format(name).decode(small_words.decode(plain).decode(), shape, (label,))
    assert len(set(grid.cells.ravel().tolist())) == 2, "both labels come up, or nothing was tested"


@pytest.fixture(scope="module")
def vocabulary(chat: NanoModel) -> Vocabulary:
    return vocabulary_of(chat.vocabulary)


REAL = [
    pytest.param("sd", GridShape(8, 8), "the cat", id="sd"),
    pytest.param("sd", GridShape(4, 6), "the dog", id="sd absent"),
    pytest.param("rrle", GridShape(16, 16), "the cat", id="rrle"),
]


@pytest.mark.nano
@pytest.mark.parametrize(("name", "shape", "label"), REAL)
def test_nano_writes_what_generate_writes(
    chat: NanoModel,
    vocabulary: Vocabulary,
    seen: torch.Tensor,
    name: str,
    shape: GridShape,
    label: str,
) -> None:
    session = NanoSession(chat, seen)
    sides = (shape.rows, shape.cols)
    bias = session.prepare(question(label), ANSWER_PREFIX, grid=sides).bias
    plain = write_plainly(OfImage(chat, seen, shape), chat, vocabulary, label, name, bias)
    for draft in DRAFTERS:
        asked = session.prepare(question(label), ANSWER_PREFIX, grid=sides)
        decoded = write(asked, vocabulary, name, shape, label, draft)
        assert list(decoded.tokens) == plain, draft
    get_format(name).decode(vocabulary.decode(plain).decode(), shape, (label,))


# -- one image, many questions --------------------------------------------------------------------


def answers(
    chat: NanoModel,
    vocabulary: Vocabulary,
    features: torch.Tensor,
    labels: list[str],
    *,
    anew: bool,
) -> list[Any]:
    """First logits and tokens of each question, of one session or of one a question."""
    shape = GridShape(6, 6)
    session, found = NanoSession(chat, features), []
    for label in labels:
        if anew:
            session = NanoSession(chat, features)
        asked = session.prepare(question(label), ANSWER_PREFIX, grid=(6, 6))
        first = np.asarray(asked.first_logits)
        decoded = write(asked, vocabulary, "sd", shape, label, "row")
        found.append((first.tolist(), asked.prompt_tokens, decoded.tokens))
    return found


def test_asks_of_one_session_equal_asks_alone(small: NanoModel, small_words: Vocabulary) -> None:
    labels = ["dog", "the teddy bear", "dog", "hot dog", "dog"]
    together = answers(small, small_words, small_features(2)[0], labels, anew=False)
    assert together == answers(small, small_words, small_features(2)[0], labels, anew=True)
    assert together[0] == together[2] == together[4]
    assert together[0][0] != together[1][0]


@pytest.mark.nano
def test_nanos_asks_of_one_session_equal_asks_alone(
    chat: NanoModel, vocabulary: Vocabulary, seen: torch.Tensor
) -> None:
    labels = ["the cat", "the dog", "the cat"]
    together = answers(chat, vocabulary, seen, labels, anew=False)
    assert together == answers(chat, vocabulary, seen, labels, anew=True)
    assert together[0] == together[2]


def test_asks_may_be_written_side_by_side(small: NanoModel, small_words: Vocabulary) -> None:
    """Neither disturbs the other's cache."""
    session, shape = NanoSession(small, small_features(3)[0]), GridShape(16, 16)
    first, second = (
        session.prepare(question(label), ANSWER_PREFIX) for label in ("dog", "hot dog")
    )
    tokens = [small_words.encode(b"others| dog| dog|"), small_words.encode(b"hot dog| others|")]
    a = [np.asarray(row) for token in tokens[0] for row in first.step([token])]
    b = [np.asarray(row) for row in second.step(tokens[1])]
    again = session.prepare(question("dog"), ANSWER_PREFIX)
    assert np.allclose(a, [np.asarray(row) for row in again.step(tokens[0])], atol=1e-3)
    written = write(
        session.prepare(question("dog"), ANSWER_PREFIX), small_words, "sd", shape, "dog", "row"
    )
    assert written.complete
    assert len(b) == len(tokens[1])


@pytest.mark.parametrize("name", ["sd", "rrle"])
def test_a_batch_writes_what_each_question_gets_alone(
    small: NanoModel, small_words: Vocabulary, name: str
) -> None:
    """Images, prompts and texts of several lengths; texts end at different passes."""
    shape = GridShape(5, 6)
    cases = [(9, "the dog"), (2, "teddy bear"), (3, "dog"), (9, "é")]
    sessions = {seed: NanoSession(small, small_features(seed)[0]) for seed, _ in cases}

    def ask(seed: int, label: str) -> PreparedPrompt:
        return sessions[seed].prepare(question(label), ANSWER_PREFIX, grid=(shape.rows, shape.cols))

    alone = [write(ask(*case), small_words, name, shape, case[1], "auto") for case in cases]
    assert len({len(decoded.tokens) for decoded in alone}) > 1
    asked = [ask(*case) for case in cases]
    tasks = [
        task_of(one, small_words, name, shape, label, draft)
        for one, (_, label), draft in zip(
            asked, cases, ["auto", "row", "none", "head"], strict=True
        )
    ]
    together = decode_batch(small.batch(asked), tasks)
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, DecodingResult)
        assert one.tokens == other.tokens
        assert np.allclose(one.log_probabilities, other.log_probabilities, atol=1e-3)


def test_the_cell_head_is_handed_out(small: NanoModel, monkeypatch: pytest.MonkeyPatch) -> None:
    session = NanoSession(small, small_features(9)[0])
    odds = session.prepare(question("dog"), ANSWER_PREFIX, grid=(4, 7)).cell_log_odds
    assert odds is not None
    assert odds.shape == (4, 7)
    monkeypatch.setattr(small.model.config, "presence_threshold", 1e9)
    absent = session.prepare(question("dog"), ANSWER_PREFIX, grid=(4, 7)).cell_log_odds
    assert absent is not None
    assert absent.max() < -10


def test_the_cells_of_another_grid_are_made_once(
    small: NanoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, made = NanoSession(small, small_features(9)[0]), []
    resample = small.model.resample
    monkeypatch.setattr(
        small.model, "resample", lambda *given: [made.append(given[2]), resample(*given)][1]
    )
    session.prepare(question("dog"), ANSWER_PREFIX, grid=(4, 7)).step([1, 2])
    assert made == [(4, 7)]


@pytest.mark.nano
def test_a_question_is_read_once(
    chat: NanoModel, seen: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threshold of garments is decided on the question as the fusion reads it."""
    session, reader, read = NanoSession(chat, seen), chat.reader, []
    assert reader is not None
    once = reader.read
    monkeypatch.setattr(reader, "read", lambda text: [read.append(text), once(text)][1])
    asked = session.prepare(question("the settee"), ANSWER_PREFIX)
    assert read == [question("the settee")]
    assert asked.cell_log_odds is not None
    words = torch.tensor([chat.encode(question("the settee"))])
    with torch.inference_mode():
        image = chat.model.fusion.encode_image(seen[None].float())
        _, logits = chat.model.ground(image, words, torch.ones_like(words, dtype=torch.bool))
    offset = asked.cell_log_odds.ravel() - logits[0].numpy()
    assert np.allclose(offset, -50.0 if asked.absent else 0.0, atol=1e-4)


def test_a_session_counts_the_prompt(small: NanoModel) -> None:
    asked = NanoSession(small, small_features()[0]).prepare(question("dog"), ANSWER_PREFIX)
    assert asked.prompt_tokens == len(small.text.prompt(question("dog"), ANSWER_PREFIX))
    assert len(asked.first_logits) == len(small.vocabulary.tokens)
    assert asked.max_context == 4096 - asked.prompt_tokens


@pytest.mark.nano
def test_the_image_is_encoded_once(
    chat: NanoModel, cat: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Image.Image] = []
    look = chat.vision_encoder.encode
    monkeypatch.setattr(
        chat.vision_encoder, "encode", lambda image: [looks.append(image), look(image)][1]
    )
    session = chat.encode_image(cat)
    for label in ("the cat", "the dog"):
        session.prepare(question(label), ANSWER_PREFIX)
    assert looks == [cat]


# -- what is there and what is not ----------------------------------------------------------------


def test_the_bias_is_the_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = NanoModel(small_model(4), SmallParts())  # type: ignore[arg-type]
    assert chat.bias is None
    chat = NanoModel(small_model(4), SmallParts())  # type: ignore[arg-type]
    monkeypatch.setattr(chat.model.config, "others_bias", -0.5)
    firsts = {chat.text.encode("others")[0], chat.text.encode(" others")[0]}
    assert chat.bias == dict.fromkeys(firsts, -0.5)


def test_where_no_cell_reaches_the_threshold_the_thing_is_absent(
    small: NanoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.tensor([[-3.0, 0.9]])
    assert not small.is_absent("dog", logits)
    monkeypatch.setattr(small.model.config, "presence_threshold", 1.0)
    assert small.is_absent("dog", logits)
    monkeypatch.setattr(small.model.config, "presence_threshold", 0.9)
    assert not small.is_absent("dog", torch.tensor([[-3.0, 0.95]]))


def test_one_of_several_has_a_threshold_of_its_own(
    small: NanoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.tensor([[-3.0, 0.5]])
    monkeypatch.setattr(small.model.config, "presence_threshold", 1.0)
    assert small.is_absent("Segment the left dog", logits)
    monkeypatch.setattr(small.model.config, "position_threshold", 0.0)
    assert not small.is_absent("Segment the Left dog", logits)
    assert small.is_absent("Segment the bright dog", logits)


def test_look_alikes_have_a_threshold_of_their_own(
    small: NanoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.tensor([[-3.0, 1.5]])
    monkeypatch.setattr(small.model.config, "presence_threshold", 1.0)
    monkeypatch.setattr(small.model.config, "look_alikes", ["blouse", "shirt"])
    assert not small.is_absent("Segment the blouse in this image.", logits)
    monkeypatch.setattr(small.model.config, "look_alike_threshold", 2.0)
    assert small.is_absent("Segment the blouse in this image.", logits)
    assert not small.is_absent("Segment the dog in this image.", logits)


@pytest.mark.parametrize("name", ["sd", "rrle", "rle"])
def test_below_the_threshold_the_answer_is_empty_in_every_format(
    small: NanoModel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Encoded(VisionLanguageModel):
        capabilities = small.capabilities
        defaults = small.defaults

        def encode_image(self, image: Image.Image) -> NanoSession:
            return NanoSession(small, small_features(9)[0])

    segmenter = Segmenter(Encoded(), format=name, grid="8x8")
    image = Image.new("RGB", (64, 64))
    assert not segmenter(image, "dog").empty
    monkeypatch.setattr(small.model.config, "presence_threshold", 1e9)
    answer = segmenter(image, "dog")
    assert answer.empty
    assert answer.validity == "strict"
    assert answer.probability.max() == 0
    assert answer.stats.passes == 0


# -- bytes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", SPECIAL)
def test_no_words_of_a_user_become_a_control_token(small: NanoModel, content: str) -> None:
    """Labels forbid `|`, but not every control token is spelled with one."""
    tokens = small.encode(f"the {content} dog")
    assert not set(tokens) & set(small.vocabulary.special)
    assert b"".join(small.vocabulary.tokens[token] for token in tokens).decode() == (
        f"the {content} dog"
    )
    assert list(small.vocabulary.encode(content.encode())) == small.encode(content)
    assert len(small.text.encode(content)) == 1, "the prompt's own turns need theirs"


def test_a_label_that_spells_a_control_token_is_written(
    small: NanoModel, small_words: Vocabulary
) -> None:
    label, shape = "the <extra_13> dog", GridShape(3, 3)
    session = NanoSession(small, small_features(1)[0])
    asked = session.prepare(question(label), ANSWER_PREFIX, grid=(3, 3))
    for name in ("sd", "rrle"):
        decoded = write(asked, small_words, name, shape, label, "none")
        text = small_words.decode(decoded.tokens).decode()
        assert get_format(name).encode(get_format(name).decode(text, shape, (label,))) == text
        asked = session.prepare(question(label), ANSWER_PREFIX, grid=(3, 3))


def test_the_table_knows_the_end_and_the_control_tokens(small: NanoModel) -> None:
    table = small.vocabulary
    assert table is small.vocabulary, "built once"
    assert table.eos == small.text.end == 2
    assert list(table.special) == list(range(17))
    assert len(table.tokens) == small.model.config.language["vocab_size"]


# -- loading --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(chat: NanoModel) -> torch.Tensor:
    return chat.vision_encoder.encode(open_image(IMAGES / "cat.jpg"))


@pytest.mark.nano
def test_a_saved_copy_is_the_shipped_model(
    chat: NanoModel, seen: torch.Tensor, tmp_path: Path
) -> None:
    chat.model.save_pretrained(tmp_path)
    again = NanoModel.load(tmp_path)
    first = [
        np.asarray(NanoSession(one, seen).prepare(question("the cat"), ANSWER_PREFIX).first_logits)
        for one in (chat, again)
    ]
    assert np.array_equal(*first)


@pytest.mark.nano
def test_a_folder_of_another_model_is_refused(nano_parts: None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="another model"):
        NanoModel.load(tmp_path)


@pytest.mark.nano
def test_half_the_bits_answer_nearly_the_same(nano_parts: None) -> None:
    chat = NanoModel.load()
    exact = Segmenter(chat)(IMAGES / "cat.jpg", "the cat").grid.select("the cat")
    chat.model.to(torch.bfloat16)
    rounded = Segmenter(chat)(IMAGES / "cat.jpg", "the cat").grid.select("the cat")
    assert (exact & rounded).sum() / (exact | rounded).sum() > 0.9
