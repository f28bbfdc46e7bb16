"""Every family learns four real masks by heart through the whole path, and writes them again.

Recipe → chats → TRL's trainer with a LoRA adapter → adapter and merged weights on disk → loaded
→ `Segmenter` with the fast engine, equal to plain `generate`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("trl")

from tests.reference.plain_chat import plain_tokens
from tests.reference.small_families import RECIPES, Size, build
from tests.reference.small_nano import small_tokenizer
from text4seg.codec import get_format
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
from text4seg.core.types import GridShape
from text4seg.core.types import Size as Pixels
from text4seg.data import read_jsonl
from text4seg.metrics import iou
from text4seg.models.hf.model import HFModel
from text4seg.segmenter import Segmenter
from text4seg.training.finetune import train
from text4seg.training.recipe import load_recipe

IMAGES = Path(__file__).parents[2] / "examples" / "photos"
SIZE = Size(hidden=64, layers=2, vision=32, patches=4)
GRID = GridShape(8, 8)
FAST = ("deepseek_vl", "smolvlm")  # one with tied embeddings, one without
STEPS = {"lfm2_vl": 300, "paligemma": 400}  # the others take 150


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Four image-mask pairs of the examples."""
    lines = [json.loads(line) for line in (IMAGES / "examples.jsonl").read_text().splitlines()]
    present = [line for line in lines if line["mask"] is not None][:4]
    assert len(present) == 4
    file = tmp_path / "four.jsonl"
    file.write_text("\n".join(map(json.dumps, present)))
    return file


RECIPE = """
output = "{output}"
model.folder = "{folder}"
data = {{ train = "{train}", images = "{images}", grid = "8x8", wordings = "one" }}
lora = {{ rank = 16, alpha = 32, dropout = 0.0 }}
report.every = 20

[training]
steps = {steps}
batch = 4
device_batch = 4
learning_rate = 5e-3
precision = "float32"
gradient_checkpointing = false
"""


def families() -> list[object]:
    slow = pytest.mark.slow
    return [
        pytest.param(name, marks=[] if name in FAST else [slow], id=name)
        for name in sorted(RECIPES)
    ]


@pytest.mark.parametrize("family", families())
def test_four_masks_are_learned_by_heart(family: str, tmp_path: Path, questions: Path) -> None:
    folder = build(family, tmp_path / "base", small_tokenizer(), size=SIZE)
    file, steps = tmp_path / "recipe.toml", STEPS.get(family, 150)
    file.write_text(RECIPE.format(
        output=tmp_path / "run", folder=folder, train=questions, images=IMAGES, steps=steps
    ))  # fmt: skip
    losses: dict[int, float] = {}

    def progress(step: int, _: int, figures: dict[str, float]) -> None:
        losses[step] = figures.get("loss", np.nan)

    trained = train(load_recipe(file), progress=progress)  # type: ignore[arg-type]
    assert trained.steps == steps
    for kind in ("adapter", "merged"):
        chat = HFModel.load(trained.folder / kind)
        scores = answers(Segmenter(chat, grid=GRID), chat, questions)
        print(family, kind, trained.loss, [round(score, 3) for score in scores])
        assert min(scores) >= 0.95, (kind, scores, losses)


def answers(segmenter: Segmenter, chat: HFModel, questions: Path) -> list[float]:
    """IoU of cells; each text is also what plain `generate` writes."""
    scores = []
    for sample in read_jsonl(questions, IMAGES):
        image = Image.open(sample.image).convert("RGB")
        for asked in sample.targets:
            answer = segmenter(image, asked.expression)
            truth = asked.to_mask(Pixels(image.height, image.width))
            cells = coverage_to_cells(mask_to_coverage(truth, GRID))
            scores.append(iou(answer.grid.select(asked.expression), cells))
            grammar = get_format("rrle").grammar(GRID, (asked.expression,))
            tokens = plain_tokens(chat, image, asked.expression, grammar, GRID)
            written = b"".join(chat.prompter.vocabulary.tokens[token] for token in tokens)
            assert written.decode() == answer.text
    return scores
