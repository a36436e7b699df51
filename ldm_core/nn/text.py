"""The transformer of the paper's text- and layout-to-image models (Appendix E.2), trained with the UNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ldm_core.nn.attention import attend

# Fixed in the published models: 8 heads of 64 channels whatever the transformer's width.
HEADS, HEAD_DIM = 8, 64


class SelfAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, HEADS * HEAD_DIM, bias=False)
        self.to_k = nn.Linear(dim, HEADS * HEAD_DIM, bias=False)
        self.to_v = nn.Linear(dim, HEADS * HEAD_DIM, bias=False)
        self.to_out = nn.Linear(HEADS * HEAD_DIM, dim)

    def forward(self, x: Tensor) -> Tensor:  # (b, n, dim)
        q, k, v = (
            project(x).unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        return self.to_out(attend(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU()), nn.Identity(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Layers(nn.Module):
    """Pre-normalised attention and feed-forward layers in turn; an entry is (norm, layer)."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(depth):
            self.layers.append(nn.ModuleList([nn.LayerNorm(dim), SelfAttention(dim)]))
            self.layers.append(nn.ModuleList([nn.LayerNorm(dim), FeedForward(dim)]))

    def forward(self, x: Tensor) -> Tensor:
        for entry in self.layers:
            norm, layer = entry.children()
            x = x + layer(norm(x))
        return x


class PositionalEmbedding(nn.Module):
    def __init__(self, dim: int, max_length: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(max_length, dim)

    def forward(self, length: int) -> Tensor:
        return self.emb(torch.arange(length, device=self.emb.weight.device))


class Transformer(nn.Module):
    def __init__(self, dim: int, depth: int, vocab_size: int, max_length: int) -> None:
        super().__init__()
        self.token_emb = nn.Embedding(vocab_size, dim)
        self.pos_emb = PositionalEmbedding(dim, max_length)
        self.attn_layers = Layers(dim, depth)
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.token_emb.weight, std=0.5)  # words before positions
        nn.init.normal_(self.pos_emb.emb.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token_emb(tokens) + self.pos_emb(tokens.shape[1])
        return self.norm(self.attn_layers(x))


class TextTransformer(nn.Module):
    """Token ids (b, n) int64 -> context (b, n, dim)."""

    def __init__(self, dim: int, depth: int, vocab_size: int, max_length: int) -> None:
        super().__init__()
        self.transformer = Transformer(dim, depth, vocab_size, max_length)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.transformer(tokens)
