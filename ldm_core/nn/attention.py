"""Attention and the transformer block through which a condition enters the UNet (paper, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.nn.coupling import Coupling


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v for (b, heads, n, d)."""
    if q.device.type == "cpu" and torch.is_grad_enabled():
        # On a CPU the fused kernel's backward pass is several times slower than plain products.
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return weights.softmax(dim=-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v)


class CrossAttention(nn.Module):
    """Multi-head attention from x to a context; to x itself where there is none."""

    def __init__(self, dim: int, context_dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, dim))

    def forward(
        self, x: Tensor, context: Tensor | None = None, coupling: Coupling | None = None
    ) -> Tensor:  # (b, n, dim), (b, m, context_dim)
        context = x if context is None else context
        q, k, v = map(self._heads, (self.to_q(x), self.to_k(context), self.to_v(context)))
        out = attend(q, k, v)
        if coupling is not None:
            keys, values = (self._heads(to(coupling.contexts)) for to in (self.to_k, self.to_v))
            out = coupling.mixed(out, lambda i, r: attend(q[i, None], keys[r, None], values[r, None])[0])
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _heads(self, projected: Tensor) -> Tensor:
        """(b, n, heads * head_dim) -> (b, heads, n, head_dim)."""
        return projected.view(*projected.shape[:-1], self.heads, -1).transpose(1, 2)


class AttentionBlock(nn.Module):
    """Self-attention over the positions of a feature map, of models without a context."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w)
        # The published weights hold q, k and v of the first head, then those of the second, ...
        qkv = self.qkv(self.norm(x).flatten(2)).unflatten(1, (self.heads, 3, -1))  # (b, heads, 3, d, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(2)  # (b, heads, h * w, d)
        h = attend(q, k, v).transpose(-1, -2).flatten(1, 2)  # (b, c, h * w)
        return x + self.proj_out(h).view(x.shape)


class GEGLU(nn.Module):
    """Gated linear unit with GELU (arXiv:2002.05202)."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    """Self-attention, cross-attention to the condition, feed-forward; each pre-normalised and residual.

    `cross_only`: the first attention, too, is to the condition.
    """

    def __init__(self, dim: int, context_dim: int, heads: int, cross_only: bool) -> None:
        super().__init__()
        self.cross_only = cross_only
        self.attn1 = CrossAttention(dim, context_dim if cross_only else dim, heads, dim // heads)
        self.attn2 = CrossAttention(dim, context_dim, heads, dim // heads)
        self.ff = FeedForward(dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, context: Tensor, coupling: Coupling | None = None) -> Tensor:
        x = x + self.attn1(self.norm1(x), context if self.cross_only else None)
        x = x + self.attn2(self.norm2(x), context, coupling)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer blocks over the positions of a feature map (paper, Appendix E.2.1).

    `linear`: linear layers lead in and out, as in Stable Diffusion 2, rather than 1x1 convolutions; the same
    numbers in another shape.
    """

    def __init__(
        self,
        channels: int,
        context_dim: int,
        heads: int,
        depth: int,
        *,
        linear: bool = False,
        cross_only: bool = False,
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(channels, context_dim, heads, cross_only) for _ in range(depth)
        )
        self.proj_out = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Tensor, context: Tensor, coupling: Coupling | None = None
    ) -> Tensor:  # (b, c, h, w), (b, n, context_dim)
        height, width = x.shape[2:]
        coupling = None if coupling is None else coupling.at(height, width)
        linear = isinstance(self.proj_in, nn.Linear)
        h = self.norm(x)
        tokens = self.proj_in(_tokens(h)) if linear else _tokens(self.proj_in(h))
        for block in self.transformer_blocks:
            tokens = block(tokens, context, coupling)
        if linear:
            return x + _map(self.proj_out(tokens), height)
        return x + self.proj_out(_map(tokens, height))


def _tokens(x: Tensor) -> Tensor:
    """(b, c, h, w) -> (b, h * w, c)."""
    return x.flatten(2).transpose(1, 2)


def _map(tokens: Tensor, height: int) -> Tensor:
    """(b, h * w, c) -> (b, c, h, w)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], height, -1)
