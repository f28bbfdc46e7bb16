"""Answers in words: what is asked, what the tokens are given, and that masks do not change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.reference.small_answers import (
    MeaningParts,
    answering_chat,
    answering_model,
    boxed_features,
)
from text4seg.core.errors import InputError, WeightsError
from text4seg.models.nano.checkpoint import (
    has_vqa_head,
    load_model,
    parameter_name,
    save_model,
)
from text4seg.models.nano.nano_model import NanoModel, NanoSession
from text4seg.models.nano.vqa_head import SLOTS
from text4seg.segmenter import Segmenter


def test_masks_are_the_same_with_and_without_answers() -> None:
    """To the bit: nothing that answers stands in the way of a mask."""
    found = []
    for answers in (False, True):
        session = NanoSession(answering_chat(answers=answers), boxed_features())
        asked = session.prepare("Segment the cat in this image.", "Here:\n<seg>")
        rows = asked.step([5, 6, 7])
        found.append(torch.from_numpy(rows[2].__array__()))
    assert torch.equal(*found)


def test_weights_without_it_say_what_to_do() -> None:
    session = NanoSession(answering_chat(answers=False), boxed_features())
    with pytest.raises(WeightsError, match=r"not taught to answer in words.*nano vqa --start"):
        session.prepare_vqa("Is there a cat?")


def test_control_tokens_are_no_question() -> None:
    session = NanoSession(answering_chat(), boxed_features())
    with pytest.raises(InputError, match="control tokens only"):
        session.prepare_vqa("<|im_start|> <|im_end|>?")


def test_an_answer_is_written_as_one_pass_would_write_it() -> None:
    """Token by token, with a cut between, as with all tokens and what they are given at once."""
    chat = answering_chat()
    session = NanoSession(chat, boxed_features())
    asked = session.prepare_vqa("How many cats are there?")
    first, second = asked.step([9])[0].__array__(), asked.step([11, 12])[1].__array__()
    asked.step.rollback(3)
    again = asked.step([9, 11, 12])
    assert again[0].__array__() == pytest.approx(first, abs=1e-4)
    assert again[2].__array__() == pytest.approx(second, abs=1e-4)
    ids = chat.text.image_prefix() + chat.encode("How many cats are there?")
    ids += chat.text.after_image("", "")
    assert asked.prompt_tokens == len(ids)
    reader = chat.model.vqa_head
    assert reader is not None
    with torch.inference_mode():
        given = chat.vqa.lead_tokens(reader, session._image, "How many cats are there?")
        embedded = chat.model.language.embed_tokens(torch.tensor([[*ids, 9, 11, 12]])).clone()
        seen = chat.model.image_embeddings(session._image)
        places = torch.tensor([[*ids, 9, 11, 12]]) == chat.model.config.image_token
        embedded = embedded.masked_scatter(places[..., None], seen)
        embedded[0, len(ids) - 1 :] += given[:4]
        hidden = chat.model.language(inputs_embeds=embedded).last_hidden_state[0]
        logits = hidden @ chat.model.language.embed_tokens.weight.T
    assert logits[-1].numpy() == pytest.approx(second, abs=1e-4)
    assert logits[len(ids) - 1].numpy() == pytest.approx(asked.first_logits.__array__(), abs=1e-4)


def test_questions_are_given_different_things() -> None:
    chat = answering_chat()
    reader = chat.model.vqa_head
    assert reader is not None
    session = NanoSession(chat, boxed_features())
    with torch.inference_mode():
        one, other, count = (
            chat.vqa.lead_tokens(reader, session._image, question)
            for question in ("Is there a cat?", "Is there a dog?", "How many cats are there?")
        )
        names = chat.vqa.lead_tokens(reader, session._image, "What is in the image?")
    assert one.shape == other.shape == count.shape
    assert one.shape[0] == SLOTS
    assert not torch.allclose(one, other)
    assert not torch.allclose(one, count)
    assert names.shape[1] == one.shape[1]


@pytest.mark.parametrize("answers", [True, False])
def test_it_is_saved_and_loaded(tmp_path: Path, *, answers: bool) -> None:
    model = answering_model(answers=answers)
    save_model(model, tmp_path)
    assert has_vqa_head(tmp_path) is answers
    again = load_model(tmp_path, MeaningParts(model))  # type: ignore[arg-type]
    assert (again.vqa_head is not None) is answers
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    saved = load_file(tmp_path / "model.safetensors")  # what a part brings is not in it
    assert any(name.startswith("answer_reader.") for name in saved) is answers
    for name in map(parameter_name, saved):
        kept = before[name].bfloat16() if before[name].is_floating_point() else before[name]
        assert torch.equal(after[name], kept.to(after[name].dtype)), name


@pytest.mark.nano
def test_shipped_nano_answers_or_says_that_it_cannot(chat: NanoModel, cat: Image.Image) -> None:
    segmenter = Segmenter(chat)
    if chat.model.vqa_head is None:
        with pytest.raises(WeightsError, match="not taught to answer in words"):
            segmenter.ask(cat, "Is there a cat in the image?")
        return
    asked = {
        "Is there a cat in the image?": "yes",
        "Do you see an elephant?": "no",
        "How many cats are there?": "one",
        "What is this?": "cat",
    }
    answers = segmenter.ask_many(cat, list(asked))
    assert [answer.text for answer in answers] == list(asked.values())
    assert all(answer.finished for answer in answers)
    unknown = segmenter.ask(cat, "Why is it smiling?")
    assert unknown.text == "I do not know"
