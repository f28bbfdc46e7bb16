"""vLLM, where it is installed, serves what is exported and writes what `Segmenter` writes."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from PIL import Image

from tests.reference.small_families import Size, build
from tests.reference.small_nano import small_tokenizer
from tests.training.test_overfit import RECIPE
from text4seg import prompts
from text4seg.codec import get_format
from text4seg.core.types import GridShape
from text4seg.data import read_jsonl
from text4seg.models.hf.model import HFModel
from text4seg.segmenter import Segmenter
from text4seg.training.finetune import train
from text4seg.training.merge_export import ExportResult, export
from text4seg.training.recipe import load_recipe

pytestmark = pytest.mark.slow
IMAGES = Path(__file__).parents[2] / "examples" / "photos"
GRID = GridShape(8, 8)
# vLLM's attention wants heads of 32 numbers or more.
SIZE = Size(hidden=128, vision=64, patch=14)
PATIENCE = 900  # seconds that it may take to start


@pytest.fixture(scope="module")
def tool() -> str:
    found = os.environ.get("TEXT4SEG_VLLM") or shutil.which("vllm")
    if found is None:
        pytest.skip("TEXT4SEG_VLLM names no vllm, and none is on PATH")
    return found


@pytest.fixture(params=["llava", "qwen2_vl"])
def exported(request: pytest.FixtureRequest, tool: str, tmp_path: Path) -> ExportResult:
    """A toy that has learned four masks by heart."""
    folder = build(request.param, tmp_path / "base", small_tokenizer(), size=SIZE)
    lines = [json.loads(line) for line in (IMAGES / "examples.jsonl").read_text().splitlines()]
    present = [line for line in lines if line["mask"] is not None][:4]
    questions, file = tmp_path / "four.jsonl", tmp_path / "recipe.toml"
    questions.write_text("\n".join(map(json.dumps, present)))
    file.write_text(RECIPE.format(
        output=tmp_path / "run", folder=folder, train=questions, images=IMAGES, steps=150
    ))  # fmt: skip
    return export(train(load_recipe(file)).folder, tmp_path / "out")


@pytest.fixture
def server(exported: ExportResult, tool: str, tmp_path: Path) -> Iterator[str]:
    """The address of the printed command's server, with numbers as exact as ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [tool, *shlex.split(exported.commands["vLLM"])[1:]]
    words += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    log = tmp_path / "vllm.log"
    with log.open("w") as out:
        started = subprocess.Popen(words, stdout=out, stderr=out)
    try:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + PATIENCE
        while not is_up(address):
            assert started.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(1)
        yield address
    finally:
        started.terminate()
        started.wait(60)


def is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ask(address: str, model: Path, square: Image.Image, question: str, **more: Any) -> str:
    picture = io.BytesIO()
    square.save(picture, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    asked = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    messages = [{"role": "user", "content": asked}, *more.pop("begun", ())]
    body = {"model": str(model), "messages": messages, "temperature": 0, "max_tokens": 400, **more}
    request = urllib.request.Request(
        f"{address}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


def test_vllm_writes_what_the_segmenter_writes(exported: ExportResult, server: str) -> None:
    chat = HFModel.load(exported.folder)
    segmenter = Segmenter(chat, grid=GRID)
    begun = {
        "begun": [{"role": "assistant", "content": prompts.ANSWER_PREFIX}],
        "continue_final_message": True,
        "add_generation_prompt": False,
    }
    for sample in read_jsonl(exported.folder.parent / "four.jsonl", IMAGES):
        image = sample.open_image()
        square = chat.prompter.square(image)
        for asked in sample.targets:
            ours = segmenter(image, asked.expression).text
            question = prompts.question(asked.expression, index=0, grid=GRID)
            sent = image if chat.prompter.family.stretches else square
            theirs = ask(server, exported.folder, sent, question)
            assert theirs == prompts.answer(ours)
            grammar = get_format("rrle").grammar(GRID, (asked.expression,), "ebnf")
            bound = {"structured_outputs": {"grammar": grammar}, **begun}
            assert ask(server, exported.folder, square, question, **bound) == ours
