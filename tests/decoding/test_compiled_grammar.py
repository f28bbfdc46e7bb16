"""Places in a grammar, and what goes wrong there."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text4seg.codec import get_format
from text4seg.core.errors import GrammarError
from text4seg.core.types import GridShape
from text4seg.decoding import Vocabulary, compile_grammar, compile_mask_grammar
from text4seg.decoding import compiled_grammar as module


def test_a_grammar_is_compiled_once_for_a_vocabulary(
    wordy: Vocabulary, merging: Vocabulary
) -> None:
    lark = get_format("rrle").grammar(GridShape(16, 16), ("dog",))
    compiled = compile_grammar(lark, wordy)
    assert compile_grammar(lark, wordy) is compiled
    assert compile_grammar(lark, merging) is not compiled
    assert compiled.lark == lark


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch, bytewise: Vocabulary) -> None:
    monkeypatch.setattr(module, "CACHED_GRAMMARS", 2)
    bytewise.grammars.clear()
    larks = [f'start: "{letter}"' for letter in "abc"]
    compiled = [compile_grammar(lark, bytewise) for lark in larks]
    assert list(bytewise.grammars) == larks[1:]
    assert compile_grammar(larks[2], bytewise) is compiled[2]
    assert compile_grammar(larks[0], bytewise) is not compiled[0]


def test_a_mask_grammar_knows_its_format_and_grid(wordy: Vocabulary) -> None:
    form, shape = get_format("rrle"), GridShape(3, 5)
    compiled = compile_mask_grammar(form, shape, ("dog",), wordy)
    assert (compiled.syntax, compiled.shape, compiled.vocabulary) == (form.syntax, shape, wordy)
    plain = compile_grammar(compiled.lark, wordy)
    assert (plain.syntax, plain.shape) == (None, None)


def test_many_labels_compile_in_time(wordy: Vocabulary) -> None:
    labels = [f"thing {number}" for number in range(150)]
    for name in ("sd", "rrle"):
        lark = get_format(name).grammar(GridShape(32, 32), labels)
        started = time.process_time()
        compile_grammar(lark, wordy).start().allowed()
        assert time.process_time() - started < 5  # under one, with room for a slow machine


@pytest.mark.parametrize(
    ("lark", "reason"),
    [
        pytest.param("start: row", "row", id="a rule that is not there"),
        pytest.param('start: "a', "compile", id="an open quote"),
        pytest.param("", "compile", id="nothing"),
        pytest.param("start: /(/", "compile", id="a broken expression"),
    ],
)
def test_a_broken_grammar_is_an_error_in_one_line(
    wordy: Vocabulary, lark: str, reason: str
) -> None:
    with pytest.raises(GrammarError, match=reason) as caught:
        compile_grammar(lark, wordy)
    assert "\n" not in str(caught.value)


class PanicException(BaseException):
    """A panic, as the Rust library raises it."""


def test_a_panic_is_an_error() -> None:
    def panic() -> None:
        raise PanicException("index out of bounds\nstack")

    with pytest.raises(GrammarError, match=r"gave up \(index out of bounds\)"):
        module._without_panic(panic, "the grammar does not compile")


def test_other_exits_pass_through() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module._without_panic(interrupt, "the grammar does not compile")


def walk(vocabulary: Vocabulary, lark: str, text: bytes) -> list[tuple[bytes, int]]:
    """The tokens along a text, each with the number of tokens that were allowed."""
    state = compile_grammar(lark, vocabulary).start()
    trail = []
    while not state.finished:
        forced = state.forced()
        allowed = state.allowed()
        token = forced
        if token is None:
            fitting = [t for t in allowed if text.startswith(vocabulary.tokens[t])]
            token = max(fitting, key=lambda t: len(vocabulary.tokens[t]))
        assert state.advance(int(token))
        trail.append((vocabulary.tokens[token], len(allowed)))
        text = text[len(vocabulary.tokens[token]) :]
    assert text == b""
    return trail


def test_forced_tokens_are_the_canonical_ones(wordy: Vocabulary) -> None:
    lark = get_format("rrle").grammar(GridShape(2, 4), ("dog",))
    trail = walk(wordy, lark, b"others *3| dog *1\n dog *4\n")
    assert trail[0][0] == b"others"
    assert trail[0][1] > 1
    assert trail[1] == (b" *", 1)  # not " " and "*"
    assert [token for token, _ in trail[2:8]] == [b"3", b"|", b" dog", b" *", b"1", b"\n"]
    assert [count for _, count in trail[3:8]] == [1] * 5


def test_a_token_that_is_not_allowed_spoils_the_place(wordy: Vocabulary) -> None:
    lark = get_format("sd").grammar(GridShape(2, 2), ("dog",))
    state = compile_grammar(lark, wordy).start()
    spare = state.copy()
    assert not state.advance(wordy.encode(b"|")[0])
    assert not state.advance(wordy.encode(b"dog")[0])
    assert spare.advance(wordy.encode(b"dog")[0])


def test_the_end_is_allowed_where_the_text_may_end(bytewise: Vocabulary) -> None:
    state = compile_grammar('start: "a" "b"*', bytewise).start()
    assert not state.copy().advance(bytewise.eos)
    assert state.advance(ord("a"))
    assert state.allowed().tolist() == [ord("b"), bytewise.eos]
    assert state.forced() is None
    assert not state.finished
    assert state.advance(bytewise.eos)
    assert state.finished
    assert not state.advance(ord("b"))


def lacking(missing: bytes, *, honest: bool) -> Vocabulary:
    """All bytes but one; its tokenizer leaves that one out, or (dishonestly) gives it a token."""
    tokens = [bytes([byte]) if bytes([byte]) != missing else b"" for byte in range(256)]
    return Vocabulary(
        [*tokens, b""],
        256,
        lambda text: [byte for byte in text if not honest or bytes([byte]) != missing],
    )


@pytest.mark.parametrize("missing", [b"7", b"\n", b"o"])
@pytest.mark.parametrize("honest", [True, False])
def test_a_vocabulary_that_lacks_a_byte_leads_to_a_clear_error(
    missing: bytes, honest: bool
) -> None:
    for lark in ('start: "others *7\\n"', 'start: ("a" | "b") ("others *7\\n")'):
        state = compile_grammar(lark, lacking(missing, honest=honest)).start()
        with pytest.raises(GrammarError, match="does the vocabulary hold every byte"):
            walk_anywhere(state)


def walk_anywhere(state: module.GrammarState) -> None:
    while not state.finished:
        state.advance(int(state.allowed()[0]))


def test_following_goes_as_far_as_the_grammar(wordy: Vocabulary) -> None:
    lark = get_format("rrle").grammar(GridShape(2, 4), ("dog",))
    state = compile_grammar(lark, wordy).start()
    whole = wordy.encode(b"others *4\n others *4\n")
    wrong = wordy.encode(b"others *5\n")
    for forcing in (True, False):
        assert state.copy().follow(whole, forcing=forcing) == whole
        assert state.copy().follow([*whole, *whole], forcing=forcing) == whole
        assert state.copy().follow(wrong, forcing=forcing) == wordy.encode(b"others *")


def test_following_takes_what_is_forced_if_asked_to(wordy: Vocabulary) -> None:
    lark = get_format("rrle").grammar(GridShape(2, 4), ("dog",))
    state = compile_grammar(lark, wordy).start()
    # The guess writes the forced " *" in two tokens: the walk takes the one, and ends.
    guess = [*wordy.encode(b"others"), *wordy.encode(b" "), *wordy.encode(b"*")]
    assert state.copy().follow(guess, forcing=False) == guess
    taken = state.copy().follow(guess, forcing=True)
    assert taken == [*wordy.encode(b"others"), *wordy.encode(b" *")]


def test_the_grammar_of_a_mask_is_made_once(
    wordy: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, shape = get_format("rrle"), GridShape(5, 6)
    compiled = compile_mask_grammar(form, shape, ("dog",), wordy)
    written: list[object] = []
    monkeypatch.setattr(type(form), "grammar", lambda *given: written.append(given))
    assert compile_mask_grammar(form, shape, ["dog"], wordy) is compiled
    assert written == []


@pytest.mark.parametrize("name", ["sd", "rle", "rrle"])
def test_a_label_that_the_vocabulary_cannot_write_is_refused(name: str) -> None:
    """A tokenizer that drops a byte would write an empty word, or another label."""
    vocabulary = lacking(b"d", honest=True)
    with pytest.raises(GrammarError, match="cannot write the label 'dog': its tokens read 'og'"):
        compile_mask_grammar(get_format(name), GridShape(2, 2), ("dog",), vocabulary)


def test_open_labels_compile(wordy: Vocabulary) -> None:
    for name in ("sd", "rrle"):
        compile_mask_grammar(get_format(name), GridShape(16, 16), None, wordy).start().allowed()


@settings(max_examples=60)
@given(st.data())
def test_remembered_rows_allow_what_the_library_allows(
    merging: Vocabulary, wordy: Vocabulary, bytewise: Vocabulary, data: st.DataObject
) -> None:
    """What a grammar remembers of rows is what the grammar without a memory finds out."""
    vocabulary = data.draw(st.sampled_from([merging, wordy, bytewise]))
    name = data.draw(st.sampled_from(["sd", "rrle"]))
    shape = GridShape(data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12)))
    labels = data.draw(st.sampled_from([(), ("dog",), ("dog", "dog house"), ("other", "ot*2x")]))
    remembering = compile_mask_grammar(get_format(name), shape, labels, vocabulary)
    plain = compile_grammar(remembering.lark, vocabulary)
    for _ in range(3):
        one, other = remembering.start(), plain.start()
        while True:
            assert one.finished == other.finished
            assert one.forced() == other.forced()
            assert one.allowed().tolist() == other.allowed().tolist()
            if one.finished:
                break
            token = int(data.draw(st.sampled_from(one.allowed().tolist())))
            assert one.advance(token)
            assert other.advance(token)
    assert remembering.known
    assert not plain.known


def test_places_are_kept_within_bounds(
    monkeypatch: pytest.MonkeyPatch, bytewise: Vocabulary
) -> None:
    monkeypatch.setattr(module, "KNOWN_PLACES", 5)
    grammar = compile_mask_grammar(get_format("rrle"), GridShape(9, 9), ("tiger",), bytewise)
    walk_anywhere(grammar.start())
    assert 0 < len(grammar.known) <= 5


def test_runs_too_long_for_the_library_are_refused(wordy: Vocabulary) -> None:
    """At 32x32 llguidance overflows the stack: an error, before the process dies."""
    form = get_format("rle")
    compile_mask_grammar(form, GridShape(28, 28), ("dog",), wordy)
    with pytest.raises(GrammarError, match="rle cannot be decoded on a grid of 32x32"):
        compile_mask_grammar(form, GridShape(32, 32), ("dog",), wordy)
    compile_mask_grammar(get_format("rrle"), GridShape(64, 64), ("dog",), wordy)
