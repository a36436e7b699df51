"""What a latent diffusion model is made of, as plain data.  Imports no network and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Parameterization = Literal["eps", "v", "x0"]
# How a sampler's timesteps lie, see `schedule.timesteps`.
Spacing = Literal["trailing", "uniform", "quadratic", "karras"]
ScheduleKind = Literal["scaled_linear", "linear", "cosine"]


@dataclass(frozen=True, slots=True)
class AutoencoderSpec:
    """First stage, KL- or VQ-regularized (paper, section 3.1 and Appendix G).

    `patch_size` is our extension of the published architecture: a space-to-depth stem, so that no
    convolution runs at full resolution.  1 is the published architecture.
    """

    in_channels: int
    out_channels: int
    channels: int  # width at the highest resolution ("ch")
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    attn_resolutions: tuple[int, ...]
    resolution: int  # the training resolution that attn_resolutions refer to
    z_channels: int
    embed_dim: int
    patch_size: int = 1
    attention: bool = True  # False: none at all, also not in the middle ("attn_type: none")
    n_embed: int = 0  # entries of the codebook; 0: KL-regularized

    @property
    def downsampling(self) -> int:
        """The factor f between picture and latent."""
        return self.patch_size * 2 ** (len(self.channel_mult) - 1)


@dataclass(frozen=True, slots=True)
class UNetSpec:
    """UNet with cross-attention (paper, section 3.3).  Exactly one of the two head fields is set."""

    in_channels: int
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    attention_resolutions: tuple[int, ...]  # downsampling factors at which attention stands
    context_dim: int
    transformer_depth: int = 1
    num_heads: int | None = None
    num_head_channels: int | None = None
    # Our extension: the mean of the context is added to the embedding of t, as the later models of the
    # family do with a pooled prompt, so that every layer is told of the prompt as a whole.
    pooled_context: bool = False

    @property
    def downsampling(self) -> int:
        """The latent's height and width have to be multiples of this."""
        return 2 ** (len(self.channel_mult) - 1)


@dataclass(frozen=True, slots=True)
class TextSpec:
    """Text transformer on BERT-style token ids (paper, Appendix E.2)."""

    dim: int
    depth: int
    vocab_size: int
    max_length: int


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """Noise schedule.

    `kind` says what is linear from `linear_start` to `linear_end`: the square roots of the betas (the
    published models' "linear"), or the betas themselves.  "cosine" looks at neither.
    """

    num_timesteps: int
    linear_start: float
    linear_end: float
    kind: ScheduleKind = "scaled_linear"
    betas: tuple[float, ...] = ()  # given ones, `num_timesteps` of them, instead of a kind
    zero_terminal_snr: bool = False  # rescaled, so that nothing of x_0 is left in the last timestep


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A whole latent diffusion model.  `scale_factor` multiplies the first stage's latent."""

    first_stage: AutoencoderSpec
    unet: UNetSpec
    text: TextSpec
    schedule: ScheduleSpec
    parameterization: Parameterization
    scale_factor: float

    @property
    def size_multiple(self) -> int:
        """A picture's width and height have to be multiples of this, in pixels."""
        return self.first_stage.downsampling * self.unet.downsampling
