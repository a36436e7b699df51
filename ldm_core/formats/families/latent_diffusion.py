"""The paper's models: how each published one is told apart, and what its tensors do not tell.

Shapes tell nearly everything.  What they cannot tell (attention heads, scale of the latent) is known for the
published models, which come as a bare `model.ckpt`; those trained here have a `config.yaml`.
Hyperparameters: github.com/CompVis/latent-diffusion, models/ and configs/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldm_core.conditioners import CONDITIONERS, Conditioner, LayoutSpec
from ldm_core.errors import ConfigError
from ldm_core.facts import Weights
from ldm_core.formats import shapes
from ldm_core.formats.diffusers_folder import open_folder
from ldm_core.formats.family import Family
from ldm_core.formats.renaming import unchanged
from ldm_core.formats.shapes import HOW
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import ScheduleSpec, UNetSpec


@dataclass(frozen=True, slots=True)
class Published:
    """A published model.

    conditioner: what its network is, where another one has the same tensors.
    """

    title: str
    unet: UNetSpec
    schedule: ScheduleSpec
    scale_factor: float = 1.0
    conditioner: type[Conditioner] | None = None

    @property
    def shapes(self) -> UNetSpec:
        """What shapes tell of the UNet: all but the heads."""
        return replace(self.unet, num_heads=None, num_head_channels=None)


def _unet(
    channels: tuple[int, int],
    model_channels: int,
    channel_mult: tuple[int, ...],
    attention_resolutions: tuple[int, ...],
    *,
    heads: int | None = None,
    head_channels: int | None = None,
    context_dim: int = 0,
    depth: int = 1,
    resblock_updown: bool = False,
    scale_shift: bool = False,
) -> UNetSpec:
    return UNetSpec(
        in_channels=channels[0],
        out_channels=channels[1],
        model_channels=model_channels,
        channel_mult=channel_mult,
        num_res_blocks=2,
        attention_resolutions=attention_resolutions,
        context_dim=context_dim,
        transformer_depth=depth,
        num_heads=heads,
        num_head_channels=head_channels,
        resblock_updown=resblock_updown,
        use_scale_shift_norm=scale_shift,
    )


def _schedule(start: float, end: float) -> ScheduleSpec:
    return ScheduleSpec(num_timesteps=1000, linear_start=start, linear_end=end)


PUBLISHED: tuple[Published, ...] = (
    Published(
        "unconditional 256 x 256 (CelebA-HQ, FFHQ, LSUN-Bedrooms)",
        _unet((3, 3), 224, (1, 2, 3, 4), (2, 4, 8), head_channels=32),
        _schedule(0.0015, 0.0195),
    ),
    Published(
        "unconditional 256 x 256 (LSUN-Churches)",
        _unet((4, 4), 192, (1, 2, 2, 4, 4), (1, 2, 4, 8), heads=8, resblock_updown=True, scale_shift=True),
        _schedule(0.0015, 0.0155),
    ),
    Published(
        "class-conditional ImageNet, f = 8",
        _unet((4, 4), 256, (1, 2, 4), (1, 2, 4), head_channels=32, context_dim=512),
        _schedule(0.0015, 0.0195),
    ),
    Published(
        "class-conditional ImageNet, f = 4",
        _unet((3, 3), 192, (1, 2, 3, 5), (2, 4, 8), heads=1, context_dim=512),
        _schedule(0.0015, 0.0195),
    ),
    Published(
        "text to image, f = 4",
        _unet((3, 3), 192, (1, 2, 3, 5), (2, 4, 8), head_channels=32, context_dim=640),
        _schedule(0.0015, 0.0195),
    ),
    Published(
        "text to image (LAION-400M, 1.45 billion parameters)",
        _unet((4, 4), 320, (1, 2, 4, 4), (1, 2, 4), heads=8, context_dim=1280),
        _schedule(0.00085, 0.012),
        scale_factor=0.18215,
    ),
    Published(
        "layout to image (Open Images)",
        _unet((3, 3), 128, (1, 2, 3, 4), (2, 4, 8), head_channels=32, context_dim=512, depth=3),
        _schedule(0.0015, 0.0205),
        conditioner=LayoutSpec,
    ),
    Published(
        "semantic synthesis (Landscapes, 256 and 512)",
        # The configurations ask for attention at factors 8, 16 and 32; there are three levels only.
        _unet((6, 3), 128, (1, 4, 8), (), heads=8),
        _schedule(0.0015, 0.0205),
    ),
    Published(
        "super-resolution (BSR)",
        _unet((6, 3), 160, (1, 2, 2, 4), (8,), head_channels=32),
        _schedule(0.0015, 0.0155),
    ),
    Published(
        "inpainting (large)",
        _unet((7, 3), 256, (1, 2, 3, 4), (2, 4, 8), heads=8, resblock_updown=True),
        _schedule(0.0015, 0.0205),
    ),
)

# A text encoder's tensor -> what has it.
_TITLES: tuple[tuple[str, str], ...] = (
    ("cond_stage_model.transformer.token_emb.weight", "latent diffusion, from text"),
    ("cond_stage_model.embedding.weight", "latent diffusion, from classes"),
)


def _recognise(weights: Weights) -> str:
    if not shapes.is_whole(weights):
        return ""
    return next((title for name, title in _TITLES if name in weights), "latent diffusion")


def _describe(weights: Weights) -> ModelSpec:
    autoencoder, unet, conditioners = shapes.networks(weights)
    known = next((published for published in PUBLISHED if published.shapes == unet), None)
    if known is None:
        raise ConfigError(
            "The number of attention heads cannot be told from the weights, and this is none of the "
            f"published models. {HOW}"
        )
    if known.conditioner is not None:
        kinds = [known.conditioner, *CONDITIONERS]
        conditioners = shapes.conditioners(weights, autoencoder, unet, kinds)
    return ModelSpec(
        first_stage=autoencoder,
        unet=known.unet,
        conditioners=conditioners,
        schedule=shapes.schedule(weights) or known.schedule,
        parameterization="eps",
        scale_factor=shapes.scale_factor(weights) or known.scale_factor,
    )


LATENT_DIFFUSION = Family(
    "latent diffusion",
    _recognise,
    unchanged,
    _describe,
    pipelines={
        "LDMTextToImagePipeline": "latent diffusion, from text",
        "LDMSuperResolutionPipeline": "latent diffusion, super-resolution",
        "LDMPipeline": "latent diffusion, unconditional",
    },
    open_folder=open_folder,
)
