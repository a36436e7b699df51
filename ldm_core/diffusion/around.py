"""What is put around a sampler: a sampling that passes another one's asks on, changed, and answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ldm_core.diffusion.parameterization import Prediction
from ldm_core.diffusion.samplers import Region, Sampling
from ldm_core.diffusion.schedule import NoiseSchedule


def keeping(sampling: Sampling, x0: Tensor, known: Tensor, schedule: NoiseSchedule) -> Sampling:
    """Keeps a known region, whatever the network says of it.

    The sampler is sent x0 there, and as eps what then remains of x_t, so that at each
    step its own x_t holds the known region at that step's noise.  Eq. 8, arXiv:2201.09865, there with fresh
    noise.

    Args:
        x0: (b, c, h, w); the sampler's x_T may be any noise.
        known: like x0, 1 where x0 is kept and 0 elsewhere.
    """
    try:
        ask = next(sampling)
        while True:
            predicted = yield ask
            alpha_bar = schedule.alpha_bar(ask.t)
            eps = (ask.x - alpha_bar**0.5 * x0) / (1 - alpha_bar) ** 0.5
            ask = sampling.send(Prediction(predicted.x0.lerp(x0, known), predicted.eps.lerp(eps, known)))
    except StopIteration as finished:
        z: Tensor = finished.value
        return z


def tiled(sampling: Sampling, regions: Sequence[Region], weights: Sequence[Tensor]) -> Sampling:
    """Asks for a large latent's prediction tile by tile, and blends where tiles overlap.

    So the network's memory does not grow with the picture.  As in arXiv:2302.08113, eq. 5, for predictions.

    Args:
        weights: (h, w) of each region's tile; over all tiles they sum to 1 everywhere.
    """
    try:
        ask = next(sampling)
        while True:
            x0, eps = torch.zeros_like(ask.x), torch.zeros_like(ask.x)
            for i, (region, weight) in enumerate(zip(regions, weights, strict=True)):
                part, share = (..., region[0], region[1]), i / len(regions)
                predicted = yield replace(ask, x=ask.x[part], region=region, whole=ask.x, share=share)
                x0[part] += weight * predicted.x0
                eps[part] += weight * predicted.eps
            ask = sampling.send(Prediction(x0, eps))
    except StopIteration as finished:
        z: Tensor = finished.value
        return z


def counted(sampling: Sampling, first: int) -> Sampling:
    """Counts the steps from `first` on."""
    try:
        ask = next(sampling)
        while True:
            ask = sampling.send((yield replace(ask, step=first + ask.step)))
    except StopIteration as finished:
        z: Tensor = finished.value
        return z
