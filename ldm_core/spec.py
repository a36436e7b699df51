"""What a latent diffusion model is made of, as plain data.  Imports no network and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Parameterization = Literal["eps", "v", "x0", "edm"]
# How a sampler's timesteps lie, see `schedule.timesteps`.
Spacing = Literal["trailing", "uniform", "linspace", "quadratic", "karras", "lcm"]
ScheduleKind = Literal["scaled_linear", "linear", "cosine", "edm"]
# What stands in the middle of a UNet: residual blocks around attention, one residual block, or nothing.
Middle = Literal["attention", "residual", "none"]


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
    """The UNet (paper, section 3.2 and 3.3), with cross-attention where it is given a context.

    One of the two head fields is set; where both are, `num_head_channels` counts.
    """

    in_channels: int  # of the noisy latent and of what is concatenated to it
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    attention_resolutions: tuple[int, ...]  # downsampling factors at which attention stands
    context_dim: int = 0  # 0: plain self-attention, no context
    transformer_depth: int | tuple[int, ...] = 1  # of all levels, or each; the last is the middle's too
    # Of each residual block on the way down and up, where a level's are not alike; the middle's is the above.
    input_depths: tuple[int, ...] = ()
    output_depths: tuple[int, ...] = ()
    middle: Middle = "attention"
    num_heads: int | None = None
    num_head_channels: int | None = None
    resblock_updown: bool = False  # residual blocks change the size, not single convolutions
    use_scale_shift_norm: bool = False  # the embedding of t scales and shifts, rather than being added
    # Our extension: the mean of the context is added to the embedding of t, as the later models of the
    # family do with a pooled prompt, so that every layer is conditioned on the whole prompt.
    pooled_context: bool = False
    linear_projection: bool = False  # into and out of a transformer; else a 1x1 convolution
    cross_only: tuple[int, ...] = ()  # downsampling factors at which tokens never attend to each other
    # What joins the embedding of t (`Cond.vector`): a vector of so many numbers, or a noise level.
    vector_dim: int = 0
    num_noise_levels: int = 0
    # Numbers that the guidance scale becomes, where the network was trained to guide itself (section 4.1,
    # arXiv:2310.04378); they stand at the end of `Cond.vector`.
    guidance_dim: int = 0
    # Our extension, as in `AutoencoderSpec`: space to depth before the first convolution, and back.
    patch_size: int = 1

    @property
    def downsampling(self) -> int:
        """The latent's height and width have to be multiples of this."""
        return self.patch_size * 2 ** (len(self.channel_mult) - 1)

    def depth(self, level: int) -> int:
        """Transformer blocks in a row at a level, counted from the highest resolution."""
        depth = self.transformer_depth
        return depth if isinstance(depth, int) else depth[level]

    def block_depth(self, depths: tuple[int, ...], i: int, level: int) -> int:
        """The same behind residual block `i` of the way that has `depths`; 0: no attention stands there."""
        if depths:
            return depths[i]
        return self.depth(level) if 2**level in self.attention_resolutions else 0

    def heads(self, channels: int) -> int:
        """Attention heads of a level of so many channels."""
        return channels // self.num_head_channels if self.num_head_channels else self.num_heads or 1


class DenoiserSpec(Protocol):
    """What is asked of a denoiser's description, whatever its network: `UNetSpec`, or a family's own.

    in_channels, out_channels: of the network, with what is concatenated to the latent.
    context_dim: of the tokens that it attends to; 0 without cross-attention.
    vector_dim, num_noise_levels: what joins the embedding of t (`Cond.vector`); 0 without.
    patch_size, downsampling: the latent's height and width have to be multiples of them.
    """

    @property
    def in_channels(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def context_dim(self) -> int: ...
    @property
    def vector_dim(self) -> int: ...
    @property
    def num_noise_levels(self) -> int: ...
    @property
    def patch_size(self) -> int: ...
    @property
    def downsampling(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ClipTower:
    """CLIP's text transformer (arXiv:2103.00020), trained before the diffusion model and kept as it was.

    OpenAI's and OpenCLIP's (`open_clip`) differ in the activation and in what prompts are padded with.
    `projection_dim`: of the pooled prompt; 0 where that is not used.
    """

    dim: int
    depth: int
    heads: int
    hidden_dim: int  # of the feed-forward layers
    vocab_size: int
    max_length: int
    open_clip: bool
    projection_dim: int = 0


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """Noise schedule.

    `kind` says what is linear from `linear_start` to `linear_end`: the square roots of the betas (the
    published models' "linear"), or the betas themselves.  "cosine" looks at neither.

    "edm": it is the logarithm of sigma that is linear, from sigma = linear_start to linear_end, for data of
    standard deviation `sigma_data`, and the network takes ln(sigma) / 4 rather than t (arXiv:2206.00364).
    """

    num_timesteps: int
    linear_start: float
    linear_end: float
    kind: ScheduleKind = "scaled_linear"
    betas: tuple[float, ...] = ()  # given ones, `num_timesteps` of them, instead of a kind
    sigma_data: float = 1.0
    zero_terminal_snr: bool = False  # rescaled, so that nothing of x_0 is left in the last timestep


@dataclass(frozen=True, slots=True)
class RefinerSpec:
    """Ours.  A second UNet, an expert of the timesteps under `below` (arXiv:2211.01324).

    It takes and gives what the first one does.
    """

    unet: UNetSpec
    below: int


TaskName = Literal[
    "text-to-image",
    "class",
    "layout",
    "semantic",
    "super-resolution",
    "inpaint",
    "unconditional",
    "image-to-image",
]


@dataclass(frozen=True, slots=True)
class Defaults:
    """How a model is asked for a picture where nobody says otherwise (`atelier:` in its description).

    width, height: pixels.
    guidance_end: share of the steps after which guidance is left out.
    sampler, eta: as of a request.
    reason: why these, where they are unusual, for a person; empty where they are usual.
    first_stage: folder beside the model's own that holds its first stage, where several models share one.
    """

    title: str = ""
    description: str = ""
    licence: str = ""
    width: int = 256
    height: int = 256
    steps: int = 30
    guidance_scale: float = 2.5
    guidance_end: float = 1.0
    spacing: Spacing = "trailing"
    sampler: str = "ddim"
    eta: float = 0.0
    reason: str = ""
    first_stage: str = ""
