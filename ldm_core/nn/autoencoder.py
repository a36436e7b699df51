"""The first stages: KL-regularized and VQ-regularized autoencoders (paper, section 3.1; Appendix G)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.nn.attention import attend
from ldm_core.nn.quantizer import VectorQuantizer
from ldm_core.nn.upsample import Upsample
from ldm_core.spec import AutoencoderSpec

Norm = Callable[[nn.GroupNorm, Tensor], Tensor]  # how a layer normalizes what it is given


def plain_norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """By the statistics of x itself; a tile of a picture has others than the whole."""
    return norm(x)


def through(layers: Sequence[nn.Module], h: Tensor, norm: Norm = plain_norm) -> Tensor:
    """What layers that follow each other make of h."""
    for layer in layers:
        if isinstance(layer, ResnetBlock | AttnBlock):
            h = layer(h, norm)
        elif isinstance(layer, nn.GroupNorm):
            h = F.silu(norm(layer, h))
        else:
            h = layer(h)
    return h


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResnetBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = _norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = _norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, norm: Norm = plain_norm) -> Tensor:
        h = self.conv1(F.silu(norm(self.norm1, x)))
        h = self.conv2(F.silu(norm(self.norm2, h)))
        shortcut: Tensor = self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x
        return shortcut + h


class AttnBlock(nn.Module):
    """Single-head self-attention over the positions of a feature map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, norm: Norm = plain_norm) -> Tensor:
        normed = norm(self.norm, x)
        q, k, v = (
            conv(normed).flatten(2).transpose(1, 2)[:, None].contiguous()  # (b, 1, h * w, c)
            for conv in (self.q, self.k, self.v)
        )
        h = attend(q, k, v)[:, 0].transpose(1, 2).reshape(x.shape)  # (b, c, h, w)
        return x + self.proj_out(h)


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        # The published weights were trained with padding on the right and the bottom alone.
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    """Residual blocks, each followed by attention where `attn` is not empty, and a change of size."""

    def __init__(self, in_channels: int, channels: int, num_blocks: int, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResnetBlock(in_channels if i == 0 else channels, channels) for i in range(num_blocks)
        )
        self.attn = nn.ModuleList(AttnBlock(channels) for _ in range(num_blocks if attention else 0))
        self.downsample: Downsample | None = None
        self.upsample: Upsample | None = None

    def layers(self) -> Iterator[nn.Module]:
        for i, block in enumerate(self.block):
            yield block
            yield from self.attn[i : i + 1]
        yield from (resampling for resampling in (self.downsample, self.upsample) if resampling is not None)


class Middle(nn.Module):
    def __init__(self, channels: int, attention: bool) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels) if attention else nn.Identity()
        self.block_2 = ResnetBlock(channels, channels)

    def layers(self) -> tuple[nn.Module, ...]:
        return self.block_1, self.attn_1, self.block_2


def _levels(spec: AutoencoderSpec) -> list[tuple[int, bool]]:
    """(width, has attention) of each resolution, highest first."""
    start = spec.resolution // spec.patch_size
    return [
        (mult * spec.channels, spec.attention and start // 2**i in spec.attn_resolutions)
        for i, mult in enumerate(spec.channel_mult)
    ]


def _layers(levels: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for level in levels:
        assert isinstance(level, Level)
        yield from level.layers()


class Encoder(nn.Module):
    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__()
        self.patch_size = spec.patch_size
        self.conv_in = nn.Conv2d(spec.in_channels * spec.patch_size**2, spec.channels, 3, padding=1)
        channels = spec.channels
        levels = _levels(spec)
        self.down = nn.ModuleList()
        for i, (width, attention) in enumerate(levels):
            level = Level(channels, width, spec.num_res_blocks, attention)
            channels = width
            if i < len(levels) - 1:
                level.downsample = Downsample(channels)
            self.down.append(level)
        self.mid = Middle(channels, spec.attention)
        self.norm_out = _norm(channels)
        out_channels = spec.z_channels if spec.n_embed else 2 * spec.z_channels  # mean and log-variance
        self.conv_out = nn.Conv2d(channels, out_channels, 3, padding=1)

    def layers(self) -> list[nn.Module]:
        """What a picture goes through, one after the other."""
        patches = nn.PixelUnshuffle(self.patch_size)
        return [patches, self.conv_in, *_layers(self.down), *self.mid.layers(), self.norm_out, self.conv_out]

    def forward(self, x: Tensor) -> Tensor:
        return through(self.layers(), x)


class Decoder(nn.Module):
    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__()
        self.patch_size = spec.patch_size
        levels = _levels(spec)
        channels = levels[-1][0]
        self.conv_in = nn.Conv2d(spec.z_channels, channels, 3, padding=1)
        self.mid = Middle(channels, spec.attention)
        lowest_first: list[nn.Module] = []
        for i, (width, attention) in reversed(list(enumerate(levels))):
            level = Level(channels, width, spec.num_res_blocks + 1, attention)
            channels = width
            if i > 0:
                level.upsample = Upsample(channels)
            lowest_first.append(level)
        self.up = nn.ModuleList(reversed(lowest_first))  # the published keys count from the highest
        self.norm_out = _norm(channels)
        self.conv_out = nn.Conv2d(channels, spec.out_channels * spec.patch_size**2, 3, padding=1)

    def layers(self) -> list[nn.Module]:
        """What a latent goes through, one after the other."""
        patches = nn.PixelShuffle(self.patch_size)
        return [
            self.conv_in,
            *self.mid.layers(),
            *_layers(reversed(self.up)),
            self.norm_out,
            self.conv_out,
            patches,
        ]

    def forward(self, z: Tensor) -> Tensor:
        return through(self.layers(), z)


@dataclass(frozen=True, slots=True)
class Posterior:
    """q(z | x) = N(mean, exp(logvar)), each (b, c, h, w)."""

    mean: Tensor
    logvar: Tensor

    def sample(self) -> Tensor:
        return self.mean + torch.exp(0.5 * self.logvar) * torch.randn_like(self.mean)

    def kl(self) -> Tensor:
        """KL divergence from the standard normal, summed over a latent, mean over the batch; nats."""
        per_element = 0.5 * (self.mean**2 + self.logvar.exp() - 1.0 - self.logvar)
        return per_element.flatten(1).sum(1).mean()


class FirstStage(nn.Module, ABC):
    """Maps pictures in [-1, 1] to a latent f times smaller and back."""

    quant_conv: nn.Conv2d

    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = Encoder(spec)
        self.decoder = Decoder(spec)
        self.post_quant_conv = nn.Conv2d(spec.embed_dim, spec.z_channels, 1)

    def latent(self, image: Tensor) -> Tensor:
        """(b, 3, H, W) in [-1, 1] -> (b, embed_dim, H / f, W / f), what diffusion models work on."""
        return self.after_encoder(self.encoder(image))

    def decode(self, z: Tensor) -> Tensor:
        """(b, embed_dim, h, w) -> (b, 3, f h, f w), about [-1, 1]."""
        return self.decoder(self.before_decoder(z))

    @abstractmethod
    def after_encoder(self, h: Tensor) -> Tensor:
        """What the encoder says -> the latent, cell by cell."""

    @abstractmethod
    def before_decoder(self, z: Tensor) -> Tensor:
        """The latent -> what the decoder takes, cell by cell."""


class AutoencoderKL(FirstStage):
    """The latent is a sample of a normal distribution, drawn to the standard one by a small KL penalty."""

    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__(spec)
        self.quant_conv = nn.Conv2d(2 * spec.z_channels, 2 * spec.embed_dim, 1)

    def encode(self, image: Tensor) -> Posterior:
        """(b, 3, H, W) in [-1, 1] -> posterior over (b, embed_dim, H / f, W / f)."""
        mean, logvar = self.quant_conv(self.encoder(image)).chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(-30.0, 20.0))

    def after_encoder(self, h: Tensor) -> Tensor:
        """The posterior's mean."""
        return self.quant_conv(h).chunk(2, dim=1)[0]

    def before_decoder(self, z: Tensor) -> Tensor:
        return self.post_quant_conv(z)


class AutoencoderVQ(FirstStage):
    """The decoder's first layer replaces the latent by entries of a codebook."""

    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__(spec)
        self.quantize = VectorQuantizer(spec.n_embed, spec.embed_dim)
        self.quant_conv = nn.Conv2d(spec.z_channels, spec.embed_dim, 1)

    def encode(self, image: Tensor) -> Tensor:
        """(b, 3, H, W) in [-1, 1] -> (b, embed_dim, H / f, W / f) before quantization."""
        return self.latent(image)

    def after_encoder(self, h: Tensor) -> Tensor:
        return self.quant_conv(h)

    def before_decoder(self, z: Tensor) -> Tensor:
        """Quantizes."""
        return self.post_quant_conv(self.quantize.lookup(self.quantize.nearest(z)))

    def decode_quantized(self, z: Tensor) -> Tensor:
        """(b, embed_dim, h, w) codebook entries -> (b, 3, f h, f w); training has the entries already."""
        return self.decoder(self.post_quant_conv(z))


def first_stage(spec: AutoencoderSpec) -> AutoencoderKL | AutoencoderVQ:
    """The autoencoder that a description means, with fresh weights."""
    return AutoencoderVQ(spec) if spec.n_embed else AutoencoderKL(spec)
