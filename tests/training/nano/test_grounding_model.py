"""The fusion learns the user's questions, and its teacher stays as it was."""

from __future__ import annotations

import torch

from tests.reference.small_nano import (
    HIDDEN,
    NAMES,
    small_config,
    small_features,
    small_tokenizer,
)
from text4seg.models.nano.fusion import Fusion
from text4seg.training.nano.finetune_data import FineTuneBatch
from text4seg.training.nano.grounding_model import GroundingModel

OLD = (torch.tensor([1]), ["Where is the cat?"])


def make_model() -> GroundingModel:
    torch.manual_seed(3)
    tokenizer = small_tokenizer()
    embedding = torch.randn(tokenizer.get_vocab_size(), HIDDEN)
    return GroundingModel(Fusion(small_config(), HIDDEN), tokenizer, embedding)


def make_batch() -> FineTuneBatch:
    """Two images; the dog is where the first channel is large, and nothing else is asked."""
    features = small_features(7, images=2)
    cells = (features[:, :256, 0] > 0.5).float()
    names = torch.zeros(2, 256, len(NAMES))
    names[..., 1] = cells
    annotated = torch.tensor([[False, True, False]] * 2)
    wordings = ["Where is the dog?"] * 2
    return FineTuneBatch(
        features, torch.arange(2), wordings, ["the dog"] * 2, cells, names, annotated
    )


def test_the_teacher_is_neither_trained_nor_saved() -> None:
    model = make_model()
    assert all(name.startswith("fusion.") for name in model.state_dict())
    teacher = model._frozen[0]
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    model(make_batch(), OLD).backward()
    assert any(p.grad is not None for p in model.fusion.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(value, before[n]) for n, value in teacher.state_dict().items())


def test_the_loss_falls() -> None:
    model, batch = make_model(), make_batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = model(batch, OLD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_forgetting_is_penalised_for_names_that_nobody_asked_about() -> None:
    model, batch = make_model(), make_batch()
    with torch.no_grad():
        kept = float(model(batch, OLD))
        bias = model.fusion.name_head[-1].bias
        bias[0] += 3.0  # the cat, about which the user asks nothing
        forgotten = float(model(batch, OLD))
    assert forgotten > kept
