from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.data.conftest import SIZE, write_image
from tests.data.readers.helpers import (
    words,
)
from text4seg.core.errors import InputError
from text4seg.data import read_dataset

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><labels><label><name>dog</name></label><label><name>cat</name></label></labels></task></meta>
<image id="0" name="a.png" width="64" height="48">
  <polygon label="dog" source="manual" occluded="0" points="10,10;30,10;30,30;10,30" z_order="0"/>
  <mask label="dog" rle="2, 4, 3" left="40" top="40" width="3" height="3" z_order="0"/>
  <mask label="cat" rle="2, 4" left="40" top="40" width="3" height="3" z_order="0"/>
  <mask label="cat" rle="9" left="63" top="40" width="3" height="3" z_order="0"/>
  <box label="dog" xtl="1" ytl="1" xbr="2" ybr="2"/>
  <tag label="sunny"/>
</image>
<image id="1" name="../../etc/passwd" width="64" height="48"/>
</annotations>"""


@pytest.mark.parametrize("packed", [False, True])
def test_cvat(tmp_path: Path, packed: bool) -> None:
    path = write_image(tmp_path / "images" / "a.png")
    file = tmp_path / "annotations.xml"
    file.write_text(CVAT)
    if packed:
        file = tmp_path / "export.zip"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("annotations.xml", CVAT)
            archive.write(path, "images/a.png")
            archive.writestr("../climbed.txt", "out")
        path.unlink()
    reading = read_dataset("cvat", file)
    (sample,) = reading
    assert words(sample) == {"dog": 404}
    mask = sample.targets[0].to_mask(SIZE)
    # Two of background, then four: the last of the first row, and the second row.
    assert mask[40:43, 40:43].tolist() == [[False, False, True], [True] * 3, [False] * 3]
    assert sample.absent == ("cat",)
    assert sample.open_image().size == (64, 48)
    skipped = dict(reading.report.skipped)
    assert skipped.pop("path outside the folder") == 1 + packed
    assert skipped == {"bad run lengths": 1, "mask outside the image": 1, "no mask": 1}
    assert not (tmp_path.parent / "climbed.txt").exists()


def test_cvat_refuses_bombs_and_rubbish(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;">]><annotations>&c;</annotations>'
    for text in (bomb, "<annotations><image", "<annotations/>"):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(InputError, match=r"a\.xml"):
            read_dataset("cvat", tmp_path / "a.xml")
    (tmp_path / "a.zip").write_bytes(b"PK but no archive")
    with pytest.raises(InputError, match="no ZIP archive"):
        read_dataset("cvat", tmp_path / "a.zip")
