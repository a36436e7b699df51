"""Sampling with two networks, each of them an expert of a part of the timesteps (arXiv:2211.01324)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ldm_core.diffusion.around import counted
from ldm_core.diffusion.parameterization import Prediction
from ldm_core.diffusion.samplers import Noise, Sampler, Sampling, diffused
from ldm_core.diffusion.schedule import NoiseSchedule


def with_refiner(
    sampler: Sampler,
    x: Tensor,
    schedule: NoiseSchedule,
    steps: Sequence[float],
    eta: float,
    noise: Noise,
    *,
    below: int,
    fresh: Noise,
) -> Sampling:
    """A sampling that begins again where the timesteps fall under `below`: x_t of x_0 as predicted last.

    A deterministic sampler's x_t holds what the first network got wrong in the details, and the second one
    would take it for the picture's.  Under fresh noise it is lost, and what is left is what the first one
    is an expert of.  What it left open, a mean, is taken as it is, so pictures vary less: right for a hole
    in a picture, wrong for a whole one.

    Args:
        x, schedule, steps, eta, noise: as of `Sampler`.
        below: 0 never begins again.
        fresh: draws the noise for that, (b, c, h, w).
    """
    turn = sum(t >= below for t in steps[:-1])
    if turn in (0, len(steps) - 1):
        return (yield from sampler(x, schedule, steps, eta, noise))
    first = sampler(x, schedule, steps[: turn + 1], eta, noise)
    try:
        ask = next(first)
        while True:
            predicted = yield ask
            ask = first.send(predicted)
    except StopIteration:
        pred_x0 = predicted.x0
    x = diffused(Prediction(pred_x0, fresh()), schedule.alpha_bar(steps[turn]))
    second = counted(sampler(x, schedule, steps[turn:], eta, noise), turn)
    try:
        ask = replace(next(second), pred_x0=pred_x0)
        while True:
            ask = second.send((yield ask))
    except StopIteration as finished:
        z: Tensor = finished.value
        return z
