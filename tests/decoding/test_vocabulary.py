"""The vocabulary as bytes."""

from __future__ import annotations

import sys

import pytest

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.decoding import Vocabulary, compile_grammar
from text4seg.decoding import vocabulary as vocabulary_module


def test_bytes_go_there_and_back(merging: Vocabulary) -> None:
    text = b"others| dog| dog\n others| others| cat\n"
    tokens = merging.encode(text)
    assert merging.decode(tokens) == text
    assert len(tokens) < len(text)
    assert merging.eos not in tokens
    assert len(merging) == len(merging.tokens)


@pytest.mark.parametrize(
    ("line", "own"),
    [
        pytest.param(b" others *4| dog *2\n", True, id="a row"),
        pytest.param(b"ers *4\n", True, id="the rest of a row"),
        pytest.param("straße *2\n".encode()[5:], False, id="the rest of a letter"),
    ],
)
def test_a_line_has_its_own_tokens(wordy: Vocabulary, line: bytes, own: bool) -> None:
    found = wordy.encode_line(line)
    assert found == (tuple(wordy.encode(line)) if own else None)
    assert wordy.encode_line(line) is found


@pytest.mark.parametrize("line", [b" others *4| dog *12| others *3\n", b"s| dog| dog| others\n"])
def test_a_line_is_encoded_run_by_run(line: bytes, wordy: Vocabulary, bytewise: Vocabulary) -> None:
    for vocabulary in (wordy, bytewise):
        vocabulary.lines.clear()
        assert vocabulary.encode_line(line) == tuple(vocabulary.encode(line))
        assert line.partition(b"|")[0] + b"| dog" in vocabulary.pieces
        assert len(vocabulary.lines) == 1


def test_a_line_whose_tokens_reach_into_the_next_has_none(merging: Vocabulary) -> None:
    line = b" others| others| dog\n"
    assert b"\n others" in merging.tokens
    assert merging.encode_line(line) is None


def test_lines_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch, wordy: Vocabulary) -> None:
    wordy.lines.clear()
    wordy.pieces.clear()
    monkeypatch.setattr(vocabulary_module, "KNOWN_LINES", 3)
    for count in range(1, 9):
        assert wordy.encode_line(b" dog *%d\n" % count)
        assert len(wordy.lines) <= 3
        assert len(wordy.pieces) <= 3


@pytest.mark.parametrize("eos", [-1, 2, 100])
def test_the_end_token_is_one_of_them(eos: int) -> None:
    with pytest.raises(InputError, match="2 tokens"):
        Vocabulary([b"a", b""], eos, list)


def test_control_tokens_are_never_allowed() -> None:
    """A control token whose bytes would fit is not written."""
    tokens = [bytes([byte]) for byte in range(256)] + [b"ab", b""]
    for special in ((), (256,)):
        vocabulary = Vocabulary(tokens, 257, list, special=special)
        allowed = compile_grammar('start: "abc" | "xyz"', vocabulary).start().allowed()
        assert (256 in allowed) == (not special)
        assert {ord("a"), ord("x")} <= set(allowed.tolist())


def test_without_llguidance_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    vocabulary = Vocabulary([b"a", b""], 1, list)
    with pytest.raises(MissingExtraError, match=r"text4seg\[hf\]"):
        compile_grammar('start: "a"', vocabulary)
