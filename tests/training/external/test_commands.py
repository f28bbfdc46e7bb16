"""The commands for other trainers; where one is installed it is run, and its adapter asked."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

pytest.importorskip("trl")

from PIL import Image
from tokenizers import Tokenizer

from tests.reference.small_families import RECIPES, Size, build
from tests.reference.small_nano import small_tokenizer
from tests.training.test_overfit import answers
from text4seg.cli import main
from text4seg.core.errors import InputError, WeightsError
from text4seg.models.families import get_family
from text4seg.models.hf.loading import load_folder
from text4seg.models.hf.model import HFModel
from text4seg.segmenter import Segmenter
from text4seg.training.external.commands import external_commands
from text4seg.training.recipe import Recipe, load_recipe
from text4seg.training.trainer import linear_modules

IMAGES = Path(__file__).parents[3] / "examples" / "photos"
PATCHES, SIDE = 8, 112
PATCH = {"qwen3_vl": 16}  # ms-swift and LLaMA-Factory know its true one
RECIPE = """
output = "{folder}/run"
model.folder = "{folder}/base"
data = {{ train = "{folder}/four.jsonl", images = "{images}", grid = "8x8", wordings = "one" }}
lora = {{ rank = 16, alpha = 32, dropout = 0.0 }}

[training]
steps = {steps}
batch = 4
device_batch = 4
learning_rate = 5e-3
precision = "float32"
"""
# By heart; the others take two steps.
LEARNED = {"ms-swift": "llava", "LLaMA-Factory": "qwen2_vl"}
ADAPTERS = {"ms-swift": "run-ms-swift/last-checkpoint", "LLaMA-Factory": "run-llama-factory"}
# ms-swift knows these families' images by the numbers of the published vocabularies.
PLACES = {
    "gemma3": 255999,
    "idefics3": 128257,
    "llava_onevision": 151646,
    "qwen2_vl": 151655,
    "qwen2_5_vl": 151655,
    "qwen3_vl": 151655,
}
# What stands before a question, in checkpoints as in the trainers' templates.
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
LLAVA = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<s>USER: "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{{ NEWLINE }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ NEWLINE }}ASSISTANT:"
    "{% endif %}{% endfor %}"
).replace("NEWLINE", repr("\n"))


def toy(kind: str, folder: Path, places: Mapping[str, int] = MappingProxyType({})) -> Path:
    """A toy whose image has the token of such a number."""
    tokenizer = json.loads(small_tokenizer().to_str())
    words = tokenizer["model"]["vocab"]
    if kind == "gemma3":
        words["<end_of_turn>"] = len(words)  # LLaMA-Factory ends answers with it
    if kind in places:
        # build() adds one token before that of the image.
        filled = range(len(words), places[kind] - 1)
        words |= {f"<filler {number}>": number for number in filled}
    size = Size(hidden=64, vision=32, patches=PATCHES, patch=PATCH.get(kind, SIDE // PATCHES))
    return build(kind, folder / "base", Tokenizer.from_str(json.dumps(tokenizer)), size=size)


def write_recipe(folder: Path, steps: int = 2) -> Path:
    lines = [json.loads(line) for line in (IMAGES / "examples.jsonl").read_text().splitlines()]
    present = [line for line in lines if line["mask"] is not None][:4]
    (folder / "four.jsonl").write_text("\n".join(map(json.dumps, present)))
    file = folder / "recipe.toml"
    file.write_text(RECIPE.format(folder=folder, images=IMAGES, steps=steps))
    return file


def printed(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main(["train", str(file), "--commands", "--json"]) == 0
    commands: dict[str, str] = json.loads(capsys.readouterr().out)["commands"]
    return commands


def options(command: str) -> dict[str, str]:
    """The options of the first of the lines that a command consists of."""
    words = shlex.split(command.replace("\\\n", " ").splitlines()[0])
    return dict(zip(words[2::2], words[3::2], strict=True))


def test_the_commands_say_what_the_recipe_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy("llava", tmp_path)
    file = write_recipe(tmp_path)
    commands = printed(file, capsys)
    assert list(commands) == ["samples", "ms-swift", "LLaMA-Factory"]
    swift, factory = (options(commands[name]) for name in list(commands)[1:])
    for told in (swift, factory):
        assert told["--lora_rank"] == "16"
        assert told["--gradient_accumulation_steps"] == "1"
        assert told["--learning_rate"] == "0.005"
        assert told["--report_to"] == "none"
    assert swift["--model_type"] == swift["--template"] == "llava1_5_hf"
    assert factory["--template"] == "llava"
    assert factory["--image_max_pixels"] == str(SIDE**2)
    assert factory["--lora_target"].endswith("projector.linear_1,multi_modal_projector.linear_2")
    recipe = load_recipe(file, ["lora.rank=0", "model.quantize=4bit", "training.save_every=7",
                                'report.to=["tensorboard", "trackio"]', "loss.digits=2",
                                "training.gradient_checkpointing=false",
                                "model.attention=sdpa"])  # fmt: skip
    made = external_commands(recipe, ["text4seg", "train", "my recipe.toml"])
    assert made.commands["samples"].startswith("text4seg train 'my recipe.toml' --samples ")
    for command in list(made.commands.values())[1:]:
        assert "lora_" not in command
        assert "--save_steps 7 " in command
        assert "--report_to tensorboard trackio " in command
    assert "--quant_bits 4" in made.commands["ms-swift"]
    assert "--attn_impl sdpa" in made.commands["ms-swift"]
    assert "--quantization_bit 4" in made.commands["LLaMA-Factory"]
    assert "--disable_gradient_checkpointing true" in made.commands["LLaMA-Factory"]
    assert made.notes == ("loss.digits and loss.background are text4seg train's alone",)


SYSTEMS = [
    pytest.param(None, "", id="no words"),
    pytest.param(SYSTEM, "You are a helpful assistant.", id="words"),
    pytest.param("refused", "", id="a system is refused"),
]


@pytest.mark.parametrize(("before", "system"), SYSTEMS)
def test_the_template_s_own_words_are_kept(
    before: str | None, system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = toy("qwen2_vl", tmp_path)
    if before is not None:
        write_template(base, before)
    commands = printed(write_recipe(tmp_path), capsys)
    assert options(commands["ms-swift"])["--system"] == system
    assert options(commands["LLaMA-Factory"])["--default_system"] == system


def write_template(base: Path, before: str) -> None:
    """A chat template that begins so where there is no system."""
    refuse = "{{ raise_exception('no system') }}"
    first = "{% if messages[0]['role'] != 'system' %}" + before + "{% endif %}"
    if before == "refused":
        first = "{% if messages[0]['role'] == 'system' %}" + refuse + "{% endif %}"
    file = base / "chat_template.jinja"
    file.write_text(first + file.read_text())


def test_what_cannot_be_trained_elsewhere_is_said(tmp_path: Path) -> None:
    file = write_recipe(tmp_path)

    def recipe(kind: str, *changes: str) -> Recipe:
        folder = tmp_path / kind
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        return load_recipe(file, [f"model.folder={folder}", *changes])

    with pytest.raises(InputError, match="nano"):
        external_commands(recipe("text4seg-nano"), [])
    with pytest.raises(WeightsError):
        external_commands(load_recipe(file, ["model.folder=nowhere"]), [])
    with pytest.raises(InputError, match=r"model\.side"):
        external_commands(recipe("qwen"), [])
    unknown = external_commands(recipe("qwen", "model.side=448"), [])
    assert "--model_type NAME" in unknown.commands["ms-swift"]
    assert "--template NAME" in unknown.commands["LLaMA-Factory"]
    assert "NAME" in unknown.notes[0]
    build("smolvlm", tmp_path / "toy", small_tokenizer())
    neither = external_commands(load_recipe(file, [f"model.folder={tmp_path / 'toy'}"]), [])
    assert list(neither.commands) == ["samples"]
    assert len(neither.notes) == 2
    tiled = external_commands(load_recipe(file, [f"model.folder={toy('idefics3', tmp_path)}"]), [])
    assert "cut tiles" in tiled.notes[-1]


def find_tool(name: str, variable: str) -> str:
    """The trainer's executable, of an environment of its own; a Swift compiler is none."""
    found = os.environ.get(variable) or shutil.which(name)
    if found is None or b"python" not in Path(found).read_bytes()[:200]:
        pytest.skip(f"{variable} names no {name}, and none is on PATH")
    return found


def run(command: str, tool: str, folder: Path) -> str:
    """Do what a user does with the command; what the trainer says."""
    places = os.pathsep.join((str(Path(tool).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        env={**os.environ, "PATH": places, "OMP_NUM_THREADS": "1"},
        cwd=folder, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def trained_elsewhere(
    kind: str, trainer: str, tool: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[Path, str]:
    """The adapter that the printed commands make, and what was said meanwhile."""
    base = toy(kind, folder, PLACES if trainer == "ms-swift" else {})
    if kind == "llava":
        (base / "chat_template.jinja").write_text(LLAVA)
    elif kind == "qwen2_vl":
        write_template(base, SYSTEM)
    commands = printed(write_recipe(folder, 150 if kind == LEARNED[trainer] else 2), capsys)
    assert main(shlex.split(commands["samples"])[1:]) == 0
    said = run(commands[trainer], tool, folder)
    (adapter,) = folder.glob(ADAPTERS[trainer])
    return adapter, said


def check_adapter(
    kind: str, adapter: Path, said: str, ids: str, folder: Path, *, learned: bool
) -> None:
    """It adapts the layers that are adapted here, saw the square, and is a segmenter."""
    from safetensors.torch import load_file

    weights = load_file(adapter / "adapter_model.safetensors")
    adapted = {re.sub(r"^base_model\.model\.|\.lora_[AB]\.weight$", "", name) for name in weights}
    loaded = load_folder(folder / "base")
    # ms-swift counts Qwen3-VL's ways around its projector to the projector.
    adapted = {name for name in adapted if "deepstack_merger" not in name}
    assert adapted == set(linear_modules(loaded.model, loaded.family))
    chat = HFModel.load(adapter)
    assert chat.prompter.side == loaded.side
    picture = Image.open(IMAGES / "cat.jpg")
    ours = chat.prompter.inputs(
        chat.prompter.text([{"role": "user", "content": [{"type": "image"}]}]),
        chat.prompter.square(picture),
    )["input_ids"][0].tolist()
    image = max(set(ours), key=ours.count)
    first = re.search(ids, said)
    assert first is not None
    assert first[1].replace(" ", "").split(",").count(str(image)) == ours.count(image)
    segmenter = Segmenter(chat, grid="8x8")
    if learned:
        assert min(answers(segmenter, chat, folder / "four.jsonl")) >= 0.95
    else:
        assert segmenter(picture, "the cat").text


# Of each: its field of a family, its command, the variable that names it, how it prints tokens.
TRAINERS = {
    "ms-swift": ("ms_swift", "swift", "TEXT4SEG_SWIFT", r"\[INPUT_IDS\] \[(.*)\]"),
    "LLaMA-Factory": (
        "llama_factory",
        "llamafactory-cli",
        "TEXT4SEG_LLAMAFACTORY",
        r"input_ids:\n\[(.*)\]",
    ),
}
TRAINED = [
    (trainer, kind)
    for trainer, (column, *_) in TRAINERS.items()
    for kind in RECIPES
    if getattr(get_family(kind), column)
]


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "kind"), TRAINED)
def test_others_train_what_is_trained_here(
    trainer: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, command, variable, printed = TRAINERS[trainer]
    tool = find_tool(command, variable)
    adapter, said = trained_elsewhere(kind, trainer, tool, tmp_path, capsys)
    check_adapter(kind, adapter, said, printed, tmp_path, learned=kind == LEARNED[trainer])
