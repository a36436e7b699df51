"""The sampling loop in its simplest form, for scripts, training and evaluation.

The program itself samples through `ldm_core.engine.engine`, which shares network calls between jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ldm_core.conditioners import Given, kept_bits
from ldm_core.diffusion.experts import handed_over
from ldm_core.diffusion.guidance import Guidance, guided
from ldm_core.diffusion.samplers import SAMPLERS, Noise, keeping
from ldm_core.diffusion.schedule import timesteps
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.spec import Spacing


def noise_of(seeds: list[int], shape: tuple[int, int, int]) -> Noise:
    """Draws standard normal noise, (b, c, h, w), from a generator for each seed."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return lambda: torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def initial_noise(seeds: list[int], shape: tuple[int, int, int]) -> Tensor:
    """x_T (b, c, h, w)."""
    return noise_of(seeds, shape)()


def sample(
    model: LatentDiffusion,
    given: Sequence[Given],
    *,
    height: int,
    width: int,
    steps: int,
    guidance_scale: float,
    seeds: list[int],
    guidance_end: float = 1.0,
    sampler: str = "ddim",
    spacing: Spacing = "trailing",
) -> Tensor:
    """What is given for each picture -> latents (b, c, h, w); eta is 0.  Guidance is away from no prompt and,
    where the model learnt to do without, no boxes, no label map and no picture with a hole.

    Args:
        height, width: of the picture in pixels, multiples of the model's `size_multiple`.
        guidance_scale, guidance_end: see `Guidance`.
        seeds: one for each picture.
    """
    count, guidance = len(given), Guidance(guidance_scale, end=guidance_end)
    f, channels = model.spec.first_stage.downsampling, model.spec.latent_channels
    size = (height // f, width // f)
    without = [replace(one.untold(model.spec), prompt="") for one in given]
    condition = model.condition([*given, *without], size)
    noise = noise_of(seeds, (channels, *size))
    sampling = handed_over(
        SAMPLERS[sampler],
        noise(),
        model.schedule,
        timesteps(model.schedule, steps, spacing),
        eta=0.0,
        noise=noise,
        below=0 if any(one.image is None for one in given) else model.spec.refined_below,
        fresh=noise,
    )
    if condition.bits is not None:
        kept = kept_bits(condition.bits[:count].cpu(), channels)
        sampling = keeping(sampling, *kept, model.schedule)
    try:
        ask = next(sampling)
        while True:
            if guidance_scale != 1 and guidance.applies(ask.step, steps):
                t = torch.full((2 * count,), ask.t)
                cond, uncond = model.output(torch.cat([ask.x, ask.x]), t, condition).cpu().chunk(2)
                output = guided(cond, uncond, guidance_scale)
            else:
                output = model.output(ask.x, torch.full((count,), ask.t), condition[:count]).cpu()
            ask = sampling.send(model.prediction(output, ask.x, ask.t))
    except StopIteration as finished:
        return finished.value
