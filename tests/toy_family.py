"""A family of models in one file: another denoiser than the UNet, 16 latent channels, names of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ldm_core.facts import Shapes, Weights
from ldm_core.formats import shapes
from ldm_core.formats.family import Family
from ldm_core.formats.renaming import Recipe, Recipes
from ldm_core.model_spec import ModelSpec
from ldm_core.nn.unet import timestep_embedding
from ldm_core.spec import AutoencoderSpec, Defaults, ScheduleSpec

_OURS = {"mixer.": shapes.UNET, "vae.": shapes.FIRST_STAGE}


@dataclass(frozen=True, slots=True)
class MixerSpec:
    """What is asked of any denoiser (`DenoiserSpec`), and `width`, of the embedding of t."""

    in_channels: int
    out_channels: int
    width: int
    context_dim: int = 0
    vector_dim: int = 0
    num_noise_levels: int = 0
    patch_size: int = 1
    downsampling: int = 1


class Mixer(nn.Module):
    """A convolution, and t added to what it gives."""

    def __init__(self, spec: MixerSpec) -> None:
        super().__init__()
        self.width = spec.width
        self.mix = nn.Conv2d(spec.in_channels, spec.out_channels, 3, padding=1)
        self.time = nn.Linear(self.width, spec.out_channels)

    def forward(
        self, x: Tensor, t: Tensor, context: Any = None, vector: Any = None, residuals: Any = None
    ) -> Tensor:
        emb: Tensor = self.time(timestep_embedding(t, self.width).to(x.dtype))
        return self.mix(x) + emb[..., None, None]


def _recognise(weights: Weights) -> str:
    return "Toy" if "mixer.mix.weight" in weights else ""


def _recipes(weights: Weights) -> Recipes:
    recipes = {}
    for name in weights:
        start = next((theirs for theirs in _OURS if name.startswith(theirs)), "")
        recipes[_OURS.get(start, "") + name.removeprefix(start)] = Recipe((name,))
    return recipes


def _describe(weights: Weights) -> ModelSpec:
    first_stage = shapes.first_stage(weights, shapes.FIRST_STAGE)
    out_channels, width = Shapes(weights, shapes.UNET).of("time.weight")
    return ModelSpec(
        first_stage=first_stage,
        unet=MixerSpec(out_channels, out_channels, width),
        conditioners=(),
        schedule=ScheduleSpec(1000, 0.00085, 0.012),
        parameterization="v",
        scale_factor=0.5,
    )


def _defaults(spec: ModelSpec | AutoencoderSpec) -> Defaults:
    return Defaults(width=64, height=64, steps=4, guidance_scale=1.0)


TOY = Family(
    "toy",
    _recognise,
    _recipes,
    _describe,
    defaults=_defaults,
    denoiser=Mixer,
    pipelines={"ToyPipeline": "Toy"},
)

FIRST_STAGE = AutoencoderSpec(3, 3, 32, (1, 1), 1, (), 256, z_channels=16, embed_dim=16)
UNET = MixerSpec(16, 16, 8)
