"""How far to draft."""

from __future__ import annotations

import numpy as np
import pytest

from text4seg.decoding.draft_length import UNBOUNDED, DraftLength, MeasuredPassCost, PassCost


def test_what_is_free_is_always_drafted() -> None:
    length = DraftLength(PassCost(max_draft=10, free=16, slope=1.0))
    for _ in range(20):
        length.learn(10, 0)
    assert length(3) == 10
    assert length(6) == 10
    assert DraftLength(UNBOUNDED)(3) == UNBOUNDED.max_draft


def test_rejections_shorten_and_acceptances_lengthen() -> None:
    length = DraftLength(PassCost())
    lengths = [length(2)]
    for _ in range(6):
        length.learn(lengths[-1], lengths[-1])
        lengths.append(length(2))
    assert lengths == sorted(lengths)
    assert lengths[-1] > 2 * lengths[0]
    for _ in range(12):
        length.learn(lengths[-1], 1)
        lengths.append(length(2))
    assert lengths[7:] == sorted(lengths[7:], reverse=True)
    assert lengths[-1] == PassCost().free - 2  # free tokens are drafted even so


def test_dearer_passes_mean_shorter_drafts() -> None:
    slopes = [1.0, 8.0, 32.0, 128.0, 10_000.0]
    lengths = [DraftLength(PassCost(slope=slope))(1) for slope in slopes]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


@pytest.mark.parametrize("longest", [0, 1, 5, 512])
def test_the_longest_is_kept(longest: int) -> None:
    length = DraftLength(PassCost(max_draft=longest))
    for _ in range(10):
        assert 0 <= length(1) <= longest
        length.learn(longest, longest)


def test_passes_without_a_draft_teach_nothing() -> None:
    length = DraftLength(PassCost())
    before = length(1)
    length.learn(0, 0)
    assert length(1) == before


def made(costs: dict[int, float]) -> MeasuredPassCost:
    pass_cost = MeasuredPassCost()
    for tokens, seconds in costs.items():
        for noise in (1.0, 0.9, 7.0):  # one of three passes was disturbed
            pass_cost.note(tokens, seconds * noise)
    return pass_cost


def test_measured_costs_are_medians_between_which_is_interpolated() -> None:
    pass_cost = made({1: 10.0, 16: 25.0, 100: 25.0})
    costs = pass_cost.costs(np.array([1.0, 8.5, 16.0, 50.0, 200.0]))
    assert costs.tolist() == pytest.approx([10.0, 17.5, 25.0, 25.0, 25.0])
    rising = made({1: 10.0, 10: 20.0, 20: 40.0})
    assert rising.costs(np.array([40.0])).tolist() == pytest.approx([80.0])


def test_a_shorter_pass_never_costs_more() -> None:
    costs = made({1: 10.0, 16: 8.0, 64: 30.0}).costs(np.arange(1.0, 200.0))
    assert (np.diff(costs) >= 0).all()
    assert (costs > 0).all()


def test_until_two_lengths_were_measured_the_start_holds() -> None:
    start = PassCost()
    pass_cost = MeasuredPassCost(start)
    assert DraftLength(pass_cost)(1) == DraftLength(start)(1)
    pass_cost.note(5, 0.1)
    assert DraftLength(pass_cost)(1) == DraftLength(start)(1)


def test_where_long_passes_are_cheap_drafts_grow_long() -> None:
    cheap, dear = made({1: 10.0, 40: 10.0}), made({1: 10.0, 40: 400.0})
    assert DraftLength(cheap)(1) > 200
    assert DraftLength(dear)(1) < 10
