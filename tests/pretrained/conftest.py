"""The pretrained parts, fetched and converted once for all tests of this room."""

from __future__ import annotations

import pytest

from text4seg.models.nano.encoders.parts import PretrainedParts, get_parts


@pytest.fixture(scope="session")
def parts(nano_parts: None) -> PretrainedParts:
    return get_parts()
