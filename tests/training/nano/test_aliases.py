"""A user's word for what nano knows by another name is read as that name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

pytest.importorskip("trl")

from text4seg.models.nano.nano_model import NanoModel
from text4seg.prompts import question
from text4seg.training.nano.aliases import find_aliases
from text4seg.training.nano.finetune_data import FineTuneQuestion

NAMES = ["cat", "dog", "sheep"]
IMAGES = 6


class FakeModel:
    """A nano that finds each name where a channel of the features is above zero."""

    def __init__(self, seen: dict[str, int]) -> None:
        self.seen, self.asked = seen, 0
        self.reader = object()
        fusion = SimpleNamespace(encode_image=lambda features: SimpleNamespace(names=features))
        config = SimpleNamespace(names=NAMES)
        self.model = SimpleNamespace(config=config, fusion=fusion, dtype=torch.float32)

    def ground(self, image: SimpleNamespace, wording: str) -> SimpleNamespace:
        self.asked += 1
        for word, channel in self.seen.items():
            if word in wording:
                return SimpleNamespace(logits=8 * image.names[..., channel])
        return SimpleNamespace(logits=torch.full((1, 256), -8.0))


def features() -> Tensor:
    """`images 256 names`; the fourth image shows no dog."""
    seen = torch.randn(IMAGES, 256, len(NAMES), generator=torch.Generator().manual_seed(5)) - 0.8
    seen[3, :, 1] = -1.0
    return seen


def questions(word: str, channel: int | None) -> list[FineTuneQuestion]:
    given = features()
    nothing = torch.zeros(16, 16)
    return [
        FineTuneQuestion(
            image,
            question(f"the {word}", index=image % 5),
            f"the {word}",
            nothing if channel is None else (given[image, :, channel] > 0).float().reshape(16, 16),
            f"line {image}",
        )
        for image in range(IMAGES)
    ]


KNOWN = {"cat": 0, "dog": 1, "sheep": 2}
CASES = [
    pytest.param(questions("Zorble", 1), KNOWN, {"zorble": "dog"}, id="the name that finds them"),
    pytest.param(questions("dog", 0), KNOWN, {}, id="a known name stays what it is"),
    pytest.param(questions("Zorble", None), KNOWN, {}, id="nothing to find"),
    pytest.param(questions("Zorble", 1), KNOWN | {"Zorble": 1}, {}, id="it is read well already"),
    pytest.param(
        questions("Zorble", 1), KNOWN | {"Zorble": 0}, {"zorble": "dog"}, id="it is read wrongly"
    ),
    pytest.param(questions("Zorble", 1), {"cat": 0}, {}, id="no name finds them"),
    pytest.param(
        [questions("Zorble", image % 3)[image] for image in range(IMAGES)],
        KNOWN,
        {},
        id="a word for several things",
    ),
    pytest.param(questions("left Zorble", 1), KNOWN, {}, id="one of several is no name"),
    pytest.param(
        questions("Zorble", 1) + questions("kurze Hose", 2),
        KNOWN,
        {"zorble": "dog", "kurze hose": "sheep"},
        id="two words",
    ),
]


@pytest.mark.parametrize(("asked", "seen", "aliases"), CASES)
def test_a_word_is_read_as_the_name_that_finds_its_masks(
    asked: list[FineTuneQuestion], seen: dict[str, int], aliases: dict[str, str]
) -> None:
    chat = FakeModel({"left Zorble": 0, **dict(sorted(seen.items(), reverse=True))})
    told: list[tuple[int, int]] = []
    assert find_aliases(chat, asked, features(), lambda *at: told.append(at)) == aliases  # type: ignore[arg-type]
    assert [count for count, _ in told] == list(range(len(told)))


def test_an_image_is_asked_by_a_name_once() -> None:
    chat = FakeModel(KNOWN)
    both = questions("Zorble", 1) + questions("Wug", 2)
    find_aliases(chat, both, features())  # type: ignore[arg-type]
    assert chat.asked == IMAGES * (2 + len(NAMES))


def test_weights_without_open_matching_have_none() -> None:
    chat = FakeModel(KNOWN)
    chat.reader = None  # type: ignore[assignment]
    assert find_aliases(chat, questions("Zorble", 1), features()) == {}  # type: ignore[arg-type]


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_nano_reads_an_alias_as_its_name() -> None:
    """Wherever the word stands, and even where it means something else in English."""
    chat = NanoModel.load()
    chat.model.config.aliases = {"rock": "skirt", "kurze hose": "shorts"}
    assert chat.reader is not None
    for own, name in chat.model.config.aliases.items():
        for expression in ("the {}", "the left {}", "all {}", "the red {}", "the {} left of a dog"):
            read = [chat.reader.read(question(expression.format(word))) for word in (own, name)]
            assert read[0].text == read[1].text, expression
    features = torch.rand(1, 256, chat.model.config.vision_channels)
    with torch.inference_mode():
        image = chat.model.fusion.encode_image(features)
    gates = [chat.threshold_kind(question(f"the {word}")) for word in ("rock", "skirt", "dog")]
    assert gates[0] == gates[1] != gates[2]
    found = [
        chat.ground(image, question(f"the {word}")).logits for word in ("kurze hose", "shorts")
    ]
    assert (found[0] - found[1]).abs().mean() < 1.0
