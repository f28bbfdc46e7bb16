"""Every exported grammar, run by an engine that reads its notation.

llguidance runs Lark, and Lark that its own converter made of GBNF, in `test_grammar_builder.py`;
here xgrammar runs EBNF, and llama.cpp the same text as GBNF. xgrammar's pins would pull another
torch, so `scripts/setup.sh` installs it without them; llama.cpp comes as an npm package.
"""

from __future__ import annotations

import random

import pytest

from tests.codec.engines import LlamaCpp, XGrammar
from tests.codec.strategies import GRID_FORMATS
from tests.codec.test_contracts import accepts
from tests.codec.test_grammar_builder import random_grid
from text4seg.codec import Format
from text4seg.core.errors import GrammarError
from text4seg.core.types import GridShape

RLE, RRLE, SD = GRID_FORMATS["rle"], GRID_FORMATS["rrle"], GRID_FORMATS["sd"]

CASES = [
    pytest.param(RRLE, GridShape(16, 16), ["dog"], id="rrle"),
    pytest.param(RRLE, GridShape(16, 64), ["dog", "cat"], id="rrle wide"),
    pytest.param(RRLE, GridShape(3, 12), ["a *b", '"q" \\n', "狗"], id="rrle escapes"),
    pytest.param(SD, GridShape(16, 16), ["the dog", "dog house"], id="sd"),
    pytest.param(RLE, GridShape(5, 5), ["dog"], id="rle"),
]

WITH_LLAMA_CPP = pytest.mark.skipif(
    not LlamaCpp.is_installed(), reason="needs node and the npm package @node-llama-cpp/linux-x64"
)


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
    pytest.importorskip("xgrammar", exc_type=ImportError)
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


OPEN = [
    pytest.param(RRLE, GridShape(2, 12), None, id="rrle, any label"),
    pytest.param(SD, GridShape(2, 3), None, id="sd, any label"),
]


@WITH_LLAMA_CPP
@pytest.mark.parametrize(("form", "shape", "labels"), [*CASES, *OPEN])
def test_llama_cpp_accepts_what_decode_accepts(
    form: Format, shape: GridShape, labels: list[str] | None
) -> None:
    source = random.Random(5)
    grids = [random_grid(shape, labels or ["dog", "a 2 b"], seed) for seed in range(12)]
    texts = [form.encode(grid) for grid in grids]
    wrong = [mutated(text, source) for text in texts for _ in range(6)]
    found = LlamaCpp(form.grammar(shape, labels, "gbnf")).accept([*texts, *wrong])
    assert all(found[: len(texts)])
    allowed = [accepts(form, text, shape, labels) for text in wrong]
    if labels is not None:
        assert found[len(texts) :] == allowed
    else:  # with any label the grammar also takes neighbours that are alike
        assert all(f >= a for f, a in zip(found[len(texts) :], allowed, strict=True))
    assert found.count(False) > (30 if labels else 5)


@WITH_LLAMA_CPP
def test_llama_cpp_refuses_what_is_no_grammar() -> None:
    with pytest.raises(GrammarError, match="Undefined rule identifier 'row'"):
        LlamaCpp("root ::= row\n").accept(["a"])
