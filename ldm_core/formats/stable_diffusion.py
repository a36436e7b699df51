"""The family that grew from the paper's models, told by shapes: Stable Diffusion 1, 2 and XL.

Hyperparameters: github.com/CompVis/stable-diffusion, configs/; github.com/Stability-AI/stablediffusion,
configs/; github.com/Stability-AI/generative-models, configs/inference/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldm_core.conditioners import ClipSpec, Conditioner
from ldm_core.conditioners.low_resolution import UPSCALER_SCHEDULE
from ldm_core.errors import ConfigError
from ldm_core.facts import Weights
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import AutoencoderSpec, Parameterization, ScheduleSpec, UNetSpec

SCHEDULE = ScheduleSpec(num_timesteps=1000, linear_start=0.00085, linear_end=0.012)


@dataclass(frozen=True, slots=True)
class Facts:
    """What shapes do not tell.  `parameterization` None: eps and v look the same."""

    parameterization: Parameterization | None
    scale_factor: float = 0.18215
    schedule: ScheduleSpec = SCHEDULE
    num_heads: int | None = None
    num_head_channels: int | None = None


def model(
    weights: Weights, first_stage: AutoencoderSpec, unet: UNetSpec, conditioners: tuple[Conditioner, ...]
) -> ModelSpec | None:
    """The description of a single file; None where it is of another family, without CLIP.

    Raises:
        ConfigError: whether it predicts eps or v cannot be told, or it takes what cannot be given.
    """
    text = next((c for c in conditioners if isinstance(c, ClipSpec)), None)
    if text is None:
        return None
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
