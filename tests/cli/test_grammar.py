from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import TEXT, Call


@pytest.mark.parametrize("notation", ["lark", "gbnf", "ebnf"])
def test_grammar_prints_a_grammar(call: Call, notation: str) -> None:
    done = call("grammar", "--label", "a dog", "--grid", "4x4", "--notation", notation)
    assert (done.code, done.err) == (0, "")
    assert "a dog" in done.out
    assert done.out.endswith("\n")
    record = call("grammar", "--label", "a dog", "--grid", "4x4", "--notation", notation, "--json")
    assert record.json[0]["grammar"].rstrip("\n") == done.out.rstrip("\n")


def test_a_regular_expression_accepts_what_encode_writes(call: Call, mask: Path) -> None:
    import re

    done = call("grammar", "--label", "a dog", "--grid", "4x4", "--notation", "regex")
    assert re.fullmatch(done.out.rstrip("\n"), TEXT)
    assert not re.fullmatch(done.out.rstrip("\n"), TEXT + "x")
