from __future__ import annotations

from pathlib import Path

import pytest

from text4seg.core.errors import InputError
from text4seg.data import READERS, Selection, read_dataset


def test_every_reader_tells_its_layout_and_refuses_an_empty_folder(tmp_path: Path) -> None:
    for name, reader in READERS.items():
        assert (reader.name, bool(reader.layout), bool(reader.summary)) == (name, True, True)
        with pytest.raises(InputError) as caught:
            list(read_dataset(name, tmp_path, selection=Selection(strict=True)))
        assert str(tmp_path) in str(caught.value), name
