from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text4seg.codec.answer import SEG_CLOSE, SEG_OPEN, body_of, find_body, wrap
from text4seg.core.errors import MaskSyntaxError

BODY = "others *2| dog *2\n others *4\n"
MARKS = st.sampled_from([SEG_OPEN, SEG_CLOSE, "```", "\n", " dog *1", "</se", "<"])


def test_a_body_stands_between_its_marks() -> None:
    assert wrap(BODY) == f"<seg>{BODY}</seg>"
    assert body_of("Here it is:\n" + wrap(BODY)) == BODY
    assert body_of(wrap("")) == ""


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("", 0, "'<seg>'"),
        (BODY, len(BODY), "'<seg>'"),
        ("a</seg>", 7, "'<seg>'"),
        ("<seg>a", 6, "'</seg>'"),
        ("<seg>a</se", 10, "'</seg>'"),
        ("</seg><seg>a", 12, "'</seg>'"),
        ("<seg>a<seg>b</seg>", 6, "one '<seg>'"),
        ("<seg>a</seg>\n", 12, "end of the text"),
        ("<seg>a</seg><seg>b</seg>", 12, "end of the text"),
    ],
)
def test_body_of_refuses(text: str, at: int, expected: str) -> None:
    with pytest.raises(MaskSyntaxError) as caught:
        body_of(text)
    assert caught.value.at == at
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (BODY, BODY),  # no marks at all
        ("Here:\n" + wrap(BODY), BODY),
        ("Here:\n" + wrap(BODY) + "\nBye.", BODY),
        ("Here:\n<seg>" + BODY, BODY),  # cut before the closing mark
        ("<seg>" + BODY + "</se", BODY),  # cut inside it
        ("<seg>" + BODY + "<", BODY),
        ("<seg>" + BODY + "</seg", BODY),
        (BODY + "</seg>", BODY),  # the opening mark is missing
        (BODY + "</seg> </seg>", BODY),
        ("</seg>" + BODY, ""),
        (wrap("a") + wrap(BODY), BODY),  # the last complete block
        (wrap(BODY) + "<seg>oth", BODY),  # not the incomplete one
        (wrap(BODY) + "</seg>", BODY),  # a block ends with its first closing mark
        ("<seg>a<seg>" + BODY + "</seg>", BODY),  # and starts with its last opening mark
        ("</seg><seg>" + BODY, BODY),
        ("```\n" + BODY + "```", BODY),
        ("```text\n" + BODY + "```\nmore", BODY),
        ("prose\n```\n" + BODY + "```\nmore", BODY),
        ("prose\n```\n" + BODY, BODY),  # the fence is never closed
        (wrap("\n```\n" + BODY + "```\n"), BODY),
        ("```\n```\nmore", ""),  # nothing inside
        ("a ``` b", "a ``` b"),  # no fence starts inside a line
        ("```", "```"),
    ],
)
def test_find_body(text: str, body: str) -> None:
    assert find_body(text) == body


@given(st.lists(MARKS | st.text(max_size=3), max_size=12).map("".join))
def test_find_body_takes_any_text(text: str) -> None:
    body = find_body(text)
    assert body in text
    assert find_body(wrap("others *1\n")) == "others *1\n"


@given(st.text().filter(lambda text: "seg>" not in text and "```" not in text))
def test_find_body_of_an_answer_is_body_of(body: str) -> None:
    assert find_body("It is:\n" + wrap(body)) == body_of("It is:\n" + wrap(body)) == body


@pytest.mark.parametrize("piece", [SEG_OPEN, SEG_CLOSE, SEG_CLOSE + SEG_OPEN, "```\n", "\n", "<"])
def test_find_body_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    find_body(piece * 200_000)
    assert time.process_time() - start < 2  # measured: 0.01 s
