"""How far to draft."""

from __future__ import annotations

import pytest

from text4seg.decoding.pace import UNBOUNDED, DraftLength, Pace


def test_what_is_free_is_always_drafted() -> None:
    length = DraftLength(Pace(max_draft=10, free=16, slope=1.0))
    for _ in range(20):
        length.learn(10, 0)
    assert length(3) == 10
    assert length(6) == 10
    assert DraftLength(UNBOUNDED)(3) == UNBOUNDED.max_draft


def test_rejections_shorten_and_acceptances_lengthen() -> None:
    length = DraftLength(Pace())
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
    assert lengths[-1] == Pace().free - 2  # free tokens are drafted even so


def test_dearer_passes_mean_shorter_drafts() -> None:
    slopes = [1.0, 8.0, 32.0, 128.0, 10_000.0]
    lengths = [DraftLength(Pace(slope=slope))(1) for slope in slopes]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


@pytest.mark.parametrize("longest", [0, 1, 5, 512])
def test_the_longest_is_kept(longest: int) -> None:
    length = DraftLength(Pace(max_draft=longest))
    for _ in range(10):
        assert 0 <= length(1) <= longest
        length.learn(longest, longest)


def test_passes_without_a_draft_teach_nothing() -> None:
    length = DraftLength(Pace())
    before = length(1)
    length.learn(0, 0)
    assert length(1) == before
