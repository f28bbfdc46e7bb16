"""The options of decoding, and what they refuse."""

from __future__ import annotations

import pickle

import pytest

from text4seg.core.errors import InputError, UnknownNameError
from text4seg.decoding import RUN_LENGTHS, DecodingOptions
from text4seg.decoding.options import MAX_TOKENS


def test_by_default_the_likeliest_tokens_are_taken() -> None:
    options = DecodingOptions()
    assert (options.temperature, options.run_lengths) == (None, "likeliest")
    assert (options.draft, options.background_bias, options.seed) == ("auto", 0.0, 0)
    # The flat text of the largest grid: two tokens a cell at least.
    assert options.max_tokens == MAX_TOKENS >= 2 * 256 * 256
    assert set(RUN_LENGTHS) == {"likeliest", "median"}


def test_options_are_values() -> None:
    one = DecodingOptions(draft="row", temperature=0.5, seed=3)
    assert one == DecodingOptions(draft="row", temperature=0.5, seed=3)
    assert len({one, DecodingOptions(), DecodingOptions()}) == 2
    assert pickle.loads(pickle.dumps(one)) == one


def test_an_unknown_way_to_take_run_lengths_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="likeliest, median"):
        DecodingOptions(run_lengths="mean")  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(InputError, match="above zero"):
        DecodingOptions(temperature=temperature)


@pytest.mark.parametrize("bias", [float("nan"), float("inf"), float("-inf")])
def test_a_bias_is_finite(bias: float) -> None:
    with pytest.raises(InputError, match="finite"):
        DecodingOptions(background_bias=bias)


def test_a_run_is_sampled_or_taken_at_its_median() -> None:
    with pytest.raises(InputError, match="not both"):
        DecodingOptions(run_lengths="median", temperature=1.0)


def test_each_sample_has_a_seed_of_its_own() -> None:
    options = DecodingOptions(seed=5, background_bias=-0.5, draft="row", max_tokens=9)
    samples = [options.for_sample(number) for number in range(3)]
    assert [sample.seed for sample in samples] == [5, 6, 7]
    assert {sample.temperature for sample in samples} == {1.0}
    assert {(s.background_bias, s.draft, s.max_tokens) for s in samples} == {(-0.5, "row", 9)}
    assert DecodingOptions(temperature=0.3).for_sample(0).temperature == 0.3
    assert options.seed == 5, "the options themselves stay"


def test_medians_are_not_sampled() -> None:
    with pytest.raises(InputError, match="not both"):
        DecodingOptions(run_lengths="median").for_sample(0)
