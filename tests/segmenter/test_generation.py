"""From an expression to a mask text that was read: steered models, text-only models, boxes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeChat
from tests.segmenter.conftest import DOG, IMAGE, chat
from text4seg import prompts
from text4seg.codec import get_format
from text4seg.codec.box import BOX, FINE
from text4seg.core.errors import UnknownNameError
from text4seg.core.regions import masks_to_regions
from text4seg.core.types import GridShape
from text4seg.decoding import ContextError, DecodingOptions
from text4seg.metrics import iou
from text4seg.models import Capabilities, PreparedPrompt
from text4seg.models.defaults import ModelDefaults
from text4seg.segmenter import MaskGenerator, Segmentation, Segmenter, read_text

BOX_SHAPE = GridShape(4, 4)
WIDE = Image.new("RGB", (200, 100))
RING = np.zeros((100, 200), dtype=np.bool_)
RING[20:28, 40:56] = True
RING[20:24, 40:48] = False
RING_TEXT = BOX.encode(masks_to_regions([("the ring", RING)], BOX_SHAPE))


class BoxChat(FakeChat):
    """Writes the box of the ring, and nothing else."""

    defaults = ModelDefaults(format="box")

    def text_for(self, question: str) -> bytes:
        return (RING_TEXT if "the ring" in question else "others\n").encode()


def test_a_small_thing_has_the_whole_grid() -> None:
    for refiner, least in (("none", 0.95), ("smooth", 0.8)):
        segmenter = Segmenter(BoxChat(), grid="4x4", refiner=refiner)
        answer = segmenter(WIDE, "the ring")
        assert (answer.text, answer.validity, answer.stats.grid) == (RING_TEXT, "strict", "4x4")
        assert iou(answer.mask, RING) >= least
        assert answer.grid.shape == FINE
        assert answer.probability.shape == answer.grid.cells.shape
        nothing = segmenter(WIDE, "the cat")
        assert (nothing.text, nothing.empty, nothing.no_target_probability) == (
            "others\n",
            True,
            1.0,
        )


def test_all_ways_of_asking() -> None:
    segmenter = Segmenter(BoxChat(), grid="4x4", options=DecodingOptions(draft="previous"))
    ring = segmenter(WIDE, "the ring")
    many = segmenter.segment_many(WIDE, ["the ring", "the cat", "the ring"])
    assert [answer.text for answer in many] == [RING_TEXT, "others\n", RING_TEXT]
    (last,) = segmenter.stream(WIDE, "the ring")
    assert last.segmentation is not None
    assert np.array_equal(last.segmentation.mask, ring.mask)


@pytest.mark.parametrize(
    ("written", "validity", "found"),
    [
        pytest.param(RING_TEXT, "strict", True, id="as it should be"),
        pytest.param(RING_TEXT.replace("*2", "*3", 1), "salvaged", True, id="a wrong count"),
        pytest.param("I see a ring.", "unparsable", False, id="prose"),
    ],
)
def test_what_a_server_wrote(written: str, validity: str, found: bool) -> None:
    answer = Segmenter(BoxChat(written=f"<seg>{written}</seg>"), grid="4x4")(WIDE, "the ring")
    assert (answer.validity, answer.empty) == (validity, not found)


class TestModelsThatOnlyWrite:
    def answer(self, written: str) -> Segmentation:
        return Segmenter(FakeChat(written=written), format="rrle")(IMAGE, "the dog")

    def test_a_right_answer_is_read_strictly(self) -> None:
        found = self.answer(get_format("rrle").encode(DOG) + "</seg>")
        assert (found.grid, found.validity, found.repairs) == (DOG, "strict", ())
        assert set(np.unique(found.probability)) == {0.0, 1.0}

    def test_a_damaged_row_is_repaired_and_told(self) -> None:
        text = get_format("rrle").encode(DOG).replace("others *16", "others *15", 1)
        found = self.answer(f"<seg>{text}</seg>")
        assert found.validity == "salvaged"
        assert [repair.row for repair in found.repairs] == [0]
        assert found.grid == DOG, "no other row is harmed"

    @pytest.mark.parametrize("written", ["", "I see no mask.", "<seg></seg>"])
    def test_talk_without_a_mask_is_unparsable(self, written: str) -> None:
        found = self.answer(written)
        assert (found.validity, found.empty) == ("unparsable", True)
        assert found.repairs


class TestMaskGenerator:
    def test_an_unknown_draft_is_told_at_once(self) -> None:
        with pytest.raises(UnknownNameError, match="draft"):
            MaskGenerator(
                GridShape(4, 4), get_format("sd"), capabilities=Capabilities(),
                options=DecodingOptions(draft="beer"),
            )  # fmt: skip

    def test_a_model_that_is_given_the_grid_does_not_hear_of_it(self) -> None:
        shape = GridShape(4, 9)
        for names_grid, expected in ((True, shape), (False, prompts.PLAIN_GRID)):
            generator = MaskGenerator(
                shape, get_format("sd"), capabilities=Capabilities(names_grid=names_grid)
            )
            assert generator.prompt_grid == expected

    def test_a_vocabulary_is_built_once(self) -> None:
        model = chat()
        generator = Segmenter(model).generator
        assert generator.vocabulary_of(model.vocabulary) is generator.vocabulary_of(
            model.vocabulary
        )
        assert generator.vocabulary_of(chat().vocabulary) is not generator.vocabulary_of(
            model.vocabulary
        )

    def test_samples_share_all_but_the_seed(self) -> None:
        generator = Segmenter(chat(), options=DecodingOptions(seed=4)).generator
        sample = generator.for_sample(2)
        assert (sample.options.seed, sample.options.temperature) == (6, 1.0)
        assert generator.options == DecodingOptions(seed=4)
        assert (sample.form, sample.shape) == (generator.form, generator.shape)


class Short(FakeChat):
    """A model whose context is nearly full."""

    max_context = 5

    def encode_image(self, image: Image.Image) -> object:
        session = super().encode_image(image)
        whole = session.prepare

        def prepare(*given: object, **more: object) -> PreparedPrompt:
            prompt = whole(*given, **more)  # type: ignore[arg-type]
            return PreparedPrompt(
                prompt.step, prompt.first_logits, prompt.vocabulary, 7, max_context=self.max_context
            )

        session.prepare = prepare  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize("form", ["sd", "rrle", "box"])
def test_a_mask_that_cannot_fit_is_told_before_the_first_pass(form: str) -> None:
    with pytest.raises(ContextError, match="room for 5"):
        Segmenter(Short(), format=form)(IMAGE, "the dog")


class Spelling(FakeChat):
    """A model that spells the dog in its own way."""

    def encode_image(self, image: Image.Image) -> object:
        session = super().encode_image(image)
        session.label_for = lambda expression: "canis"  # type: ignore[method-assign]
        return session

    def text_for(self, question: str) -> bytes:
        return super().text_for(question).replace(b"the dog", b"canis")


def test_a_models_own_spelling_is_not_seen() -> None:
    model = Spelling({"the dog": DOG}, certainty=30.0)
    segmenter = Segmenter(model)
    found = segmenter(IMAGE, "the dog")
    assert (found.grid, found.text) == (DOG, get_format("sd").encode(DOG))
    *states, _ = segmenter.stream(IMAGE, "the dog", previous=DOG)
    assert "canis" not in states[-1].text
    assert states[-1].grid.labels == ("others", "the dog")


@pytest.mark.parametrize(
    ("text", "validity"),
    [
        ("others *2| dog *2\n", "strict"),
        ("others *2| dog *3\n", "salvaged"),
        ("No dog.", "unparsable"),
    ],
)
def test_how_a_text_could_be_read(text: str, validity: str) -> None:
    value, repairs, found = read_text(get_format("rrle"), text, GridShape(1, 4), "dog")
    assert found == validity
    assert bool(repairs) == (validity != "strict")
    assert value.is_empty == (validity == "unparsable")
