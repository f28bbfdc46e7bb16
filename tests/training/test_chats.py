"""Chats are read from questions, chats and folders of masks, as JSON Lines and as Parquet."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.reference.small_recipe import IMAGES
from text4seg import prompts
from text4seg.codec import FORMATS
from text4seg.codec.answer import body_of
from text4seg.core.errors import InputError
from text4seg.core.regions import Regions
from text4seg.core.types import GridShape
from text4seg.training.chats import one_turn, read_chats, read_validation
from text4seg.training.recipe import DataSection

CAT = IMAGES / "cat.jpg"


def test_chats_are_read_as_trainers_write_them(tmp_path: Path) -> None:
    lines = [
        {"images": ["cat.jpg"], "messages": [
            {"role": "user", "content": "<image>\nWhere is the cat?"},
            {"role": "assistant", "content": "Here."}]},
        {"images": [{"path": "cat.jpg"}],
         "messages": [dict(message) for message in one_turn("Where?", "There.")]},
    ]  # fmt: skip
    file = tmp_path / "chats.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    first, second = read_chats(file, DataSection(images=str(IMAGES)))
    assert first.messages == one_turn("Where is the cat?", "Here.")
    assert second.answers == ["There."]


BAD = [
    pytest.param({"images": [], "messages": []}, "one image", id="no image"),
    pytest.param({"images": ["no.jpg"], "messages": [dict(m) for m in one_turn("a", "b")]},
                 "no.jpg", id="an image that is not there"),
    pytest.param({"images": ["cat.jpg"], "messages": [dict(one_turn("a", "b")[0])]},
                 "last message", id="no answer"),
    pytest.param({"images": ["cat.jpg"], "messages": [{"role": "user"}]}, "no chat", id="no text"),
    pytest.param({"images": ["cat.jpg"], "messages": [{"role": "bot", "content": "x"}]},
                 "bot", id="another role"),
    pytest.param({"images": ["cat.jpg"], "messages": [{"role": "assistant", "content": "x"}]},
                 "0 places", id="no place for the image"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "match"), BAD)
def test_a_bad_chat_is_named(tmp_path: Path, record: dict, match: str) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=match):
        read_chats(file, DataSection(images=str(IMAGES)))


def test_questions_become_chats(tmp_path: Path) -> None:
    chats = read_chats(IMAGES / "examples.jsonl", DataSection(images=str(IMAGES), grid="4x4"))
    assert chats[0].messages[0]["content"][0] == {"type": "image"}
    assert chats[1].answers[0] == prompts.answer("others *4" + "\n others *4" * 3 + "\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_chats(tmp_path / "none.jsonl", DataSection())


def test_answers_may_be_boxes_with_grids() -> None:
    data = DataSection(images=str(IMAGES), grid="4x4", format="box")
    there, absent = read_chats(IMAGES / "examples.jsonl", data)[:2]
    (region,) = FORMATS["box"].decode(body_of(there.answers[0]), GridShape(4, 4)).regions
    assert region.grid.shape == GridShape(4, 4)
    assert there.expression in region.grid.labels
    assert absent.answers == [prompts.answer(FORMATS["box"].encode(Regions()))]


def mask_pairs(folder: Path, count: int) -> Path:
    """Images with masks as a user has them: `images/` and `masks/LABEL/`."""
    from PIL import Image

    image = Image.open(CAT).resize((48, 32))
    mask = Image.new("L", image.size)
    mask.paste(255, (8, 8, 40, 30))
    for name in ("images", "masks/tabby"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        image.save(folder / "images" / f"{number:03}.jpg")
        mask.save(folder / "masks" / "tabby" / f"{number:03}.png")
    return folder


def test_a_folder_of_own_masks_is_learned_from_and_part_of_it_held_back(tmp_path: Path) -> None:
    data = DataSection(layout="mask-pairs", hold_out=0.25, grid="4x4")
    folder = mask_pairs(tmp_path / "own", 12)
    data = dataclasses.replace(data, train=str(folder))
    learned, held = read_chats(folder, data), read_validation(data)
    assert len(learned) == 9
    assert len(held) == 3
    assert not {chat.image for chat in learned} & {sample.image for sample in held}
    assert learned[0].expression == "tabby"
    assert "tabby" in learned[0].answers[0]
    with pytest.raises(InputError, match="holds back none"):
        read_validation(dataclasses.replace(data, hold_out=0.01))
    with pytest.raises(InputError, match="no file or folder"):
        read_chats(tmp_path / "nothing", data)


@pytest.mark.parametrize("embed", [True, False], ids=["pictures inside", "paths"])
def test_parquet_files_of_a_build_are_the_json_lines(tmp_path: Path, embed: bool) -> None:
    pytest.importorskip("pyarrow")
    from text4seg.data.shards import records_to_bytes

    written = read_chats(IMAGES / "examples.jsonl", DataSection(images=str(IMAGES), grid="4x4"))[:3]
    records = [
        {
            "messages": [
                {"role": "user", "content": f"<image>{chat.messages[0]['content'][1]['text']}"},
                {"role": "assistant", "content": chat.answers[0]},
            ],
            "images": [
                {"bytes": chat.image.read_bytes(), "path": chat.image.name}
                if embed else {"bytes": None, "path": str(chat.image)}
            ],
        }
        for chat in written
    ]  # fmt: skip
    file = tmp_path / "part-00000.parquet"
    file.write_bytes(records_to_bytes(records, "parquet", "trl"))
    read = read_chats(file, DataSection())
    assert [chat.messages for chat in read] == [chat.messages for chat in written]
    assert [chat.content is not None for chat in read] == [embed] * 3
    assert read[2].source.endswith("row 2")
    assert read[0].open_image().size == written[0].open_image().size


def test_a_parquet_file_of_something_else_is_told(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "part.parquet"
    parquet.write_table(pa.Table.from_pylist([{"image": "a.jpg", "text": "the cat"}]), file)
    with pytest.raises(InputError, match=r"image, text, and no chats.*hugging-face"):
        read_chats(file, DataSection())
    with pytest.raises(InputError, match="no such file"):
        read_chats(tmp_path / "none.parquet", DataSection())
    file.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read"):
        read_chats(file, DataSection())
    row = {"messages": [{"role": "user", "content": "Where?"}], "images": [None]}
    parquet.write_table(pa.Table.from_pylist([row]), file)
    with pytest.raises(InputError, match=r"row 0.*the image must be a path"):
        read_chats(file, DataSection())
