from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeChat, block
from tests.segmenter.conftest import DOG, IMAGE, chat
from text4seg import models
from text4seg.codec import get_format
from text4seg.core.errors import InputError, LabelError, UnknownNameError
from text4seg.core.types import Box, DescriptorGrid, GridShape
from text4seg.decoding import UNBOUNDED, DecodingOptions
from text4seg.models.defaults import ModelDefaults
from text4seg.segmenter import Segmenter


@pytest.mark.parametrize("form", ["sd", "rle", "rrle"])
@pytest.mark.parametrize("draft", ["row", "forced", "none"])
def test_what_the_model_writes_becomes_the_mask(form: str, draft: str) -> None:
    options = DecodingOptions(draft=draft)
    found = Segmenter(chat(form, certainty=30.0), format=form, options=options)(IMAGE, "the dog")
    assert found.text == get_format(form).encode(DOG)
    assert found.grid == DOG
    expected = np.zeros((96, 160), dtype=bool)
    expected[24:48, 20:100] = True
    assert np.array_equal(found.mask, expected)
    assert found.box == Box(20, 24, 100, 48)
    assert found.score == pytest.approx(1.0, abs=1e-6)
    assert (found.empty, found.repairs, found.validity) == (False, (), "strict")
    assert found.stats.share == pytest.approx(expected.mean())
    assert found.stats.tokens == len(found.text), "one byte, one token"
    assert found.stats.seconds > 0


def test_a_draft_saves_passes_and_changes_nothing() -> None:
    plain, drafted = (
        Segmenter(chat(), options=DecodingOptions(draft=draft))(IMAGE, "the dog")
        for draft in ("none", "row")
    )
    assert plain.text == drafted.text
    assert np.array_equal(plain.probability, drafted.probability)
    assert drafted.stats.passes < plain.stats.passes / 10


@pytest.mark.parametrize("form", ["sd", "rle", "rrle"])
def test_the_probability_agrees_with_the_text(form: str) -> None:
    found = Segmenter(chat(form, certainty=2.0), format=form)(IMAGE, "the dog")
    assert np.array_equal(found.probability >= 0.5, found.grid.select("the dog"))
    assert 0.5 < found.score < 1
    assert found.score == pytest.approx(found.probability[found.grid.select("the dog")].mean())


def test_nothing_found_is_empty_with_a_score_of_zero() -> None:
    found = Segmenter(chat())(IMAGE, "the cat")
    assert (found.empty, found.box, found.score, found.mask.any()) == (True, None, 0.0, False)
    assert found.to_record()["box"] is None
    assert found.to_coco()["area"] == 0


def test_a_image_is_opened_once_for_all_its_expressions() -> None:
    model = chat()
    dog, cat = Segmenter(model).segment_many(IMAGE, ["the dog", "the cat"])
    assert model.opened == [(160, 96)]
    assert [dog.expression, cat.expression] == ["the dog", "the cat"]
    assert [dog.empty, cat.empty] == [False, True]
    assert "the dog" in model.questions[0]


def test_a_grid_need_not_be_square() -> None:
    shape = GridShape(4, 9)
    grid = block("the dog", slice(1, 3), slice(5, 9), shape)
    model = FakeChat({"the dog": grid}, shape=shape)
    found = Segmenter(model, grid="4x9")(IMAGE, "the dog")
    assert found.grid == grid
    assert model.grids == [(4, 9)]
    assert found.probability.shape == (4, 9)


def test_a_path_is_opened_and_other_modes_become_rgb(tmp_path: Path) -> None:
    IMAGE.save(tmp_path / "photo.png")
    assert Segmenter(chat())(tmp_path / "photo.png", "the dog").grid == DOG
    assert Segmenter(chat())(IMAGE.convert("L"), "the dog").image.mode == "RGB"
    with pytest.raises(InputError, match="there is no file"):
        Segmenter(chat())(tmp_path / "none.png", "the dog")


EXPRESSIONS = [
    pytest.param("", "empty", id="nothing"),
    pytest.param("others", "reserved", id="the reserved word"),
    pytest.param("the dog | cat", "write 'the dog cat' instead", id="a separator"),
    pytest.param("the dog\n", "write 'the dog' instead", id="a line break"),
    pytest.param("the  dog", "write 'the dog' instead", id="doubled spaces"),
    pytest.param("dog *3", "instead", id="a run length"),
    pytest.param("|", "cannot be a label", id="nothing but a forbidden character"),
]


@pytest.mark.parametrize(("expression", "message"), EXPRESSIONS)
def test_an_expression_that_no_text_can_carry(expression: str, message: str) -> None:
    model = chat()
    with pytest.raises(LabelError, match=message):
        Segmenter(model).segment_many(IMAGE, ["the dog", expression])
    with pytest.raises(LabelError, match=message):
        next(Segmenter(model).stream(IMAGE, expression))
    assert model.opened == [], "bad calls cost nothing"


def test_names_are_checked_when_the_segmenter_is_made() -> None:
    with pytest.raises(UnknownNameError, match="refiner"):
        Segmenter(chat(), refiner="magic")
    with pytest.raises(UnknownNameError, match="format"):
        Segmenter(chat(), format="png")
    with pytest.raises(UnknownNameError, match="draft"):
        Segmenter(chat(), options=DecodingOptions(draft="beer"))
    with pytest.raises(InputError, match="0x16"):
        Segmenter(chat(), grid="0x16")


def test_from_pretrained_loads_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(name: str) -> FakeChat:
        loaded.append(name)
        return chat()

    monkeypatch.setattr(models, "load", load, raising=False)
    assert Segmenter.from_pretrained("nano", refiner="smooth").format.name == "sd"
    assert loaded == ["nano"]


def test_a_refiner_may_be_made_of_a_function() -> None:
    from text4seg.refine import FunctionRefiner, RefinedMask

    def everything(image: Image.Image, probability: np.ndarray, size: object) -> RefinedMask:
        return RefinedMask(np.ones((image.height, image.width), dtype=bool), ("took all",))

    found = Segmenter(chat(), refiner=FunctionRefiner(everything))(IMAGE, "the dog")
    assert found.mask.all()
    assert found.notes == ("took all",)


def test_a_refiner_prepares_each_image_once() -> None:
    from text4seg.refine import RefinedMask

    class Counting:
        opened = 0

        def prepare(self, image: Image.Image) -> object:
            self.opened += 1
            return lambda probability: RefinedMask(np.ones((image.height, image.width), dtype=bool))

    refiner = Counting()
    found = Segmenter(chat(), refiner=refiner).segment_many(IMAGE, ["the dog", "the cat"])
    assert all(answer.mask.all() for answer in found)
    assert refiner.opened == 1


class TestDrafts:
    @pytest.mark.parametrize("draft", ["previous", "auto"])
    def test_the_frame_before_saves_passes_and_changes_nothing(self, draft: str) -> None:
        segmenter = Segmenter(chat(), options=DecodingOptions(draft=draft), pass_cost=UNBOUNDED)
        plain = segmenter(IMAGE, "the dog")
        following = segmenter(IMAGE, "the dog", previous=plain.grid)
        assert following.text == plain.text
        assert following.stats.passes < plain.stats.passes
        *_, last = segmenter.stream(IMAGE, "the dog", previous=plain.grid)
        assert last.segmentation is not None
        assert last.segmentation.text == plain.text

    def test_each_expression_is_drafted_from_the_one_before(self) -> None:
        both = FakeChat({"the dog": DOG, "the hound": block("the hound", *_PLACE)})
        segmenter = Segmenter(both, options=DecodingOptions(draft="previous"), pass_cost=UNBOUNDED)
        dog, hound = segmenter.segment_many(IMAGE, ["the dog", "the hound"])
        assert hound.stats.passes < dog.stats.passes
        assert np.array_equal(dog.mask, hound.mask)

    def test_a_previous_mask_of_another_grid_is_refused(self) -> None:
        with pytest.raises(InputError, match="4x4 cells, and the grid is 16x16"):
            Segmenter(chat())(IMAGE, "the dog", previous=DescriptorGrid.empty(GridShape(4, 4)))

    def test_a_model_without_a_head_is_told(self) -> None:
        with pytest.raises(InputError, match="'head' needs a model"):
            Segmenter(chat(), options=DecodingOptions(draft="head"))(IMAGE, "the dog")


_PLACE = (slice(4, 8), slice(2, 10))


class TestOptions:
    def test_a_bias_of_the_background_moves_the_answer(self) -> None:
        for bias, empty in ((0.0, False), (20.0, True)):
            options = DecodingOptions(background_bias=bias)
            found = Segmenter(chat(), options=options)(IMAGE, "the dog")
            assert found.empty == empty

    def test_medians_write_what_a_sure_model_means(self) -> None:
        options = DecodingOptions(run_lengths="median")
        model = chat("rrle", certainty=30.0)
        found = Segmenter(model, format="rrle", options=options)(IMAGE, "the dog")
        assert found.grid == DOG

    @pytest.mark.parametrize("draft", ["none", "row"])
    def test_a_seed_draws_one_mask(self, draft: str) -> None:
        texts = []
        for seed in (1, 2, 1):
            options = DecodingOptions(draft=draft, temperature=1.0, seed=seed)
            model = chat(certainty=2.0)
            texts.append(Segmenter(model, options=options)(IMAGE, "the dog").text)
        assert texts[0] == texts[2] != texts[1]

    def test_draws_are_those_of_their_seeds(self) -> None:
        model = chat(certainty=2.0)
        drawn = Segmenter(model, options=DecodingOptions(seed=5)).sample(IMAGE, "the dog", 3)
        assert len(model.opened) == 1
        assert len({one.text for one in drawn}) == 3
        for number, one in enumerate(drawn):
            options = DecodingOptions(temperature=1.0, seed=5 + number)
            assert Segmenter(model, options=options)(IMAGE, "the dog").text == one.text

    def test_what_cannot_be_drawn(self) -> None:
        with pytest.raises(InputError, match="at least one"):
            Segmenter(chat()).sample(IMAGE, "the dog", 0)
        with pytest.raises(InputError, match="text-only"):
            Segmenter(chat(written="<seg>others</seg>")).sample(IMAGE, "the dog", 2)


def test_how_probable_nothing_was() -> None:
    dog, cat = Segmenter(chat(certainty=30.0)).segment_many(IMAGE, ["the dog", "the cat"])
    assert dog.no_target_probability == pytest.approx(0.0, abs=1e-6)
    assert cat.no_target_probability == pytest.approx(1.0, abs=1e-6)
    unsure = Segmenter(chat(certainty=1.0))(IMAGE, "the cat")
    assert 0 < unsure.no_target_probability < 1


def test_a_batch_of_a_model_that_cannot_share_is_asked_one_by_one() -> None:
    model = chat()
    answers = Segmenter(model).batch([(IMAGE, "the dog"), (IMAGE, "the cat")])
    assert [found.empty for found in answers] == [False, True]
    assert Segmenter(model).batch([]) == []


def taught(form: str = "rrle", grid: str = "8x8") -> FakeChat:
    """A model that says what it was trained with."""
    shape = GridShape.parse(grid)
    model = FakeChat(form=form, shape=shape)
    model.defaults = ModelDefaults(format=form, grid=shape)
    return model


def test_a_model_is_asked_as_it_was_trained() -> None:
    segmenter = Segmenter(taught())
    assert (segmenter.format.name, str(segmenter.shape)) == ("rrle", "8x8")
    assert segmenter.deviations == ()
    assert segmenter(IMAGE, "the dog").stats.grid == "8x8"


def test_other_settings_are_allowed_and_said() -> None:
    segmenter = Segmenter(taught(), grid="16x16", format="sd")
    assert segmenter.deviations == (
        "the grid is 16x16, and the model was trained with 8x8",
        "the format is sd, and the model was trained with rrle",
    )
    model = taught()
    model.capabilities = replace(model.capabilities, any_layout=True)
    assert Segmenter(model, grid="16x16").deviations == (), "it writes every grid equally well"
