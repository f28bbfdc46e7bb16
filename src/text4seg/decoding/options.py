"""How tokens are chosen and drafted: the one options object from the command line to the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from text4seg.core.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from text4seg.decoding.drafters import Drafter

RunLengths = Literal["likeliest", "median"]
RUN_LENGTHS: tuple[RunLengths, ...] = ("likeliest", "median")

MAX_TOKENS = 1 << 17
"""Default token limit: more than the flat text of the largest grid (256×256) needs."""


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """How a mask text is decoded.

    Attributes:
        draft: A name in `DRAFTERS`, or a drafter. It changes the number of forward passes, never
            the text.
        temperature: None takes the likeliest allowed token. A number above zero samples instead:
            1 samples from the model's distribution, lower values stay nearer to the likeliest.
        seed: The same seed samples the same text with every draft. Used with `temperature`.
        run_lengths: `likeliest` takes the likeliest digits. `median` takes the median of each
            run's length distribution, at the price of a few passes more; formats without run
            lengths are not affected.
        background_bias: Added to the log-odds of the background label `others`, on top of the
            model's own calibration: below zero marks more cells, above zero fewer.
        max_tokens: Where to stop an endless text; the result is then incomplete.

    Raises:
        UnknownNameError: There is no such `run_lengths`.
        InputError: A number is out of range, or run lengths are both sampled and taken at the
            median.
    """

    draft: str | Drafter = "auto"
    temperature: float | None = None
    seed: int = 0
    run_lengths: RunLengths = "likeliest"
    background_bias: float = 0.0
    max_tokens: int = MAX_TOKENS

    def __post_init__(self) -> None:
        if self.run_lengths not in RUN_LENGTHS:
            raise UnknownNameError("way to take run lengths", str(self.run_lengths), RUN_LENGTHS)
        if not math.isfinite(self.background_bias):
            raise InputError(f"a bias is a finite number, got {self.background_bias}")
        # Sampling the digits and taking their median contradict each other.
        if self.temperature is not None:
            if not 0.0 < self.temperature < math.inf:
                raise InputError(f"a temperature is a number above zero, got {self.temperature}")
            if self.run_lengths == "median":
                raise InputError(
                    "run lengths are either sampled or taken at the median, not both: "
                    "leave out the temperature, or take the run lengths 'likeliest'"
                )

    def for_sample(self, number: int) -> DecodingOptions:
        """The options of one of several samples.

        Args:
            number: The sample's number, from 0; it is added to the seed.

        Returns:
            Options that sample, at temperature 1 if none is set.
        """
        # Several samples at temperature None would all be the same text.
        temperature = 1.0 if self.temperature is None else self.temperature
        return replace(self, temperature=temperature, seed=self.seed + number)
