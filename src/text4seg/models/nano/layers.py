"""Attention and the transformer layer of nano's fusion and of its spatial reasoner."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    Args:
        width: Channels of queries, memory and result.
        heads: A divisor of `width`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from `x b n width` to `memory b m width`.

        Args:
            x: Queries, `b n width`.
            memory: Keys and values, `b m width`.
            mask: `b m`, true where `memory` may be read.

        Returns:
            `b n width`.
        """
        # Keys and values come from one projection; heads are split before they are parted.
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = (
            self.key_value(memory)
            .unflatten(-1, (2 * self.heads, -1))
            .transpose(1, 2)
            .chunk(2, dim=1)
        )
        # One mask for all heads and queries.
        readable = None if mask is None else mask[:, None, None, :]
        y = functional.scaled_dot_product_attention(query, key, value, attn_mask=readable)
        out: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return out


class Layer(nn.Module):
    """Pre-norm transformer layer, optionally with a local convolution and a memory.

    Args:
        width: Channels.
        heads: Attention heads.
        cells: Side of the square map that the sequence is; 0 for none. With it, a 3×3 depthwise
            convolution gives each cell its neighbours.
        reads: Whether the layer cross-attends to a memory.
        expansion: Hidden channels of the feed-forward part, as a multiple of `width`.
    """

    def __init__(
        self, width: int, heads: int, *, cells: int = 0, reads: bool = False, expansion: int = 4
    ) -> None:
        super().__init__()
        self.cells = cells
        # Names are those of the shipped state dict.
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        if reads:
            self.norm_read = nn.LayerNorm(width)
            self.read = Attention(width, heads)
        if cells:
            self.local = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm2 = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Transform a sequence.

        Args:
            x: `b n width`.
            mask: `b n`, true where `x` may be attended to.
            memory: `b m width`, for a layer that reads one.
            memory_mask: `b m`, true where the memory may be read.

        Returns:
            `b n width`.
        """
        # Pre-norm: the sum itself passes through all layers unscaled.
        y = self.norm1(x)
        x = x + self.attention(y, y, mask)
        if self.cells:
            # Attention has no notion of neighbouring cells; the convolution gives it one.
            x = x + self.local(x.transpose(1, 2).unflatten(2, (self.cells, -1))).flatten(
                2
            ).transpose(1, 2)
        # The memory is read after self-attention, as in the decoder of Vaswani et al.
        if memory is not None:
            x = x + self.read(self.norm_read(x), memory, memory_mask)
        out: Tensor = x + self.feed(self.norm2(x))
        return out
