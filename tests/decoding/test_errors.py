"""Errors say what is needed, and cross the border of a process."""

from __future__ import annotations

import pickle

from text4seg.core.errors import Text4SegError
from text4seg.decoding import ContextError, DecodingError


def test_a_context_that_is_too_small_is_told_with_what_is_needed() -> None:
    error = ContextError(9, 120)
    assert isinstance(error, DecodingError)
    assert isinstance(error, Text4SegError)
    assert "about 120 tokens" in str(error)
    assert "room for 9" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (again.max_context, again.needed, str(again)) == (9, 120, str(error))
