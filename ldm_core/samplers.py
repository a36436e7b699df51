"""Samplers as coroutines: pure mathematics that asks for the network's prediction.

A sampler yields `Ask(x_t, t, ...)`, is sent eps(x_t, t), and returns x_0.  It never holds a model,
so previews, cancelling, guidance and sharing of network calls are the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from torch import Tensor

from ldm_core.schedule import NoiseSchedule


@dataclass(frozen=True, slots=True)
class Ask:
    """What a sampler wants evaluated.

    x: (b, c, h, w), the noisy latent x_t.
    t: timestep 0 .. T - 1.
    step: which of the sampler's steps this serves, from 0.
    pred_x0: (b, c, h, w), x_0 as predicted in the last step, None in the first.
    """

    x: Tensor
    t: int
    step: int
    pred_x0: Tensor | None


Sampling = Generator[Ask, Tensor, Tensor]
Noise = Callable[[], Tensor]


class Sampler(Protocol):
    """Makes a sampling coroutine.

    Args:
        x: (b, c, h, w), x_T.
        schedule: the noise schedule.
        steps: descending timesteps and where they arrive (`ldm_core.schedule.timesteps`).
        eta: 0 for a deterministic process, 1 for the DDPM's variance.
        noise: draws standard normal noise, (b, c, h, w).
    """

    def __call__(
        self, x: Tensor, schedule: NoiseSchedule, steps: Sequence[int], eta: float, noise: Noise
    ) -> Sampling: ...


def advance(x: Tensor, eps: Tensor, alpha_bar: float, alpha_bar_prev: float) -> tuple[Tensor, Tensor]:
    """A deterministic step: x_t -> x at the previous timestep, and pred_x0.  Eq. 12, arXiv:2010.02502."""
    pred_x0 = predict_x0(x, eps, alpha_bar)
    return alpha_bar_prev**0.5 * pred_x0 + (1 - alpha_bar_prev) ** 0.5 * eps, pred_x0


def predict_x0(x: Tensor, eps: Tensor, alpha_bar: float) -> Tensor:
    """Eq. 9, arXiv:2010.02502."""
    return (x - (1.0 - alpha_bar) ** 0.5 * eps) / alpha_bar**0.5


def ddim(x: Tensor, schedule: NoiseSchedule, steps: Sequence[int], eta: float, noise: Noise) -> Sampling:
    """Denoising diffusion implicit models.  Eq. 12 and 16, arXiv:2010.02502."""
    pred_x0: Tensor | None = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        eps = yield Ask(x, t, step, pred_x0)
        alpha_bar, alpha_bar_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
        variance = (1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)
        sigma = eta * variance**0.5
        pred_x0 = predict_x0(x, eps, alpha_bar)
        x = alpha_bar_prev**0.5 * pred_x0 + max(1 - alpha_bar_prev - sigma**2, 0.0) ** 0.5 * eps
        if sigma > 0:
            x = x + sigma * noise()
    return x


# Adams-Bashforth weights of the newest to the oldest eps, by how many are known.
_ADAMS_BASHFORTH = {
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def plms(x: Tensor, schedule: NoiseSchedule, steps: Sequence[int], eta: float, noise: Noise) -> Sampling:
    """Pseudo linear multi-step method, deterministic (eta is not used).  Eq. 9 and 12, arXiv:2202.09778."""
    pred_x0: Tensor | None = None
    history: list[Tensor] = []  # newest first
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        alpha_bar, alpha_bar_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
        eps = yield Ask(x, t, step, pred_x0)
        history = [eps, *history[:3]]
        if len(history) == 1:
            if len(steps) > 2:  # a single step has no next timestep to ask at
                # No history yet: improved Euler, which asks once more, at the next timestep.
                x_next, x0 = advance(x, eps, alpha_bar, alpha_bar_prev)
                eps = (eps + (yield Ask(x_next, t_prev, step, x0))) / 2
        else:
            weights = _ADAMS_BASHFORTH[len(history)]
            eps = sum((w * e for w, e in zip(weights[1:], history[1:])), weights[0] * eps)
        x, pred_x0 = advance(x, eps, alpha_bar, alpha_bar_prev)
    return x


SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "plms": plms}
