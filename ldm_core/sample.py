"""The sampling loop in its simplest form, for scripts, training and evaluation.

The program itself samples through `ldm_core.engine`, which shares network calls between jobs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ldm_core.guidance import guided
from ldm_core.model import LatentDiffusion
from ldm_core.samplers import SAMPLERS
from ldm_core.schedule import timesteps
from ldm_core.spec import Spacing


def initial_noise(seeds: list[int], shape: tuple[int, int, int]) -> Tensor:
    """x_T (b, c, h, w), one generator for each seed."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def sample(
    model: LatentDiffusion,
    prompts: list[str],
    *,
    height: int,
    width: int,
    steps: int,
    guidance_scale: float,
    seeds: list[int],
    sampler: str = "ddim",
    spacing: Spacing = "trailing",
) -> Tensor:
    """Prompts -> latents (b, c, h, w); eta is 0.

    Args:
        height, width: of the picture in pixels, multiples of the model's `size_multiple`.
        seeds: one for each prompt.
    """
    f, channels = model.spec.first_stage.downsampling, model.spec.unet.in_channels
    context, uncond = model.context(prompts), model.context([""] * len(prompts))
    x = initial_noise(seeds, (channels, height // f, width // f))
    sampling = SAMPLERS[sampler](
        x, model.schedule, timesteps(model.schedule, steps, spacing), 0.0, lambda: torch.randn_like(x)
    )
    try:
        ask = next(sampling)
        while True:
            t = torch.full((2 * len(prompts),), ask.t)
            output = model.output(torch.cat([ask.x, ask.x]), t, torch.cat([context, uncond])).cpu()
            cond, unconditional = output.chunk(2)
            output = guided(cond, unconditional, guidance_scale)
            ask = sampling.send(model.prediction(output, ask.x, ask.t))
    except StopIteration as finished:
        return finished.value
