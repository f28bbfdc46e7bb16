"""Every exported grammar, run by an engine that reads its notation.

llguidance runs Lark, and Lark that its own converter made of GBNF, in `test_grammar.py`; here
xgrammar runs EBNF, which is the same text as GBNF. Its pins would pull another torch, so
`scripts/setup.sh` installs it without them.
"""

from __future__ import annotations

import random

import pytest

from tests.codec.engines import XGrammar
from tests.codec.test_contracts import accepts
from tests.codec.test_grammar import random_grid
from text4seg.codec import FORMATS, Format
from text4seg.core.types import GridShape

RLE, RRLE, SD = FORMATS["rle"], FORMATS["rrle"], FORMATS["sd"]

CASES = [
    pytest.param(RRLE, GridShape(16, 16), ["dog"], id="rrle"),
    pytest.param(RRLE, GridShape(16, 64), ["dog", "cat"], id="rrle wide"),
    pytest.param(RRLE, GridShape(3, 12), ["a *b", '"q" \\n', "狗"], id="rrle escapes"),
    pytest.param(SD, GridShape(16, 16), ["the dog", "dog house"], id="sd"),
    pytest.param(RLE, GridShape(5, 5), ["dog"], id="rle"),
]


pytest.importorskip("xgrammar", exc_type=ImportError)


def mutated(text: str, source: random.Random) -> str:
    """One character more, less, or another one."""
    place = source.randrange(len(text))
    kind = source.randrange(3)
    other = source.choice("0123456789 |*\ndox")
    return text[:place] + other * (kind != 0) + text[place + (kind != 1) :]


@pytest.mark.parametrize(("form", "shape", "labels"), CASES)
def test_xgrammar_accepts_what_decode_accepts(
    form: Format, shape: GridShape, labels: list[str]
) -> None:
    engine = XGrammar(form.grammar(shape, labels, "ebnf"))
    assert form.grammar(shape, labels, "ebnf") == form.grammar(shape, labels, "gbnf")
    source = random.Random(5)
    refused = 0
    for seed in range(12):
        text = form.encode(random_grid(shape, labels, seed))
        assert engine.accepts(text)
        for _ in range(6):
            wrong = mutated(text, source)
            allowed = accepts(form, wrong, shape, labels)
            assert engine.accepts(wrong) == allowed, wrong
            refused += not allowed
    assert refused > 40
