"""What can go wrong while a mask is being written."""

from __future__ import annotations

from text4seg.core.errors import Text4SegError


class DecodingError(Text4SegError):
    """The step function broke its contract: wrong shape, or no finite logit to choose from."""


class ContextError(DecodingError):
    """The mask does not fit into what is left of the model's context.

    Attributes:
        max_context: The number of tokens that fit after the prompt.
        needed: How many the mask takes: those written, and a guess of the rest.
    """

    def __init__(self, max_context: int, needed: int) -> None:
        self.max_context = max_context
        self.needed = needed
        super().__init__(
            f"the mask needs about {needed} tokens, and after the prompt the model's context has "
            f"room for {max_context}; take a smaller grid or the format 'rrle'"
        )

    # The message is made in the constructor, so pickling must not pass it as an argument.
    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.max_context, self.needed)
