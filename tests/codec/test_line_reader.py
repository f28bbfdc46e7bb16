"""One line, read forgivingly."""

from __future__ import annotations

import pytest

from text4seg.codec.line_reader import Line, Run, Vocabulary, fit, read_line


def runs(line: Line) -> list[tuple[str, int | None]]:
    return [(run.label, run.count) for run in line.runs]


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("dog", "dog"),
        ("Dog.", "dog"),
        ("dgo", "dog"),
        ("the brown dog", "dog"),
        ("hot  dog", "hot dog"),
        ("zebra", None),
        ("", None),
    ],
)
def test_similar_words_are_labels(word: str, label: str | None) -> None:
    found, note = Vocabulary(["dog", "hot dog"]).find(word)
    assert found == label
    assert bool(note) == (word != label)


def test_among_open_labels_every_legal_word_is_one() -> None:
    vocabulary = Vocabulary(None)
    assert vocabulary.is_label("zebra")
    assert not vocabulary.is_label("a|b")
    assert vocabulary.find("a  zebra")[0] == "a zebra"


def test_a_right_line_needs_no_repair() -> None:
    line = read_line("others *2| dog *3", Vocabulary(["dog"]), 5, counted=True)
    assert (runs(line), line.trust, list(line.notes)) == ([("others", 2), ("dog", 3)], 2, [])
    flat = read_line("others| dog", Vocabulary(["dog"]), 2, counted=False)
    assert (runs(flat), flat.trust, list(flat.notes)) == ([("others", 1), ("dog", 1)], 2, [])


@pytest.mark.parametrize(
    ("text", "found", "note"),
    [
        ("others*2|dog *3", [("others", 2), ("dog", 3)], ""),  # spacing is noted for whole rows
        ("others *2 dog *3", [("others", 2), ("dog", 3)], ""),
        ("others *2| | dog *3", [("others", 2), ("dog", 3)], "an empty place"),
        ("others *002| dog", [("others", 2), ("dog", None)], "the count '002' read as 2"),
        ("others *2| dog *0", [("others", 2)], "a run of no cells"),
    ],
)
def test_damage_is_repaired(text: str, found: list[tuple[str, int | None]], note: str) -> None:
    line = read_line(text, Vocabulary(["dog"]), 5, counted=True)
    assert runs(line) == found
    assert note in " ".join(line.notes)
    assert bool(note) == bool(line.notes)


def test_prose_is_not_trusted() -> None:
    line = read_line("Here you are:", Vocabulary(["dog"]), 5, counted=True)
    assert line.trust == 0


def test_an_unfinished_end_is_dropped_where_the_text_was_cut() -> None:
    text, vocabulary = "others *2| do", Vocabulary(["dog"])
    assert runs(read_line(text, vocabulary, 5, counted=True, cut=True)) == [("others", 2)]
    assert len(read_line(text, vocabulary, 5, counted=True).runs) == 2


def test_repairs_of_one_line_are_bounded() -> None:
    line = Line("")
    for number in range(1000):
        line.note(str(number))
    assert len(line.notes) == 51


@pytest.mark.parametrize(
    ("given", "words", "notes"),
    [
        ([("dog", 2), ("others", 2)], "ddoo", 0),
        ([("dog", 2), ("others", 9)], "ddoo", 1),
        ([("others", 1), ("dog", 2)], "oddd", 1),  # a small lack goes to the last run
        ([("dog", 1)], "dooo", 1),  # a larger one to the background
        ([("dog", None), ("others", None)], "ddoo", 0),
        ([("dog", None), ("others", 1)], "dddo", 0),
        ([], "oooo", 1),
    ],
)
def test_runs_are_fitted_to_a_width(
    given: list[tuple[str, int | None]], words: str, notes: int
) -> None:
    told: list[str] = []
    found = fit([Run(*run) for run in given], 4, told, slack=1)
    assert "".join(word[0] for word in found) == words
    assert len(told) == notes
