"""Layers read what their masks allow, and nothing else."""

from __future__ import annotations

import torch

from text4seg.models.nano.layers import Attention, Layer


def test_attention_reads_what_it_may_read() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2)
    x, memory = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    mask = torch.tensor([[True, True, False, False, False], [True] * 5])
    found = attention(x, memory, mask)
    assert torch.allclose(found[0], attention(x[:1], memory[:1, :2])[0], atol=1e-6)
    assert torch.allclose(found[1], attention(x[1:], memory[1:])[0], atol=1e-6)


def test_a_layer_of_cells_also_reads_their_neighbors() -> None:
    """What is far from a change, and masked, changes by nothing."""
    torch.manual_seed(0)
    layer, x = Layer(8, 2, cells=4).eval(), torch.randn(1, 16, 8)
    alone = torch.zeros(1, 16, dtype=torch.bool)
    alone[:, 15] = True
    moved = x.clone()
    moved[0, 0] += 1.0
    changed = (layer(x, alone) - layer(moved, alone)).abs().amax(-1)[0] > 1e-6
    assert changed.nonzero()[:, 0].tolist() == [0, 1, 4, 5]


def test_a_layer_reads_its_memory() -> None:
    torch.manual_seed(0)
    layer, x, memory = Layer(8, 2, reads=True).eval(), torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, True, False, False, False]])
    found = layer(x, None, memory, mask)
    assert torch.allclose(found, layer(x, None, memory[:, :2]), atol=1e-6)
    assert not torch.allclose(found, layer(x, None, memory))
