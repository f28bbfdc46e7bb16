"""What can go wrong while a mask is being written."""

from __future__ import annotations

from text4seg.core.errors import Text4SegError


class DecodingError(Text4SegError):
    """The step function broke its contract: wrong shape, or no finite logit to choose from."""
