"""The family that grew from the paper's models: Stable Diffusion 1, 2 and XL, and what belongs to them.

Those for inpainting, XL's refiner and the x4 upscaler are among them.

Hyperparameters: github.com/CompVis/stable-diffusion, configs/; github.com/Stability-AI/stablediffusion,
configs/; github.com/Stability-AI/generative-models, configs/inference/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldm_core.conditioners import ClipSpec
from ldm_core.conditioners.clip import EMBEDDERS
from ldm_core.conditioners.low_resolution import UPSCALER_SCHEDULE
from ldm_core.errors import ConfigError
from ldm_core.facts import Weights
from ldm_core.formats import shapes
from ldm_core.formats.clip_names import published_recipes
from ldm_core.formats.diffusers_folder import open_folder
from ldm_core.formats.family import Family
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import Parameterization, ScheduleSpec, UNetSpec

SCHEDULE = ScheduleSpec(num_timesteps=1000, linear_start=0.00085, linear_end=0.012)


@dataclass(frozen=True, slots=True)
class Facts:
    """What shapes do not tell.  `parameterization` None: eps and v look the same."""

    parameterization: Parameterization | None
    scale_factor: float = 0.18215
    schedule: ScheduleSpec = SCHEDULE
    num_heads: int | None = None
    num_head_channels: int | None = None


# A text encoder's tensor -> what has it.  The first that fits counts.
_TITLES: tuple[tuple[str, str], ...] = (
    ("conditioner.embedders.1.model.ln_final.weight", "Stable Diffusion XL"),
    ("conditioner.embedders.0.model.ln_final.weight", "Stable Diffusion XL refiner"),
    ("cond_stage_model.transformer.text_model.final_layer_norm.weight", "Stable Diffusion 1"),
    ("cond_stage_model.model.ln_final.weight", "Stable Diffusion 2"),
)
_VARIANTS = {9: " inpainting", 8: " edit", 7: " x4 upscaler", 5: " depth"}  # by channels that go in


def _recognise(weights: Weights) -> str:
    if not shapes.is_whole(weights) or not any(n.startswith(EMBEDDERS) for n in published_recipes(weights)):
        return ""
    title = next((title for name, title in _TITLES if name in weights), "Stable Diffusion")
    return title + _VARIANTS.get(shapes.channels_in(weights), "")


def _describe(weights: Weights) -> ModelSpec:
    """Raises ConfigError: whether it predicts eps or v cannot be told, or it takes what cannot be given."""
    first_stage, unet, conditioners = shapes.networks(weights)
    text = next((c for c in conditioners if isinstance(c, ClipSpec)), None)
    if text is None:
        raise shapes.unknown()
    facts = _facts(weights, unet, text)
    if facts.parameterization is None:
        raise ConfigError(
            "Stable Diffusion 2 predicts eps or v, which its weights do not tell. Put the model's "
            "config.yaml beside the file; its line `parameterization: v` is what counts."
        )
    return ModelSpec(
        first_stage=first_stage,
        unet=replace(unet, num_heads=facts.num_heads, num_head_channels=facts.num_head_channels),
        conditioners=conditioners,
        schedule=facts.schedule,
        parameterization=facts.parameterization,
        scale_factor=facts.scale_factor,
    )


def _facts(weights: Weights, unet: UNetSpec, text: ClipSpec) -> Facts:
    if unet.num_noise_levels:
        return Facts("v", 0.08333, UPSCALER_SCHEDULE, num_heads=8)
    if text.num_sizes:
        # Marks that those who trained XL further put among the weights.
        v = "v_pred" in weights
        schedule = replace(SCHEDULE, zero_terminal_snr=v and "ztsnr" in weights)
        return Facts("v" if v else "eps", 0.13025, schedule, num_head_channels=64)
    if not text.towers[0].open_clip:
        return Facts("eps", num_heads=8)
    known: Parameterization | None = "eps" if unet.in_channels == 9 else None
    return Facts(known, num_head_channels=64)


STABLE_DIFFUSION = Family(
    "Stable Diffusion",
    _recognise,
    published_recipes,
    _describe,
    pipelines={
        "StableDiffusionPipeline": "Stable Diffusion",
        "StableDiffusionImg2ImgPipeline": "Stable Diffusion",
        "StableDiffusionInpaintPipeline": "Stable Diffusion inpainting",
        "StableDiffusionUpscalePipeline": "Stable Diffusion x4 upscaler",
        "StableDiffusionXLPipeline": "Stable Diffusion XL",
        "StableDiffusionXLImg2ImgPipeline": "Stable Diffusion XL refiner",
        "StableDiffusionXLInpaintPipeline": "Stable Diffusion XL inpainting",
    },
    open_folder=open_folder,
)
