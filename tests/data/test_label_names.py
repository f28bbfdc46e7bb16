from __future__ import annotations

import pytest

from text4seg.data.label_names import plain_name, synonyms_of

NAMES = [
    pytest.param("traffic_light", "traffic light", id="underscores"),
    pytest.param("wall-other-merged", "wall", id="COCO panoptic"),
    pytest.param("floor-wood", "wood floor", id="COCO-Stuff"),
    pytest.param("window-blind", "window blind", id="not of the kind material"),
    pytest.param("bow_(weapon)", "bow (weapon)", id="LVIS"),
    pytest.param("  dining   table ", "dining table", id="spaces"),
]


@pytest.mark.parametrize(("raw", "words"), NAMES)
def test_names_become_words(raw: str, words: str) -> None:
    assert plain_name(raw) == words


def test_commas_part_synonyms() -> None:
    assert synonyms_of("building, edifice") == ("building", ("edifice",))
    assert synonyms_of("sky") == ("sky", ())
    assert synonyms_of(",") == (",", ())
