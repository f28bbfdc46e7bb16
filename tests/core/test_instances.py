"""Instances are labels that can be told apart and put together again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given

from tests.codec.strategies import grids
from text4seg.codec import FORMATS
from text4seg.core.errors import InputError, LabelError
from text4seg.core.geometry import masks_to_grid
from text4seg.core.instances import (
    grid_to_record,
    instance_label,
    instance_labels,
    number_instances,
    record_to_grid,
    select_class,
    split_instance,
)
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


def test_numbers_count_within_a_class() -> None:
    assert number_instances(["dog", "cat", "dog"]) == ["dog 1", "cat 1", "dog 2"]
    assert instance_labels(["dog", "cat"], 2) == ["dog 1", "dog 2", "cat 1", "cat 2"]
    assert split_instance("dog 12") == ("dog", 12)
    assert split_instance("dog") == ("dog", None)
    assert split_instance("dog 012") == ("dog 012", None)
    with pytest.raises(InputError, match="from 1"):
        instance_label("dog", 0)
    with pytest.raises(LabelError):
        instance_label(OTHERS, 1)


def test_two_dogs_through_every_format_of_a_grid() -> None:
    masks = {name: np.zeros((8, 16), dtype=np.bool_) for name in number_instances(["dog"] * 2)}
    masks["dog 1"][2:6, 1:7] = True
    masks["dog 2"][2:6, 7:12] = True  # they touch
    grid = masks_to_grid(masks, GridShape(4, 16))
    over_the_image = [form for form in FORMATS.values() if form.syntax.covers_image]
    assert len(over_the_image) >= 3
    for form in over_the_image:
        again = form.decode(form.encode(grid), grid.shape, instance_labels(["dog"], 3))
        assert again == grid
    assert np.array_equal(select_class(grid, "dog"), grid.select("dog 1") | grid.select("dog 2"))
    assert not select_class(grid, "cat").any()
    assert not select_class(grid, OTHERS).any()


@given(grids())
def test_json_is_the_grid(grid: DescriptorGrid) -> None:
    assert record_to_grid(json.loads(json.dumps(grid_to_record(grid)))) == grid


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {},
        {"grid": "1x1", "labels": ["others"], "cells": [[1]]},
        {"grid": "1x2", "labels": ["others"], "cells": [[0]]},
        {"grid": "1x1", "labels": ["dog"], "cells": [[0]]},
        {"grid": "1x1", "labels": ["others", 3], "cells": [[0]]},
        {"grid": "1x1", "labels": ["others"], "cells": [[0.5]]},
        {"grid": "2x2", "labels": ["others"], "cells": [[0], [0, 0]]},
        {"grid": 3, "labels": ["others"], "cells": [[0]]},
    ],
)
def test_other_json_is_told(bad: object) -> None:
    with pytest.raises(InputError):
        record_to_grid(bad)
