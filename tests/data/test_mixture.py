from __future__ import annotations

import pytest

from text4seg.core.errors import InputError, UnknownNameError
from text4seg.data.mixture import PAPER, Mixture, get_mixture


def test_the_papers_counts() -> None:
    assert get_mixture("plain", "coco") == Mixture()
    stuff, ade = get_mixture("paper", "coco-stuff"), get_mixture("paper", "ade20k-150")
    assert (stuff.passes, stuff.rounds, stuff.crops) == (10, 2, (256, 336, 392, 448))
    assert (stuff.everything, stuff.present, stuff.distracted) == (0.1, 0.3, 0.6)
    assert (ade.passes, ade.rounds) == (5, 2)
    assert {PAPER[name].passes for name in ("refcoco", "refcoco+", "refcocog", "grefcoco")} == {2}
    with pytest.raises(UnknownNameError, match="paper's mixture"):
        get_mixture("paper", "yolo-seg")
    for wrong in ({"everything": 0.5}, {"passes": 0}, {"absent": 2.0}, {"crops": (3,)}):
        with pytest.raises(InputError):
            Mixture(**wrong)  # type: ignore[arg-type]
