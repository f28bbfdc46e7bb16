"""Large JSON files read record by record: one pass finds the place of each record.

Annotation files of hundreds of megabytes are lists of small records. `walk` goes over the records
of chosen lists without ever holding the document; `read_records` reads single records again by
their places. Memory is that of one record and of a buffer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from json.decoder import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO

from text4seg.core.errors import InputError
from text4seg.data.reports import RecordError

_CHUNK = 1 << 20
_LONGEST = 1 << 26
_WORDS = ("null", "true", "false", "NaN", "Infinity", "-Infinity")
_AFTER = " \t\n\r,]}"
_SPACE = " \t\n\r"
_scan = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """One record: the key of its list, its number there, its place in bytes, and its value."""

    key: str
    number: int
    start: int
    end: int
    value: Any


def walk(path: Path, keys: Collection[str]) -> Iterator[JsonRecord]:
    """Go over the records of the lists under `keys` of the object that the file holds.

    A file that is a list itself has one key, the empty string. Other keys are passed over.

    Raises:
        InputError: The file cannot be read.
        RecordError: It is cut off or is not JSON; the message tells the byte. What stands before
            that has been handed out.
    """
    try:
        with path.open("rb") as file:
            yield from _walk(_Cursor(file, path), keys)
    except UnicodeDecodeError as error:
        raise RecordError("not JSON", f"{path} is not text in UTF-8: {error.reason}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def read_records(path: Path, places: Iterable[tuple[int, int]]) -> list[Any]:
    """The records at these places (start and end in bytes), as `walk` told them."""
    try:
        with path.open("rb") as file:
            return [_read(file, int(start), int(end)) for start, end in places]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} changed while it was read: {error}") from error


def _read(file: BinaryIO, start: int, end: int) -> Any:
    file.seek(start)
    return json.loads(file.read(end - start))


def _walk(cursor: _Cursor, keys: Collection[str]) -> Iterator[JsonRecord]:
    first = cursor.peek()
    if first == "[":
        if "" in keys:
            yield from _walk_list(cursor, "")
        return
    if first != "{":
        raise cursor.fault("a JSON object or list")
    cursor.skip()
    while cursor.peek() != "}":
        _, _, key = cursor.value("a key")
        if cursor.peek() != ":":
            raise cursor.fault("':' after a key")
        cursor.skip()
        if key in keys and cursor.peek() == "[":
            yield from _walk_list(cursor, key)
        else:
            start, end, value = cursor.value(f"the value of {key!r}")
            if key in keys:
                yield JsonRecord(key, -1, start, end, value)
        _comma(cursor, "}")


def _walk_list(cursor: _Cursor, key: str) -> Iterator[JsonRecord]:
    cursor.skip()
    number = 0
    while cursor.peek() != "]":
        start, end, value = cursor.value(f"record {number} of {key or 'the list'!r}")
        yield JsonRecord(key, number, start, end, value)
        number += 1
        _comma(cursor, "]")
    cursor.skip()


def _comma(cursor: _Cursor, close: str) -> None:
    mark = cursor.peek()
    if mark == ",":
        cursor.skip()
    elif mark != close:
        raise cursor.fault(f"',' or {close!r}")


class _Cursor:
    """A place in a JSON text of which only a buffer is in memory."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._rest = b""
        self._text, self._at, self._offset = "", 0, 0
        self._ended = False
        self._more()
        if self._text.startswith("\ufeff"):
            self._at, self._offset = 1, 3

    def peek(self) -> str:
        """The next character that is no white space; raises `RecordError` at the end."""
        while True:
            while self._at < len(self._text):
                char = self._text[self._at]
                if char not in _SPACE:
                    return char
                self.skip()
            if not self._more():
                raise self.fault("more")

    def skip(self) -> None:
        """Go over one ASCII character."""
        self._at += 1
        self._offset += 1

    def value(self, what: str) -> tuple[int, int, Any]:
        """The next value with its place in bytes."""
        self.peek()
        while True:
            try:
                value, end = _scan(self._text, self._at)
            except JSONDecodeError:
                if len(self._text) - self._at < _LONGEST and self._more():
                    continue
                raise self.fault(what) from None
            except RecursionError:
                raise RecordError("not JSON", f"{self._path} is nested too deeply") from None
            # A number at the end of the buffer may go on.
            closed = end < len(self._text) and self._text[end] in _AFTER
            if closed or isinstance(value, dict | list | str) or not self._more():
                break
        start = self._offset
        part = self._text[self._at : end]
        self._offset += len(part) if part.isascii() else len(part.encode())
        self._at = end
        return start, self._offset, value

    def fault(self, expected: str) -> RecordError:
        """What is wrong here."""
        if self._ended and self._whole_rest_is_one_value():
            return RecordError(
                "truncated JSON",
                f"{self._path} stops at byte {self._file.tell()} before {expected} is complete",
            )
        return RecordError("not JSON", f"{self._path}, byte {self._offset}: {expected} is expected")

    def _whole_rest_is_one_value(self) -> bool:
        """Whether the text breaks off, rather than holding something wrong before its end."""
        try:
            _scan(self._text, self._at)
        except JSONDecodeError as error:
            rest = self._text[error.pos :].rstrip()
            begun = len(rest) < 2 or any(word.startswith(rest) for word in _WORDS)
            return begun or error.msg.startswith(("Unterminated", "Invalid \\"))
        return self._at >= len(self._text)

    def _more(self) -> bool:
        """Take more of the file into the buffer; False at its end."""
        room = max(_CHUNK, len(self._text) - self._at)
        data = self._file.read(room)
        if not data:
            self._ended = True
            if self._rest:
                self._rest.decode()
            return False
        data = self._rest + data
        text, used = _decode(data)
        self._rest = data[used:]
        self._text, self._at = self._text[self._at :] + text, 0
        return True


def _decode(data: bytes) -> tuple[str, int]:
    """As much of the data as is whole characters, and how many bytes that is."""
    for cut in range(4):
        try:
            return data[: len(data) - cut].decode(), len(data) - cut
        except UnicodeDecodeError as error:
            if error.end < len(data) - cut or cut == 3:
                raise
    raise InputError("unreachable: the loop above returns or raises")
