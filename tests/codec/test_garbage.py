"""Ten megabytes of garbage: no reader takes more than linear time."""

from __future__ import annotations

import gc
import time

import pytest

from text4seg.codec import FORMATS, Format
from text4seg.core.errors import MaskSyntaxError
from text4seg.core.types import GridShape

PIECES = [
    *("|", "* ", "\n", " ", "a", "others *1| ", "<seg>", "</seg>", "```\n", "9", "dog\n ", "*1"),
    *("[", "9 9 9 9", "[12-30, 34-61]", "1-2, 3-4   ", "[12-30, 34-61]\n dog *16\n"),
]
SHAPE = GridShape(16, 16)


def seconds(form: Format, text: str) -> float:
    # Python's own collector would go through all that other tests have left in the process.
    gc.disable()
    try:
        start = time.process_time()
        with pytest.raises(MaskSyntaxError):
            form.decode(text, SHAPE, ["dog"])
        form.salvage(text, SHAPE, ["dog"])
        return time.process_time() - start
    finally:
        gc.enable()


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("piece", PIECES)
def test_four_times_the_garbage_takes_about_four_times_as_long(form: Format, piece: str) -> None:
    short, long = (piece * (length // len(piece)) for length in (150_000, 600_000))
    assert seconds(form, long) < 8 * seconds(form, short) + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("piece", PIECES)
def test_ten_megabytes(form: Format, piece: str) -> None:
    assert seconds(form, piece * (10_000_000 // len(piece))) < 20
