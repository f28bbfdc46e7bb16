"""Features move as the image would, and masks with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from text4seg.models.nano.encoders.vision import DETECTOR_CHANNELS
from text4seg.models.nano.spatial import cover_cells
from text4seg.training.nano.augmentation import (
    as_cells,
    as_map,
    move_features,
    move_maps,
    to_cells,
    weaken_detector,
)


def maps(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_zoom_one_and_no_shift_is_the_identity() -> None:
    assert torch.allclose(
        move_maps(maps(), zoom=torch.ones(2), shift=torch.zeros(2, 2)), maps(), atol=1e-5
    )


@given(st.integers(-6, 6), st.integers(-6, 6))
def test_a_shift_of_an_eighth_is_one_cell(along: int, down: int) -> None:
    """The center moves right and down, so the map moves left and up; what comes in is nothing."""
    x = maps()
    found = move_maps(x, zoom=torch.ones(2), shift=torch.tensor([[along, down]] * 2) / 8)
    expected = torch.zeros_like(x)
    here = (slice(max(0, -down), 16 - max(0, down)), slice(max(0, -along), 16 - max(0, along)))
    there = (slice(max(0, down), 16 + min(0, down)), slice(max(0, along), 16 + min(0, along)))
    expected[..., here[0], here[1]] = x[..., there[0], there[1]]
    assert torch.allclose(found, expected, atol=1e-4)


def test_zoom_two_shows_the_middle_half() -> None:
    x = torch.zeros(1, 1, 16, 16)
    x[..., 4:12, 4:12] = 1
    twice = move_maps(x, zoom=torch.tensor([2.0]), shift=torch.zeros(1, 2))
    assert torch.allclose(twice[0, 0, 1:15, 1:15], torch.ones(14, 14))
    half = move_maps(torch.ones(1, 1, 16, 16), zoom=torch.tensor([0.5]), shift=torch.zeros(1, 2))
    assert torch.allclose(half[0, 0, 5:11, 5:11], torch.ones(6, 6))
    assert not half[0, 0, :3].any(), "outside the image there is nothing"


def test_every_image_moves_by_itself() -> None:
    zoom, shift = torch.tensor([1.0, 1.3]), torch.tensor([[0.0, 0.0], [0.2, -0.4]])
    both = move_maps(maps(), zoom=zoom, shift=shift)
    for index in range(2):
        alone = move_maps(
            maps()[index : index + 1], zoom=zoom[index, None], shift=shift[index, None]
        )
        assert torch.allclose(both[index], alone[0])


def test_maps_and_cells_are_two_views_of_the_same() -> None:
    assert torch.equal(as_map(as_cells(maps())), maps())
    cells = as_cells(maps())
    assert torch.equal(cells[1, 3 * 16 + 5], maps()[1, :, 3, 5]), "row by row"


def sights(box: list[float]) -> torch.Tensor:
    """One image: a channel that is 1 in the cells under the box, and behind the cells the box."""
    cells = cover_cells(torch.tensor([[box]]), 16)[0].T
    seen = torch.zeros(1, 258, 7)
    seen[0, :256, :1] = cells
    seen[0, 256] = torch.tensor([16.0, 0.9, *box, 0.0])
    return seen


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("zoom", "shift"), [(1.0, (0.0, 0.0)), (0.8, (0.1, -0.2)), (1.5, (0.25, 0.0))]
)
def test_boxes_move_with_the_cells(flip: bool, zoom: float, shift: tuple[float, float]) -> None:
    moved = move_features(
        sights([0.5, 0.25, 0.75, 0.5]),
        flips=torch.tensor([flip]),
        zoom=torch.tensor([zoom]),
        shift=torch.tensor([shift]),
    )
    there = cover_cells(moved[:, 256:257, 2:6], 16)[0, 0]
    cells = moved[0, :256, 0]
    assert float((there - cells).abs().sum() / cells.sum()) < 0.45, "edges are blurred"
    grid = torch.arange(256) % 16
    assert float((there * grid).sum() / there.sum()) == pytest.approx(
        float((cells * grid).sum() / cells.sum()), abs=0.15
    )
    assert moved[0, 256, :2].tolist() == pytest.approx([16.0, 0.9])
    assert not moved[0, 257, :2].any(), "what was no box is none"


def test_what_leaves_the_image_is_no_box_any_more() -> None:
    moved = move_features(
        sights([0.0, 0.0, 0.1, 0.1]),
        flips=torch.tensor([False]),
        zoom=torch.tensor([1.5]),
        shift=torch.tensor([[0.4, 0.4]]),
    )
    assert not moved[0, 256].any()


def test_cells_alone_are_moved_as_maps_are() -> None:
    seen = as_cells(maps())
    zoom, shift = torch.tensor([1.2, 0.9]), torch.tensor([[0.1, 0.0], [0.0, -0.3]])
    flips = torch.tensor([True, False])
    found = move_features(seen, flips=flips, zoom=zoom, shift=shift)
    turned = torch.stack([maps()[0].flip(2), maps()[1]])
    assert torch.equal(found, as_cells(move_maps(turned, zoom=zoom, shift=shift)))


def test_cells_are_half_covered_or_the_best_of_a_small_thing() -> None:
    coverage = torch.zeros(4, 16, 16)
    coverage[0, 2, 2:6] = torch.tensor([0.49, 0.5, 0.9, 0.2])
    coverage[1, 3, 3:6] = torch.tensor([0.3, 0.31, 0.31])
    coverage[2, 5, 5] = 0.02
    found = to_cells(coverage)
    assert found.nonzero().tolist() == [[0, 2, 3], [0, 2, 4], [1, 3, 4], [1, 3, 5]]


def test_a_weakened_detector_is_fainter_in_its_own_channels_and_boxes() -> None:
    seen = torch.ones(3, 258, 4 + DETECTOR_CHANNELS)
    seen[:, 256:, 0] = torch.tensor([2.0, 7.0])  # the boxes' classes
    weak = weaken_detector(seen, 4 + DETECTOR_CHANNELS, np.random.default_rng(0))
    assert (seen == 1).sum() == seen.numel() - 6, "the features themselves stay as they are"
    assert (weak[:, :256, :4] == 1).all(), "visual channels too"
    factors = weak[:, 0, 4:]
    assert (weak[:, :256, 4:] == factors[:, None]).all(), "one factor a class"
    assert ((factors >= 0) & (factors <= 1)).all()
    assert (factors == 0).any()
    assert ((factors > 0) & (factors < 1)).any()
    assert torch.equal(weak[:, 256:, 1], factors[:, [2, 7]]), "a box fades with its class"
