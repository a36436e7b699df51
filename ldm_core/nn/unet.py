"""The time-conditional UNet (paper, section 3.2 and 3.3; Appendix E.2)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ldm_core.nn.attention import AttentionBlock, SpatialTransformer
from ldm_core.nn.coupling import Coupling
from ldm_core.nn.residuals import Residuals
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


def guidance_embedding(scale: float, dim: int) -> Tensor:
    """A guidance scale -> (1, dim) sinusoids, sines first, as guidance-distilled networks take it.

    Section 4.1, arXiv:2310.04378, where w = scale - 1.
    """
    half = dim // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32) / (half - 1))
    angles = 1000 * (scale - 1) * frequencies[None]
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    """Starts a residual branch as the identity."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


Resize = Literal["keep", "half", "double"]


class ResBlock(nn.Module):
    """Two convolutions; the embedding of t is added between them, or scales and shifts there.

    Where the block changes the size, it does so before the first convolution, and on the shortcut.
    """

    def __init__(
        self, in_channels: int, out_channels: int, emb_dim: int, *, scale_shift: bool, resize: Resize = "keep"
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.resize = resize
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_dim, (1 + scale_shift) * out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_channels),
            nn.SiLU(),
            nn.Identity(),  # the published blocks' dropout, which is 0
            _zero(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(
        self, x: Tensor, emb: Tensor, coupling: Coupling | None = None
    ) -> Tensor:  # (b, c, h, w), (b, emb_dim)
        norm, activation, conv = self.in_layers
        h = conv(self._resized(activation(norm(x))))
        emb = self.emb_layers(emb)[:, :, None, None]
        if coupling is not None and coupling.embeddings is not None:
            emb = coupling.at(*h.shape[2:]).spread(emb, self.emb_layers(coupling.embeddings))
        if self.scale_shift:
            norm, *rest = self.out_layers
            scale, shift = emb.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
            for layer in rest:
                h = layer(h)
        else:
            h = self.out_layers(h + emb)
        return self.skip_connection(self._resized(x)) + h

    def _resized(self, x: Tensor) -> Tensor:
        match self.resize:
            case "keep":
                return x
            case "half":
                return F.avg_pool2d(x, 2)
            case "double":
                return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Block(nn.ModuleList):
    """A row of layers, each given what it takes."""

    def forward(
        self, x: Tensor, emb: Tensor, context: Tensor | None, coupling: Coupling | None = None
    ) -> Tensor:
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb, coupling)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context, coupling)
            else:
                x = layer(x)
        return x


class _Layers:
    """Makes the layers of a UNet's blocks."""

    def __init__(self, spec: UNetSpec) -> None:
        self.spec = spec
        self.emb_dim = 4 * spec.model_channels

    def residual(self, in_channels: int, channels: int, resize: Resize = "keep") -> ResBlock:
        return ResBlock(
            in_channels, channels, self.emb_dim, scale_shift=self.spec.use_scale_shift_norm, resize=resize
        )

    def attention(self, channels: int, depth: int, *, cross_only: bool = False) -> nn.Module:
        spec, heads = self.spec, self.spec.heads(channels)
        if not spec.context_dim:
            return AttentionBlock(channels, heads)
        return SpatialTransformer(
            channels,
            spec.context_dim,
            heads,
            depth,
            linear=spec.linear_projection,
            cross_only=cross_only,
        )

    def row(self, in_channels: int, channels: int, level: int, depth: int) -> list[nn.Module]:
        """A residual block, with attention behind it unless its `depth` is 0."""
        first = self.residual(in_channels, channels)
        if not depth:
            return [first]
        return [first, self.attention(channels, depth, cross_only=2**level in self.spec.cross_only)]

    def middle(self, channels: int) -> list[nn.Module]:
        """What stands between the way down and the way up."""
        if self.spec.middle == "none":
            return []
        first = self.residual(channels, channels)
        if self.spec.middle == "residual":
            return [first]
        depth = self.spec.depth(len(self.spec.channel_mult) - 1)
        return [first, self.attention(channels, depth), self.residual(channels, channels)]

    def half(self, channels: int) -> nn.Module:
        return (
            self.residual(channels, channels, "half") if self.spec.resblock_updown else Downsample(channels)
        )

    def double(self, channels: int) -> nn.Module:
        return (
            self.residual(channels, channels, "double") if self.spec.resblock_updown else Upsample(channels)
        )


class Encoder(nn.Module):
    """The half of the UNet down to its middle block."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__()
        self.model_channels, self.patch_size = spec.model_channels, spec.patch_size
        self.checkpointing = False  # training: a block's activations are computed again, not kept
        emb_dim = 4 * spec.model_channels
        self.time_embed = nn.Sequential(
            nn.Linear(spec.model_channels, emb_dim), nn.SiLU(), nn.Linear(emb_dim, emb_dim)
        )
        if spec.pooled_context:
            self.context_embed = nn.Sequential(
                nn.Linear(spec.context_dim, emb_dim), nn.SiLU(), nn.Linear(emb_dim, emb_dim)
            )
        if spec.vector_dim:
            self.label_emb: nn.Module = nn.Sequential(
                nn.Sequential(nn.Linear(spec.vector_dim, emb_dim), nn.SiLU(), nn.Linear(emb_dim, emb_dim))
            )
        elif spec.num_noise_levels:
            self.label_emb = nn.Embedding(spec.num_noise_levels, emb_dim)
        self.vector_dim = spec.vector_dim or spec.num_noise_levels
        if spec.guidance_dim:
            self.guidance_embed = nn.Linear(spec.guidance_dim, spec.model_channels, bias=False)

        make = _Layers(spec)
        channels = spec.model_channels
        in_channels = spec.in_channels * spec.patch_size**2
        self.widths = [channels]  # channels that come out of each input block
        self.input_blocks = nn.ModuleList([Block([nn.Conv2d(in_channels, channels, 3, padding=1)])])
        last = len(spec.channel_mult) - 1
        for level, mult in enumerate(spec.channel_mult):
            for i in range(spec.num_res_blocks):
                depth = spec.block_depth(spec.input_depths, level * spec.num_res_blocks + i, level)
                self.input_blocks.append(Block(make.row(channels, mult * spec.model_channels, level, depth)))
                channels = mult * spec.model_channels
                self.widths.append(channels)
            if level != last:
                self.input_blocks.append(Block([make.half(channels)]))
                self.widths.append(channels)
        self.middle_block = Block(make.middle(channels))

    def embedding(
        self, t: Tensor, context: Tensor | None, vector: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        """(b, emb_dim), what every residual block takes: the embedding of t, and what is added to it."""
        waves = timestep_embedding(t, self.model_channels).to(dtype)
        if vector is not None:
            vector, guidance = vector[:, : self.vector_dim], vector[:, self.vector_dim :]
            if hasattr(self, "guidance_embed"):
                waves = waves + self.guidance_embed(guidance)
        emb = self.time_embed(waves)
        if context is not None and hasattr(self, "context_embed"):
            emb = emb + self.context_embed(context.mean(dim=1))
        if vector is not None and self.vector_dim:
            table = self.label_emb
            emb = emb + (vector @ table.weight if isinstance(table, nn.Embedding) else table(vector))
        return emb

    def _run(
        self,
        block: nn.Module,
        h: Tensor,
        emb: Tensor,
        context: Tensor | None,
        coupling: Coupling | None = None,
    ) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            kept: Tensor = checkpoint(block, h, emb, context, coupling, use_reentrant=False)
            return kept
        return block(h, emb, context, coupling)


class UNet(Encoder):
    """Predicts eps (or v) of a noisy latent."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__(spec)
        make, skips, channels = _Layers(spec), [*self.widths], self.widths[-1]
        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(spec.channel_mult))):
            for i in range(spec.num_res_blocks + 1):
                depth = spec.block_depth(spec.output_depths, len(self.output_blocks), level)
                row = make.row(channels + skips.pop(), mult * spec.model_channels, level, depth)
                channels = mult * spec.model_channels
                if level and i == spec.num_res_blocks:
                    row.append(make.double(channels))
                self.output_blocks.append(Block(row))
        self.out = nn.Sequential(
            nn.GroupNorm(32, channels),
            nn.SiLU(),
            _zero(nn.Conv2d(channels, spec.out_channels * spec.patch_size**2, 3, padding=1)),
        )

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor | None = None,
        vector: Tensor | None = None,
        residuals: Residuals | None = None,
        coupling: Coupling | None = None,
    ) -> Tensor:
        """The network's output, (b, out_channels, h, w).

        Args:
            x: (b, in_channels, h, w).
            t: (b,) 0 .. T - 1.
            context: (b, n, d).
            vector: (b, vector_dim), or (b, num_noise_levels) with 1 at the noise level and 0 elsewhere.
            residuals: what a control adds.
            coupling: other contexts in parts of the plane.
        """
        emb = self.embedding(t, context, vector, x.dtype)
        if coupling is not None and hasattr(self, "context_embed"):
            rows = coupling.rows
            whole = None if vector is None else vector[rows]
            others = self.embedding(t[rows], coupling.contexts, whole, x.dtype)
            coupling = replace(coupling, embeddings=others)
        h, skips = F.pixel_unshuffle(x, self.patch_size), []
        for i, block in enumerate(self.input_blocks):
            h = self._run(block, h, emb, context, coupling)
            if residuals is not None:
                h = residuals.after(i, h)
            skips.append(h)
        h = self._run(self.middle_block, h, emb, context, coupling)
        if residuals is not None:
            h, skips = residuals.beyond(h, skips)
        for block in self.output_blocks:
            h = self._run(block, torch.cat([h, skips.pop()], dim=1), emb, context, coupling)
        return F.pixel_shuffle(self.out(h), self.patch_size)
