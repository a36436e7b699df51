"""The noise that pictures are made of: from their seeds, and anew where a picture leaves another."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from ldm_core.diffusion.samplers import Noise, redrawn
from ldm_core.diffusion.schedule import NoiseSchedule, timesteps
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Request
from ldm_core.spec import Spacing
from ldm_core.tasks.base import Moment


def timesteps_of(request: Request, schedule: NoiseSchedule) -> list[float]:
    """The timesteps from pure noise on, and last where a picture arrives."""
    return timesteps(schedule, request.steps, cast("Spacing", request.spacing))


def noise_of(request: Request, model: LatentDiffusion, cells: tuple[int, int]) -> Noise:
    """Draws standard normal noise, (1, c, h, w).

    On the CPU: the same seed starts from the same noise on every device.  From each step at which a picture
    leaves another comes noise of its own.  A variation's noise is that of what it varies, with a share of
    the variance from its own seed.
    """
    step = None if request.branch is None else request.branch.step
    generators = [_generator(seed, step) for seed in (*(request.variation_of or ()), request.seed)]
    shape = (1, model.spec.latent_channels, *cells)
    share = request.variation_strength

    def noise() -> Tensor:
        x = torch.randn(shape, generator=generators[0])
        for generator in generators[1:]:
            x = (1 - share) ** 0.5 * x + share**0.5 * torch.randn(shape, generator=generator)
        return x.to(model.device)

    return noise


def _generator(seed: int, step: int | None) -> torch.Generator:
    """For a seed, or from a step on; hashed, where torch would see the lowest 32 bits alone."""
    if step is not None or seed >= 2**32:
        numbers = seed if step is None else (seed, step)
        seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    return torch.Generator().manual_seed(seed)


def resumed(request: Request, moment: Moment, alpha_bar: float, noise: Noise) -> Tensor:
    """x_t (1, c, h, w) of a moment from which a picture goes on.

    With another seed, half of its noise is drawn anew: samplers that draw none would make the same picture.
    """
    fresh = noise()
    x = moment.x.to(fresh)
    if request.branch is None or request.branch.of.seed == request.seed or moment.pred_x0 is None:
        return x
    return redrawn(x, moment.pred_x0.to(fresh), alpha_bar, fresh)
