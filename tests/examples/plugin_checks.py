"""What a plug-in can do; `test_plugin.py` runs it where `examples/plugin` is installed."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeChat, block
from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from text4seg import Segmenter, evaluate, read_dataset, score, train
from text4seg.cli import main
from text4seg.codec import FORMATS, get_format
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.data import READERS
from text4seg.data.targets import TargetEncoder
from text4seg.decoding import DecodingOptions
from text4seg.evaluation import TextReader
from text4seg.models.hf.model import HFModel
from text4seg.refine import REFINERS

SHAPE = GridShape(16, 16)
# A tall block: as columns it is 12 equal lines, as rows 9 of them.
TRUTH = block("dog", slice(2, 14), slice(4, 13))


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """A photo of 160×160 pixels with one rectangle, and one that lies outside it."""
    folder = tmp_path / "boxes"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (160, 160), "gray").save(folder / "images" / "a.png")
    rows = ("image,label,x0,y0,x1,y1", "a.png,dog,40,20,130,140", "a.png,cat,0,0,999,5")
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    return folder


def make(draft: str = "auto", refiner: str = "none") -> Segmenter:
    model = FakeChat({"dog": TRUTH}, form="columns")
    options = DecodingOptions(draft=draft)
    return Segmenter(model, format="columns", refiner=refiner, options=options)


def test_the_names_are_known_and_described() -> None:
    assert "columns" in FORMATS
    assert READERS.get_summary("boxes-csv") == "rectangles in a CSV file"
    assert REFINERS.get_summary("majority").startswith("A majority filter over the cells")


def test_the_text_is_column_by_column() -> None:
    grid = DescriptorGrid.from_rows([["others", "dog"], ["others", "dog"], ["dog", "dog"]])
    text = "others *2| dog *1\n dog *3\n"
    assert get_format("columns").encode(grid) == text
    assert get_format("columns").decode(text, GridShape(3, 2)) == grid


def test_it_segments_and_drafts_and_the_draft_changes_no_text() -> None:
    image = Image.new("RGB", (160, 160))
    plain, drafted = make("none")(image, "dog"), make("row")(image, "dog")
    assert plain.grid == drafted.grid == TRUTH
    assert plain.text == drafted.text == get_format("columns").encode(TRUTH)
    assert drafted.stats.passes < plain.stats.passes / 4
    assert np.array_equal(plain.probability >= 0.5, TRUTH.select("dog"))
    previous = make("previous")(image, "dog", previous=TRUTH)
    assert previous.text == plain.text
    assert previous.stats.accepted == previous.stats.drafted  # every guess held


def test_it_streams_column_by_column() -> None:
    states = list(islice(make("none").stream(Image.new("RGB", (160, 160)), "dog"), 6))
    assert [state.rows for state in states] == [1, 2, 3, 4, 5, 6]
    cells = states[5].grid.select("dog")
    assert np.array_equal(cells[:, :6], TRUTH.select("dog")[:, :6])
    assert not cells[:, 6:].any()


def test_the_refiner_drops_single_cells() -> None:
    lonely = DescriptorGrid.build(TRUTH.labels, np.where(np.eye(16, dtype=bool), 0, TRUTH.cells))
    lonely = DescriptorGrid.build(
        lonely.labels, np.maximum(lonely.cells, np.pad([[1]], ((0, 15), (15, 0))))
    )
    model = FakeChat({"dog": lonely}, form="columns")
    found = Segmenter(model, format="columns", refiner="majority")(
        Image.new("RGB", (160, 160)), "dog"
    )
    assert found.grid.select("dog")[0, 15]
    assert not found.mask[:10, 150:].any()  # the single cell is gone
    assert found.mask[80, 80]  # the hole on the diagonal is filled


def test_its_data_is_read_evaluated_and_scored(boxes: Path) -> None:
    dataset = read_dataset("boxes-csv", boxes)
    samples = list(dataset)
    assert [target.expression for target in samples[0].targets] == ["dog"]
    assert samples[0].targets[0].to_mask(samples[0].size).sum() == 90 * 120
    assert dict(dataset.report.skipped) == {"box outside the image": 1}
    found = evaluate(make(), dataset)
    assert found.summaries["boxes-csv"].giou == pytest.approx(
        1.0
    )  # the rectangle lies on cell borders
    text = TargetEncoder("columns", SHAPE).encode([("dog", np.zeros((160, 160), bool))])
    told = [{"image": "a.png", "expression": "dog", "text": text}]
    reader = TextReader(SHAPE, get_format("columns"))
    assert score(told, dataset, text=reader).summaries["boxes-csv"].giou == pytest.approx(0.0)


def test_a_model_is_trained_to_write_it(boxes: Path, tmp_path: Path) -> None:
    base = build("smolvlm", tmp_path / "base", small_tokenizer())
    line = {
        "image": "a.png",
        "expression": "dog",
        "mask": next(iter(read_dataset("boxes-csv", boxes))).targets[0].mask.to_rle(),
    }
    (boxes / "train.jsonl").write_text(json.dumps(line) + "\n")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'output = "{tmp_path / "out"}"\nmodel.folder = "{base}"\n'
        f'data = {{ train = "{boxes / "train.jsonl"}", images = "{boxes / "images"}", '
        'grid = "8x8", format = "columns" }\n'
        "lora = { rank = 2, alpha = 4 }\n"
        'training = { steps = 2, batch = 1, device_batch = 1, precision = "float32" }\n'
    )
    assert train(recipe).steps == 2
    model = HFModel.load(tmp_path / "out" / "adapter")
    assert (model.defaults.format, str(model.defaults.grid)) == ("columns", "8x8")
    assert Segmenter(model).format.name == "columns"


def test_the_command_line_takes_the_names(
    boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mask.txt").write_text(get_format("columns").encode(TRUTH))
    call = [
        "decode",
        str(tmp_path / "mask.txt"),
        "--format",
        "columns",
        "--grid",
        "16x16",
        "--size",
        "160x160",
    ]
    assert main([*call, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["others", "dog"]
    out = tmp_path / "built"
    assert main(["build", "data", "boxes-csv", str(boxes), "-o", str(out)]) == 0
    assert main(["segment", "--help"]) == 0
    help_text = capsys.readouterr().out
    assert "columns" in help_text
    assert "majority" in help_text
