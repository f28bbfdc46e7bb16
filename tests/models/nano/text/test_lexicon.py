"""What nano was taught, and what it was not."""

from __future__ import annotations

import pytest

from text4seg.models.nano.text.lexicon import (
    HELD_OUT,
    core_words,
    imagenet_classes,
    taught_words,
    thesaurus,
    words_for,
)


def test_held_out_words_are_taught_nowhere() -> None:
    assert not taught_words() & set(HELD_OUT.values())
    for one in imagenet_classes():
        words = one.words[1:] if one.held_out else one.words
        assert not set(words) & set(HELD_OUT.values()), one


def test_every_tenth_class_is_held_out() -> None:
    classes = imagenet_classes()
    assert len(classes) == 1000
    assert len({one.wnid for one in classes}) == 1000
    assert [one.wnid for one in classes] == sorted(one.wnid for one in classes), "logits' order"
    assert all(one.held_out for one in classes[7::10])
    assert 100 <= sum(one.held_out for one in classes) < 125


def test_a_class_knows_its_kinds() -> None:
    by_name = {one.name: one for one in imagenet_classes()}
    assert {"dog", "animal"} <= set(by_name["beagle"].kinds)
    assert "entity" not in by_name["beagle"].kinds


def test_a_name_comes_first_among_its_words() -> None:
    assert words_for(["couch", "zebra"])[0][:2] == ("couch", "sofa")
    assert words_for(["couch", "zebra"])[1] == ("zebra",)


@pytest.mark.parametrize(
    ("word", "name"),
    [("hound", "dog"), ("settee", "couch"), ("telly", "tv"), ("parasol", "umbrella")],
)
def test_the_thesaurus_leads_to_taught_words(word: str, name: str) -> None:
    told = thesaurus()[word]
    assert set(told) & set(words_for([name])[0]), told
    assert set(told) <= taught_words()


def test_the_thesaurus_tells_nothing_of_taught_words() -> None:
    assert not core_words() & thesaurus().keys()
