"""What is kept of what nano learned is what helps on images that it did not learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("trl")

from text4seg.core.errors import InputError
from text4seg.models.nano.nano_model import NanoModel
from text4seg.training.chats import Chat
from text4seg.training.finetune import train
from text4seg.training.nano.finetune_data import FineTuneQuestion
from text4seg.training.nano.interpolation import (
    SHARES,
    Interpolation,
    blend,
    hold_back,
    interpolate,
    interpolate_on,
    select_best,
    weights_of,
)
from text4seg.training.recipe import load_recipe

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "examples" / "photos"


class Fusion(nn.Module):
    """A trunk and rows of names, as `blend` finds them."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.trunk = nn.Linear(2, 2)
        self.name_head = nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 3))
        for parameter in self.parameters():
            nn.init.constant_(parameter, value)


@pytest.mark.parametrize("share", SHARES)
def test_a_share_is_kept_but_rows_of_own_names_in_full(share: float) -> None:
    fusion, before, after = Fusion(7.0), weights_of(Fusion(0.0)), weights_of(Fusion(1.0))
    blend(fusion, before, after, share=share, known=2)
    assert torch.equal(fusion.trunk.weight, torch.full((2, 2), share))
    assert torch.equal(fusion.name_head[0].bias, torch.full((2,), share))
    assert fusion.name_head[1].bias.tolist() == [share, share, 1.0]
    assert torch.equal(fusion.name_head[1].weight[2], torch.ones(2))


CASES = [
    pytest.param([[0.5] * 4, [0.7] * 4, [0.6] * 4], "kkkk", 1, id="the best, not the last"),
    pytest.param([[0.5] * 4, [0.4] * 4, [0.3] * 4], "kkkk", 0, id="nothing, where all of it harms"),
    pytest.param([[0.5] * 4, [0.5] * 4, [0.5] * 4], "kkkk", 0, id="nothing, where it is all one"),
    pytest.param([[0.5] * 4, [0.0, 0.0, 1.0, 1.1]], "kkkk", 0, id="nothing for a gain by chance"),
    pytest.param([[0.5, 0], [0.4, 0.9], [0.5, 0.7]], "ko", 2, id="no gain at known names' cost"),
    pytest.param([[0.5, 0, 0], [0.4, 1, 1]], "kaa", 0, id="no gain on absent things at their cost"),
    pytest.param([[0.1] * 4, [0.5] * 4, [0.7] * 4], "oooo", 2, id="own names alone"),
]  # fmt: skip


@pytest.mark.parametrize(("scores", "kinds", "best"), CASES)
def test_the_best_is_kept_where_it_is_surely_better(
    scores: list[list[float]], kinds: str, best: int
) -> None:
    """`k` are known names' things, `a` absent ones, `o` own names."""
    harmless = [[kind == group for kind in kinds] for group in "ka"]
    assert select_best([np.array(row) for row in scores], harmless) == best


def test_the_model_is_left_with_the_chosen_share() -> None:
    fusion, before = Fusion(1.0), weights_of(Fusion(0.0))

    def scores() -> np.ndarray:
        return np.full(5, 1 - abs(float(fusion.trunk.bias[0].detach()) - 0.5))

    best, found = interpolate(fusion, before, scores, harmless=[[True] * 5], known=3)
    assert best == 0.5
    assert [float(row[0]) for row in found] == [0.5, 0.75, 1.0, 0.75, 0.5]
    assert torch.equal(fusion.trunk.bias, torch.full((2,), 0.5))


def test_images_are_held_back_by_their_names_and_not_too_few() -> None:
    chats = [Chat(Path(f"{number // 2}.jpg"), (), "") for number in range(40)]
    held = hold_back(chats, 0.2)
    assert len(held) == 4
    assert held == hold_back(chats[::-1], 0.2)
    assert hold_back(chats, 0.1) == set()  # two images tell nothing
    assert hold_back(chats, 0.0) == set()


def test_it_says_what_it_kept() -> None:
    assert "25% of what was learned is kept" in str(Interpolation(0.25, 10, (0.5,), ()))
    assert "all that was learned" in str(Interpolation(1.0, 0))


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_nano_forgets_what_harms_it() -> None:
    chat = NanoModel.load()
    fusion, before = chat.model.fusion, weights_of(chat.model.fusion)
    features = torch.rand(2, 256, chat.model.config.vision_channels)
    nowhere = torch.zeros(16, 16)
    asked = [FineTuneQuestion(n, "Where is the cat?", "the cat", nowhere, "") for n in (0, 1)]
    with torch.no_grad():
        fusion.target.bias += 50.0  # sees everything everywhere
    choice = interpolate_on(chat, before, asked, features=features, names=())
    assert (choice.share, choice.images, choice.own) == (0.0, 2, ())
    assert choice.known[-1] == 0.0
    assert torch.equal(fusion.target.bias, before["target.bias"])


def test_other_families_keep_all(tmp_path: Path) -> None:
    data = (f"data.train={IMAGES / 'examples.jsonl'}", f"data.images={IMAGES}")
    model = (
        f"model.folder={tmp_path}",
        f"output={tmp_path / 'out'}",
        "training.interpolate_on=0.2",
    )
    recipe = load_recipe(ROOT / "recipes" / "own-data.toml", (*data, *model))
    with pytest.raises(InputError, match="interpolate_on=0"):
        train(recipe)
