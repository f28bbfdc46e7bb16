"""Words, runs and what was expected where."""

from __future__ import annotations

import pytest

from text4seg.codec.run_text import Words, expect, expect_end, names_of, read_runs, runs_of
from text4seg.core.errors import LabelError, MaskSyntaxError
from text4seg.core.types import DescriptorGrid, GridShape


def test_names_begin_with_the_background_and_are_listed_once() -> None:
    assert names_of(["dog", "others", "cat", "dog"]) == ("others", "dog", "cat")
    with pytest.raises(LabelError, match="got the string 'dog'"):
        names_of("dog")
    with pytest.raises(LabelError):
        names_of(["a|b"])


def test_words_are_numbered_as_they_are_met() -> None:
    words = Words(None)
    numbers = [words.number(name, "", 0) for name in ("cat", "others", "dog", "cat")]
    assert numbers == [1, 0, 2, 1]
    grid = words.grid([1, 0, 2, 1], GridShape(2, 2))
    assert grid == DescriptorGrid.from_rows([["cat", "others"], ["dog", "cat"]])


def test_a_message_lists_six_names_at_most() -> None:
    words = Words([f"name {number}" for number in range(9)])
    with pytest.raises(MaskSyntaxError, match="'name 4' …"):
        words.number("dog", "dog", 0)


def test_runs_are_written_and_read() -> None:
    text = runs_of(["others", "others", "dog *", "dog *", "dog *"])
    assert text == "others *2| dog * *3"
    numbers, end = read_runs(text + "\n", 0, 5, Words(None))
    assert (numbers, end) == ([0, 0, 1, 1, 1], len(text))


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("others *3| dog *3", 16, "a count from 1 to 2"),
        ("others *03", 8, "without a leading zero"),
        ("others *3| others *2", 11, "other than 'others'"),
        ("others *3|dog *2", 10, "2 cells left"),
        ("others", 6, "' *' and a count"),
        ("", 0, "a label"),
    ],
)
def test_what_is_expected_where(text: str, at: int, expected: str) -> None:
    with pytest.raises(MaskSyntaxError) as caught:
        read_runs(text, 0, 5, Words(None))
    assert caught.value.at == at
    assert expected in caught.value.expected


def test_a_token_or_the_first_letter_that_differs() -> None:
    assert expect("a| b", 1, "| ", "a bar") == 3
    with pytest.raises(MaskSyntaxError) as caught:
        expect("a|b", 1, "| ", "a bar")
    assert caught.value.at == 2
    expect_end("ab", 2)
    with pytest.raises(MaskSyntaxError, match="the end of the text"):
        expect_end("ab", 1)
