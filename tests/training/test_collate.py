"""The loss stands on answers alone; tokens are those that decoding continues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing

from tests.reference.small_families import RECIPES, build
from tests.reference.small_nano import small_tokenizer
from text4seg import prompts
from text4seg.codec import FORMATS
from text4seg.models.families import get_family
from text4seg.models.hf.loading import load_processor
from text4seg.models.hf.prompter import Prompter, chat
from text4seg.training.chats import Chat, one_turn, read_chats
from text4seg.training.collate import IGNORED, Collator, MaskWeights
from text4seg.training.recipe import DataSection, LossSection

IMAGES = Path(__file__).parents[2] / "examples" / "photos"
CAT = IMAGES / "cat.jpg"
BODY = "others *2\nothers| the dog *12\nothers *2"


@pytest.fixture(scope="module", params=["smolvlm", "paligemma", "qwen2_vl", "gemma3"])
def prompter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prompter:
    folder = build(request.param, tmp_path_factory.mktemp("m"), small_tokenizer())
    family = get_family(request.param)
    processor = load_processor(folder, family)
    return Prompter(family, processor, side=32, eos=processor.tokenizer.eos_token_id)


def of(*turns: tuple[str, str]) -> Chat:
    first, *rest = turns
    messages = list(one_turn(*first))
    for question, answer in rest:
        parts = [{"type": "text", "text": question}]
        messages += [{"role": "user", "content": parts}, one_turn("", answer)[1]]
    return Chat(CAT, tuple(messages), "a test")


@pytest.mark.parametrize("written", [False, True], ids=["left to the tokenizer", "in the template"])
@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "paligemma"])
def test_a_text_starts_once_as_its_tokenizer_starts_texts(
    tmp_path: Path, name: str, *, written: bool
) -> None:
    """Llama's tokenizer puts its token before a text; LLaVA-1.5's template does not write it."""
    tokenizer, start = small_tokenizer(), "<s>"
    tokenizer.add_special_tokens([AddedToken(start, special=True, normalized=False)])
    bos = tokenizer.token_to_id(start)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A", pair=f"{start} $A $B", special_tokens=[(start, bos)]
    )
    family = get_family(name)
    processor = load_processor(build(name, tmp_path, tokenizer), family)
    processor.tokenizer.bos_token = start
    if written and family.template is None:
        processor.chat_template = "{{ bos_token }}" + processor.chat_template
    prompter = Prompter(family, processor, side=32, eos=processor.tokenizer.eos_token_id)
    text = prompter.text(chat("Where is the dog?"))
    ids = prompter.inputs(text, prompter.square(Image.open(CAT)))["input_ids"][0].tolist()
    assert ids.count(bos) == 1
    if family.template is None:  # PaliGemma's processor writes it behind the image
        assert ids[0] == bos
        assert processor.tokenizer.decode(ids[1:2]) == "<|im_start|>"


labels = st.text(st.characters(codec="utf-8", exclude_characters="<|\n"), min_size=1, max_size=9)


@settings(max_examples=25)
@given(data=st.data())
def test_the_loss_stands_on_answers_alone(prompter: Prompter, data: st.DataObject) -> None:
    chats = [
        of((prompts.question(label), prompts.answer(data.draw(labels))))
        for label in data.draw(st.lists(labels, min_size=1, max_size=3))
    ]
    batch = Collator(prompter, pad=0).batch(chats)
    eos, tokens = prompter.vocabulary.eos, prompter.vocabulary.tokens
    for row, seen, given_ids, sample in zip(
        batch["labels"], batch["attention_mask"], batch["input_ids"], chats, strict=True
    ):
        learned = row[row != IGNORED].tolist()
        assert learned[-1] == eos
        assert b"".join(tokens[t] for t in learned[:-1]).decode() == sample.answers[0]
        assert torch.equal(given_ids[row != IGNORED], row[row != IGNORED])
        assert not (row[seen == 0] != IGNORED).any()


def test_the_prompt_is_the_one_that_inference_writes(prompter: Prompter) -> None:
    question = prompts.question("the dog")
    row, _ = Collator(prompter, pad=0).encode(of((question, prompts.answer(BODY))))
    from PIL import Image

    asked = prompter.inputs(prompter.text(chat(question)), prompter.square(Image.open(CAT)))
    start = [*asked["input_ids"][0].tolist(), *prompter.encode(prompts.ANSWER_PREFIX)]
    assert row.ids[: len(start)] == start
    assert row.ids[len(start) :][: len(prompter.encode(BODY))] == prompter.encode(BODY)


def test_several_turns_are_all_learned(prompter: Prompter) -> None:
    chat_ = of(("Where?", "Here: <seg>a</seg>"), ("And?", "There: <seg>b</seg>"))
    row, _ = Collator(prompter, pad=0).encode(chat_)
    tokens, eos = prompter.vocabulary.tokens, prompter.vocabulary.eos
    learned = [t for t in row.labels if t != IGNORED]
    text = b"".join(b"!" if t == eos else tokens[t] for t in learned).decode()
    assert text == "Here: <seg>a</seg>!There: <seg>b</seg>!"
    assert row.ids.count(eos) >= 2


def test_weights_stand_on_digits_and_background_rows(prompter: Prompter) -> None:
    chats = [of(("Where?", prompts.answer(BODY)))]
    batch = Collator(
        prompter,
        pad=0,
        weights=MaskWeights(LossSection(digits=3.0, background=0.5), FORMATS["rrle"].syntax),
    ).batch(chats)
    tokens = prompter.vocabulary.tokens
    found = {
        (tokens[token].decode(), weight)
        for token, weight in zip(
            batch["input_ids"][0].tolist(), batch["loss_weights"][0].tolist(), strict=True
        )
    }
    assert {("1", 3.0), ("2", 3.0), ("2", 1.5)} <= found
    assert any(weight == 0.5 for _, weight in found)
    learned = batch["labels"][0] != IGNORED
    assert not batch["loss_weights"][0][~learned].any()
    assert batch["loss_weights"][0][learned].all()


WEIGHED = [
    pytest.param("rrle", "others *2\ncup *1", ["others", " *", "2", "\n", "cup", " *", "1"],
                 [0.5, 0.5, 1.5, 0.5, 1.0, 1.0, 3.0], id="a background row, then another"),
    pytest.param("rrle", "7 dogs *12", ["7", " dogs", " *", "1", "2"],
                 [1.0, 1.0, 1.0, 3.0, 3.0], id="a digit of a label is no count"),
    pytest.param("rrle", "cup *4", ["cup *4"], [1.0], id="a token that is only partly a count"),
    pytest.param("sd", "others| others", ["others", "|", " others"], [0.5] * 3, id="no counts"),
    pytest.param("rrle", "thé *2", ["th", "é", " *", "2"], [1.0, 1.0, 1.0, 3.0], id="two bytes"),
    pytest.param("rrle", "", [], [], id="nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("format_name", "text", "tokens", "expected"), WEIGHED)
def test_a_token_is_weighed_by_what_it_writes(
    format_name: str, text: str, tokens: list[str], expected: list[float]
) -> None:
    assert "".join(tokens) == text
    weights = MaskWeights(LossSection(digits=3.0, background=0.5), FORMATS[format_name].syntax)
    assert weights.weigh(text, [token.encode() for token in tokens]) == expected


def test_every_family_makes_batches(tmp_path: Path) -> None:
    for name in sorted(RECIPES):
        folder = build(name, tmp_path / name, small_tokenizer())
        family = get_family(name)
        processor = load_processor(folder, family)
        one = Prompter(family, processor, side=32, eos=processor.tokenizer.eos_token_id)
        batch = Collator(one, pad=0).batch([of(("a", "b")), of(("a longer one", "c"))])
        assert batch["input_ids"].shape == batch["labels"].shape
        assert len(batch["input_ids"]) == 2


def test_images_inside_parquet_files_are_read(tmp_path: Path, prompter: Prompter) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rle = json.loads((IMAGES / "examples.jsonl").read_text().splitlines()[0])["mask"]
    row = {"image": {"bytes": CAT.read_bytes(), "path": "cat.jpg"}, "mask": rle, "text": "the cat"}
    file = tmp_path / "part.parquet"
    parquet.write_table(pa.Table.from_pylist([row]), file)
    chats = read_chats(file, DataSection(layout="hugging-face", grid="4x4"))
    assert chats[0].content == CAT.read_bytes()
    seen = Collator(prompter, pad=0).batch(chats)
    same = Collator(prompter, pad=0).batch([of(("Segment the cat in this image.", "x"))])
    pixels = next(name for name in seen if "pixel" in name)
    assert torch.equal(seen[pixels], same[pixels])
