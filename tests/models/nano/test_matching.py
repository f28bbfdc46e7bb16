"""Open matching: what a phrase means decides, not how it is spelt."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.reference.small_nano import HIDDEN, NAMES, small_config, small_features
from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.fusion import Fusion
from text4seg.models.nano.matching import OpenVocabularyMatcher, Phrases, WordList

WIDTH = 8
WORDS = [("cat", "kitty"), ("dog",), ("hot dog", "sausage", "wiener")]


def open_config() -> NanoConfig:
    settings = small_config().to_dict()
    settings |= {"sentence_width": WIDTH, "word_lists": [[6, 3], [80, 1], [1000, 1]]}
    settings["words"] = [word for words in WORDS for word in words]
    return NanoConfig.from_dict(settings)


def embed(word: str) -> Tensor:
    noise = torch.Generator().manual_seed(sum(map(ord, word)))
    return functional.normalize(torch.randn(WIDTH, generator=noise), dim=0)


def make_list() -> WordList:
    words = WordList(len(WORDS), 6, 3, WIDTH)
    words.fill(WORDS, {word: embed(word) for ws in WORDS for word in ws})
    return words


def phrases(*words: str, hidden: bool | None = None) -> Phrases:
    vectors = torch.stack([embed(word) for word in words])[:, None]
    hide = None if hidden is None else torch.full((len(words),), hidden)
    return Phrases(vectors, torch.ones(len(words), 1, dtype=torch.bool), hide)


same = torch.nn.Identity()


def test_every_word_leads_to_its_name() -> None:
    near = make_list()(phrases("kitty", "dog", "wiener"), same)
    assert near.argmax(dim=1).tolist() == [0, 1, 2]
    assert near.amax(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


def test_a_hidden_word_matches_no_same_word_but_its_synonyms_stay() -> None:
    words = make_list()
    asked = ("kitty", "dog", "wiener")
    plain = words(phrases(*asked), same)
    assert torch.equal(words(phrases(*asked, hidden=False), same), plain)
    hidden = words(phrases(*asked, hidden=True), same)
    assert hidden.amax() < 0.99
    expected = float(embed("cat") @ embed("kitty"))
    assert float(hidden[0, 0]) == pytest.approx(max(expected, 0.0), abs=1e-5)


def test_padding_matches_nothing() -> None:
    words = make_list()
    asked = phrases("dog", "cat")
    vectors = torch.cat([asked.vectors, embed("wiener").expand(2, 1, -1)], dim=1)
    padded = Phrases(vectors, torch.tensor([[True, False], [True, True]]))
    alone, both = words(asked, same), words(padded, same)
    assert torch.allclose(alone[0].clamp_min(0), both[0].clamp_min(0))
    assert float(both[1, 2]) == pytest.approx(1.0, abs=1e-5)


def test_a_list_grows() -> None:
    words = make_list()
    words.add(embed("zeppelin")[None])
    near = words(phrases("zeppelin", "kitty"), same)
    assert near.shape == (2, 4)
    assert near.argmax(dim=1).tolist() == [3, 0]
    assert words.knows(torch.stack([embed("zeppelin"), embed("nothing")])).tolist() == [True, False]


def make_fusion() -> Fusion:
    torch.manual_seed(0)
    fusion = Fusion(open_config(), HIDDEN).eval()
    assert isinstance(fusion.matching, OpenVocabularyMatcher)
    for words in fusion.matching.lists:
        words.vectors.copy_(functional.normalize(torch.randn_like(words.vectors), dim=-1))
        words.members.random_(len(words.vectors))
    fusion.matching.classifier_weight.normal_()
    fusion.matching.channels[-1].weight.data.normal_()
    return fusion


@torch.inference_mode()
def test_phrases_decide_beside_tokens() -> None:
    fusion = make_fusion()
    image = fusion.encode_image(small_features())
    assert image.classes is not None
    assert image.meanings is not None
    assert image.classes.exp().sum(-1).flatten().tolist() == pytest.approx([1.0] * 256, abs=1e-4)
    assert image.meanings.norm(dim=-1).flatten().tolist() == pytest.approx([1.0] * 256, abs=1e-4)
    tokens, mask = torch.randn(1, 3, HIDDEN), torch.ones(1, 3, dtype=torch.bool)
    answers = [fusion.ground(image, tokens, mask, phrases(word))[1] for word in ("cat", "dog")]
    without = fusion.ground(image, tokens, mask)[1]
    assert not torch.allclose(*answers)
    assert not torch.allclose(answers[0], without)


def test_a_fusion_without_sentences_is_as_it_was() -> None:
    assert Fusion(small_config(), HIDDEN).matching is None
    assert not [name for name in Fusion(small_config(), HIDDEN).state_dict() if "open" in name]


def test_an_image_state_is_selected_whole() -> None:
    fusion = make_fusion()
    image = fusion.encode_image(small_features(images=2)).select(torch.tensor([1, 1, 0]))
    assert image.classes is not None
    assert image.classes.shape == (3, 256, 1000)
    assert image.names.shape == (3, 256, len(NAMES))


def test_kept_words_follow_what_is_learned_and_loaded() -> None:
    words, adapter = make_list(), torch.nn.Linear(WIDTH, WIDTH, bias=False)

    def kept() -> bool:
        with torch.no_grad():
            found = words(phrases("dog", "kitty"), adapter)
            again = words(phrases("dog", "kitty"), adapter)
        assert torch.equal(found, again)
        return torch.allclose(found, words(phrases("dog", "kitty"), adapter).detach())

    assert kept()
    with torch.no_grad():
        adapter.weight.add_(torch.randn(WIDTH, WIDTH))
    assert kept(), "a step of training"
    adapter.load_state_dict({"weight": torch.randn(WIDTH, WIDTH)})
    assert kept(), "other weights in the same place"
    adapter.load_state_dict({"weight": torch.randn(WIDTH, WIDTH)}, assign=True)
    assert kept(), "other weights in their own place"
    words.add(embed("zebra")[None])
    assert kept(), "a further name"
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert words(phrases("dog"), adapter).dtype == torch.bfloat16
    assert kept(), "after mixed precision"
