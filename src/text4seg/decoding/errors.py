"""What can go wrong while a mask is being written."""

from __future__ import annotations

from text4seg.core.errors import Text4SegError


class DecodingError(Text4SegError):
    """The step function broke its contract: wrong shape, or no finite logit to choose from."""


class ContextError(DecodingError):
    """The mask does not fit into what is left of the model's context.

    `room` is the number of tokens that fit after the prompt, `needed` how many the mask takes:
    what was written, and a guess of the rest.
    """

    def __init__(self, room: int, needed: int) -> None:
        self.room = room
        self.needed = needed
        super().__init__(
            f"the mask needs about {needed} tokens, and after the prompt the model's context has "
            f"room for {room}; take a smaller grid or the format 'rrle'"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.room, self.needed)
