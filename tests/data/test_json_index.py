from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text4seg.data import json_index
from text4seg.data.json_index import read_records, walk
from text4seg.data.reports import RecordError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=40)
@given(
    first=st.lists(VALUES, max_size=4),
    second=st.lists(VALUES, max_size=4),
    chunk=st.integers(1, 40),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_records_and_their_places(first, second, chunk, ascii_only, indent) -> None:
    import tempfile

    document = {"info": {"a": [1]}, "x": first, "other": second, "y": second}
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate cannot stand in a file
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_index, "_CHUNK", chunk)
        path = Path(folder) / "a.json"
        path.write_bytes(data)
        records = list(walk(path, ("x", "y")))
        assert [one.value for one in records] == first + second
        assert [one.key for one in records] == ["x"] * len(first) + ["y"] * len(second)
        places = [(one.start, one.end) for one in records]
        assert read_records(path, places) == first + second


def test_a_list_and_a_single_value(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("\ufeff[1, [2], {}]")
    assert [one.value for one in walk(path, ("",))] == [1, [2], {}]
    path.write_text('{"a": 3}')
    assert [(one.value, one.number) for one in walk(path, ("a",))] == [(3, -1)]


GOOD = json.dumps({"x": [{"id": 1, "t": "a\\n"}, {"id": 2, "n": [1.5, None]}], "z": 1})


def test_wherever_a_file_is_cut_it_is_called_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for length in range(len(GOOD)):
        path.write_text(GOOD[:length])
        records = []
        with pytest.raises(RecordError, match=r"a\.json") as caught:
            records.extend(walk(path, ("x",)))
        assert caught.value.kind == "truncated JSON", (GOOD[:length], str(caught.value))


WRONG = [
    pytest.param('{"x": [1 2]}', "byte 9: ',' or ']'", id="no comma"),
    pytest.param('{"x" 1}', "byte 5: ':' after a key", id="no colon"),
    pytest.param('{"x": [{"a": nope}, 1, 2, 3, 4]}', "byte 7: record 0 of 'x'", id="no value"),
    pytest.param("hello", "byte 0: a JSON object or list", id="no JSON"),
    pytest.param('{"x": [' + "[" * 100_000, "nested too deeply", id="nested"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"a\.json") as caught:
        list(walk(path, ("x",)))
    assert message in str(caught.value)
    assert caught.value.kind == "not JSON"


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"x": ["\xff\xff\xff\xff\xff"]}')
    with pytest.raises(RecordError, match="UTF-8"):
        list(walk(path, ("x",)))
