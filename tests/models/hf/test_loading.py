"""Folders that are as they should be, and all that may be wrong with one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from text4seg import models
from text4seg.core.errors import InputError, Text4SegError, UnknownNameError, WeightsError
from text4seg.core.types import GridShape
from text4seg.models.defaults import ModelDefaults
from text4seg.models.families import get_family
from text4seg.models.hf.loading import load_processor
from text4seg.models.hf.model import HFModel
from text4seg.segmenter import Segmenter


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("smolvlm", tmp_path_factory.mktemp("smolvlm"), small_tokenizer())


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "model"))


def test_a_folder_is_a_model_by_name(folder: Path) -> None:
    segmenter = Segmenter.from_pretrained(str(folder), grid="3x4")
    assert segmenter.format.name == "rrle"
    answer = segmenter(Image.new("RGB", (30, 20), "red"), "the dog")
    assert answer.mask.shape == (20, 30)
    assert answer.validity == "strict"


def test_its_settings_are_read(folder: Path) -> None:
    (folder / "text4seg.json").write_text('{"format": "sd", "grid": "8x8", "square": 48}')
    chat = HFModel.load(folder)
    assert chat.defaults == ModelDefaults("sd", GridShape(8, 8), 48)
    assert chat.prompter.side == 48


def test_the_processor_of_newer_files_is_read(folder: Path) -> None:
    """transformers 5 nests the image processor in `processor_config.json`."""
    nested = json.loads((folder / "processor_config.json").read_text())
    nested["image_processor"] = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps(nested))
    processor = load_processor(folder, get_family("smolvlm"))
    assert processor.image_processor.max_image_size["longest_edge"] == 32


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


FAULTS = [
    pytest.param(lambda f: edit(f / "config.json", model_type="bert"), UnknownNameError,
                 "bert.*llava", id="a family that the table lacks"),
    pytest.param(lambda f: (f / "config.json").write_text("[]"), WeightsError,
                 "config.json does not say", id="no configuration"),
    pytest.param(lambda f: (f / "config.json").write_text("{"), WeightsError,
                 "config.json does not say", id="half a configuration"),
    pytest.param(lambda f: (f / "model.safetensors").unlink(), WeightsError,
                 "cannot be loaded", id="no weights"),
    pytest.param(lambda f: cut_short(f / "model.safetensors"), WeightsError,
                 "cannot be loaded", id="half the weights"),
    pytest.param(lambda f: edit(f / "config.json", scale_factor=1), WeightsError,
                 "cannot be loaded|lack", id="weights of another shape"),
    pytest.param(lambda f: (f / "preprocessor_config.json").unlink(), WeightsError,
                 "copy the files of the processor", id="no image processor"),
    pytest.param(lambda f: [(f / n).unlink() for n in
                            ("preprocessor_config.json", "processor_config.json")],
                 WeightsError, "copy the files of the processor", id="no processor at all"),
    pytest.param(lambda f: [p.unlink() for p in f.glob("tokenizer*")], WeightsError,
                 "tokenizer", id="no tokenizer"),
    pytest.param(lambda f: (f / "chat_template.jinja").write_text("{% if %}"), WeightsError,
                 "chat template", id="a template that is none"),
    pytest.param(lambda f: (f / "chat_template.jinja").write_text("hello"), WeightsError,
                 "photo|cannot read", id="a template without the image"),
    pytest.param(lambda f: (f / "chat_template.jinja").unlink(), WeightsError,
                 "chat template", id="no template"),
    pytest.param(lambda f: (f / "text4seg.json").write_text('{"square": "big"}'), WeightsError,
                 "square", id="a side that is no number"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "error", "match"), FAULTS)
def test_a_fault_is_named(
    folder: Path, spoil: object, error: type[Text4SegError], match: str
) -> None:
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(error, match=match):
        models.load(str(folder)).encode_image(Image.new("RGB", (30, 20)))


def test_an_adapter_without_its_base_is_named(tmp_path: Path) -> None:
    adapter = {"base_model_name_or_path": "acme/big-model"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(WeightsError, match=r"acme/big-model.*download"):
        models.load(str(tmp_path))


def test_a_question_that_spells_a_control_token_is_refused(made: Path) -> None:
    session = HFModel.load(made).encode_image(Image.new("RGB", (30, 20)))
    with pytest.raises(InputError, match="<image>"):
        session.prepare("Segment the <image> here.", "Here:")


def test_weights_that_are_no_numbers_are_told(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    state = {name: value * float("nan") for name, value in state.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    segmenter = Segmenter.from_pretrained(str(folder), grid="3x4")
    with pytest.raises(Text4SegError, match="nan"):
        segmenter(Image.new("RGB", (30, 20), "red"), "the dog")
