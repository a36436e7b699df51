"""The time-conditional UNet with cross-attention (paper, section 3.3; Appendix E.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ldm_core.nn.attention import SpatialTransformer
from ldm_core.nn.upsample import Upsample
from ldm_core.spec import UNetSpec


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """(b,) timesteps -> (b, dim) sinusoids, cosines first."""
    half = dim // 2
    frequencies = torch.exp(
        -math.log(10_000) * torch.arange(half, device=t.device, dtype=torch.float32) / half
    )
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    """Starts a residual branch as the identity."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class ResBlock(nn.Module):
    """Two convolutions; the embedding of t is added between them."""

    def __init__(self, in_channels: int, out_channels: int, emb_dim: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_dim, out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_channels),
            nn.SiLU(),
            nn.Identity(),  # the published blocks' dropout, which is 0
            _zero(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # (b, c, h, w), (b, emb_dim)
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Block(nn.ModuleList):
    """A row of layers, each given what it takes."""

    def forward(self, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x)
        return x


class UNet(nn.Module):
    """Predicts eps (or v) of a noisy latent."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__()
        self.model_channels = spec.model_channels
        emb_dim = 4 * spec.model_channels
        self.time_embed = nn.Sequential(
            nn.Linear(spec.model_channels, emb_dim), nn.SiLU(), nn.Linear(emb_dim, emb_dim)
        )
        if spec.pooled_context:
            self.context_embed = nn.Sequential(
                nn.Linear(spec.context_dim, emb_dim), nn.SiLU(), nn.Linear(emb_dim, emb_dim)
            )

        def layers(in_channels: int, channels: int, factor: int) -> list[nn.Module]:
            row: list[nn.Module] = [ResBlock(in_channels, channels, emb_dim)]
            if factor in spec.attention_resolutions:
                row.append(transformer(channels))
            return row

        def transformer(channels: int) -> SpatialTransformer:
            heads = spec.num_heads or channels // (spec.num_head_channels or channels)
            return SpatialTransformer(channels, spec.context_dim, heads, spec.transformer_depth)

        widths = [mult * spec.model_channels for mult in spec.channel_mult]
        last = len(widths) - 1
        channels = spec.model_channels
        skips = [channels]
        self.input_blocks = nn.ModuleList([Block([nn.Conv2d(spec.in_channels, channels, 3, padding=1)])])
        for level, width in enumerate(widths):
            for _ in range(spec.num_res_blocks):
                self.input_blocks.append(Block(layers(channels, width, 2**level)))
                channels = width
                skips.append(channels)
            if level != last:
                self.input_blocks.append(Block([Downsample(channels)]))
                skips.append(channels)

        self.middle_block = Block(
            [
                ResBlock(channels, channels, emb_dim),
                transformer(channels),
                ResBlock(channels, channels, emb_dim),
            ]
        )

        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for i in range(spec.num_res_blocks + 1):
                row = layers(channels + skips.pop(), width, 2**level)
                channels = width
                if level and i == spec.num_res_blocks:
                    row.append(Upsample(channels))
                self.output_blocks.append(Block(row))

        self.out = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), _zero(nn.Conv2d(channels, spec.out_channels, 3, padding=1))
        )

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """x (b, c, h, w), t (b,) 0 .. T - 1, context (b, n, context_dim) -> (b, out_channels, h, w)."""
        emb = self.time_embed(timestep_embedding(t, self.model_channels).to(x.dtype))
        if hasattr(self, "context_embed"):
            emb = emb + self.context_embed(context.mean(dim=1))
        h, skips = x, []
        for block in self.input_blocks:
            h = block(h, emb, context)
            skips.append(h)
        h = self.middle_block(h, emb, context)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), emb, context)
        return self.out(h)
