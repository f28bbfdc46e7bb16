"""What a decoding cost adds up."""

from __future__ import annotations

import pytest

from tests.reference.decoding import decode_one, mask_grammar
from tests.reference.toy import CacheOf, Noise
from text4seg.core.types import GridShape
from text4seg.decoding import DecodingStats, Vocabulary


def test_tokens_are_forced_or_chosen() -> None:
    stats = DecodingStats(3, tokens=10, forced=6, drafted=5, accepted=4, fed=9, seconds=0.1)
    assert stats.decisions == 4


@pytest.mark.parametrize("draft", ["none", "forced", "row"])
@pytest.mark.parametrize("name", ["sd", "rle", "rrle"])
def test_counts_add_up(wordy: Vocabulary, name: str, draft: str) -> None:
    step = CacheOf(Noise(wordy, 2))
    decoded = decode_one(step, mask_grammar(name, GridShape(5, 8), ("dog",), wordy), draft=draft)
    stats = decoded.stats
    assert stats.tokens == len(decoded.tokens) == len(decoded.log_probabilities)
    assert stats.decisions == len(decoded.decisions)
    assert stats.passes == step.passes
    assert stats.fed == len(step.cache) + sum(step.cuts)
    assert 0 <= stats.accepted <= stats.drafted <= stats.fed
    assert stats.seconds > 0
