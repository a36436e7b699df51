"""Samplers as coroutines: pure mathematics that asks for the network's prediction.

A sampler yields `Ask(x_t, t, ...)`, is sent what the network predicts there (x_0 and eps), and returns x_0.
It never holds a model, so previews, cancelling, guidance and sharing of network calls are the caller's
business.

Latents are those of the variance-preserving process, x_t = alpha x_0 + std eps with alpha^2 + std^2 = 1.
Where a source writes x / alpha, over sigma = std / alpha (Karras et al.), the equations here are multiplied
by alpha.  So they hold at the ends too: sigma = 0 in the clean image, and sigma = infinity in pure noise,
where a schedule with zero terminal SNR starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

from torch import Tensor

from ldm_core.diffusion.parameterization import Prediction, prediction
from ldm_core.diffusion.schedule import NoiseSchedule

Region = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """What a sampler wants evaluated.

    x: (b, c, h, w), the noisy latent x_t.
    t: timestep 0 .. T - 1; between two whole ones with some spacings.
    step: which of the sampler's steps this serves, from 0; some ask twice for one.
    pred_x0: (b, c, h, w), x_0 as predicted last, None in the first.
    region: where x lies in the latent, if it is a tile of it (see `around.tiled`); pred_x0 is of the whole.
    whole: (b, c, H, W), x_t of the whole where x is a tile.
    share: of the step's tiles that are done.
    """

    x: Tensor
    t: float
    step: int
    pred_x0: Tensor | None
    region: Region | None = None
    whole: Tensor | None = None
    share: float = 0.0


Sampling = Generator[Ask, Prediction, Tensor]
Noise = Callable[[], Tensor]
Before = tuple[Tensor, float] | None  # x_0 as predicted in the step before, and that step's size h


class Sampler(Protocol):
    """Makes a sampling coroutine.

    Args:
        x: (b, c, h, w), x_T.
        schedule: the noise schedule.
        steps: descending timesteps and where they arrive (`ldm_core.diffusion.schedule.timesteps`).
        eta: 0 for a deterministic process, 1 for the DDPM's variance; only `ddim` and `tcd` look at it.
        noise: draws standard normal noise, (b, c, h, w).
    """

    def __call__(
        self, x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise
    ) -> Sampling: ...


S = TypeVar("S", bound=Callable[..., Sampling])
FUNCTIONS: dict[str, Sampler] = {}  # by the names of `ldm_core.request.SAMPLERS`


def named(function: S) -> S:
    """A function that requests can name."""
    FUNCTIONS[function.__name__] = function
    return function


def diffused(predicted: Prediction, alpha_bar: float) -> Tensor:
    """x_t of x_0 and eps.  Eq. 4, arXiv:2006.11239; with what is predicted, DDIM's step."""
    return alpha_bar**0.5 * predicted.x0 + (1 - alpha_bar) ** 0.5 * predicted.eps


def from_eps(x: Tensor, eps: Tensor, alpha_bar: float) -> Prediction:
    """What x_t is made of when its noise is eps."""
    return prediction("eps", eps, x, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)


def posterior_variance(alpha_bar: float, alpha_bar_prev: float) -> float:
    """Of q(x_prev | x_t, x_0).  Eq. 7, arXiv:2006.11239."""
    return (1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)


# First order ----------------------------------------------------------------------------------------------


@named
def ddim(x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise) -> Sampling:
    """Denoising diffusion implicit models.  Eq. 12 and 16, arXiv:2010.02502."""
    pred_x0: Tensor | None = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        predicted = yield Ask(x, t, step, pred_x0)
        pred_x0 = predicted.x0
        alpha_bar, alpha_bar_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
        std = eta * posterior_variance(alpha_bar, alpha_bar_prev) ** 0.5
        x = alpha_bar_prev**0.5 * pred_x0 + max(1 - alpha_bar_prev - std**2, 0.0) ** 0.5 * predicted.eps
        if std > 0:
            x = x + std * noise()
    return x


@named
def ddpm(x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise) -> Sampling:
    """Ancestral sampling of the forward process's posterior.  Eq. 6 and 7, arXiv:2006.11239.

    Where timesteps are left out, alpha and beta are those of the longer step.
    """
    pred_x0: Tensor | None = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        pred_x0 = (yield Ask(x, t, step, pred_x0)).x0
        alpha_bar, alpha_bar_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
        alpha = alpha_bar / alpha_bar_prev
        of_x0 = alpha_bar_prev**0.5 * (1 - alpha) / (1 - alpha_bar)
        of_x = alpha**0.5 * (1 - alpha_bar_prev) / (1 - alpha_bar)
        x = of_x0 * pred_x0 + of_x * x
        variance = posterior_variance(alpha_bar, alpha_bar_prev)
        if variance > 0:
            x = x + variance**0.5 * noise()
    return x


@named
def euler(x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise) -> Sampling:
    """Euler's method on dx/dsigma = eps.  Algorithm 1, arXiv:2206.00364.

    The same as DDIM with eta = 0, which is Euler's method in these variables.
    """
    pred_x0: Tensor | None = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        predicted = yield Ask(x, t, step, pred_x0)
        pred_x0 = predicted.x0
        x = diffused(predicted, schedule.alpha_bar(t_prev))
    return x


@named
def euler_ancestral(
    x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise
) -> Sampling:
    """Euler's method to below the next sigma, and noise back up to it.

    As in k-diffusion's `sample_euler_ancestral`, which has no paper; the posterior's variance again.
    """
    pred_x0: Tensor | None = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        predicted = yield Ask(x, t, step, pred_x0)
        pred_x0 = predicted.x0
        sigma, sigma_prev = schedule.sigma(t), schedule.sigma(t_prev)
        sigma_down = sigma_prev**2 / sigma
        sigma_up = (sigma_prev**2 - sigma_down**2) ** 0.5
        x = pred_x0 + sigma_down * predicted.eps
        if sigma_up > 0:
            x = x + sigma_up * noise()
        x = schedule.alpha_bar(t_prev) ** 0.5 * x
    return x


# For models distilled to few steps -----------------------------------------------------------------------


@named
def lcm(x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise) -> Sampling:
    """Multistep consistency sampling: x_0 as predicted, and noise back up.  Algorithm 3, arXiv:2310.04378."""
    pred_x0: Tensor | None = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        predicted = yield Ask(x, t, step, pred_x0)
        # The boundary condition: at t = 0 the picture itself (Appendix C there, with sigma_data = 0.5).
        scaled = (10 * max(t, 0)) ** 2
        x = scaled**0.5 / (scaled + 0.25) ** 0.5 * predicted.x0 + 0.25 / (scaled + 0.25) * x
        pred_x0, alpha_bar_prev = predicted.x0, schedule.alpha_bar(t_prev)
        if alpha_bar_prev < 1:
            x = diffused(Prediction(x, noise()), alpha_bar_prev)
    return x


@named
def tcd(x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise) -> Sampling:
    """Trajectory consistency distillation's strategic stochastic sampling.  Algorithm 4, arXiv:2402.19159.

    `eta` is gamma there: how far below the next timestep each step goes, before noise leads back up to it.
    The last step ends at t = 0, as published.
    """
    pred_x0: Tensor | None = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        predicted = yield Ask(x, t, step, pred_x0)
        pred_x0 = predicted.x0
        alpha_bar_s = schedule.alpha_bar(math.floor((1 - eta) * max(t_prev, 0)))
        x = diffused(predicted, alpha_bar_s)
        if eta > 0 and t_prev > 0:
            ratio = schedule.alpha_bar(t_prev) / alpha_bar_s
            x = ratio**0.5 * x + max(1 - ratio, 0.0) ** 0.5 * noise()
    return x


# Higher order, by slopes in sigma -------------------------------------------------------------------------


@named
def heun(x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise) -> Sampling:
    """Heun's method: the mean of the slopes at both ends of a step, so two evaluations each.

    Algorithm 1, arXiv:2206.00364.
    """
    pred_x0: Tensor | None = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        alpha_bar, alpha_bar_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
        here = yield Ask(x, t, step, pred_x0)
        pred_x0, x_prev = here.x0, diffused(here, alpha_bar_prev)
        if _has_two_slopes(schedule, t, t_prev):
            ahead = yield Ask(x_prev, t_prev, step, pred_x0)
            x_prev = diffused(from_eps(x, (here.eps + ahead.eps) / 2, alpha_bar), alpha_bar_prev)
        x = x_prev
    return x


# The mean of two slopes follows the second prediction of x_0 by (sigma / sigma_prev - 1) / 2: beyond this
# ratio it overshoots so far that a picture becomes noise.
_MOST_TWO_SLOPES = 12.0


def _has_two_slopes(schedule: NoiseSchedule, t: float, t_prev: float) -> bool:
    """Whether the slope at the end of a step says anything: not where sigma falls from infinity or far."""
    return 0 < schedule.sigma(t) <= _MOST_TWO_SLOPES * schedule.sigma(t_prev)


# Adams-Bashforth weights of the newest to the oldest eps, by how many are known.
_ADAMS_BASHFORTH = {
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


@named
def plms(x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise) -> Sampling:
    """Pseudo linear multi-step method.  Eq. 9 and 12, arXiv:2202.09778."""
    pred_x0: Tensor | None = None
    history: list[Tensor] = []  # newest first
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        alpha_bar, alpha_bar_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
        predicted = yield Ask(x, t, step, pred_x0)
        eps = predicted.eps
        history = [eps, *history[:3]]
        if len(history) > 1:
            weights = _ADAMS_BASHFORTH[len(history)]
            eps = sum((w * e for w, e in zip(weights[1:], history[1:])), weights[0] * eps)
            predicted = from_eps(x, eps, alpha_bar)
        elif _has_two_slopes(schedule, t, t_prev):
            # No history yet: improved Euler, which asks once more, at the next timestep.
            ahead = yield Ask(diffused(predicted, alpha_bar_prev), t_prev, step, predicted.x0)
            predicted = from_eps(x, (eps + ahead.eps) / 2, alpha_bar)
        pred_x0, x = predicted.x0, diffused(predicted, alpha_bar_prev)
    return x


# Higher order, by x_0 over the logarithm of the signal-to-noise ratio --------------------------------------


@named
def dpmpp_2m(
    x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise
) -> Sampling:
    """DPM-Solver++(2M): second order by the last two predictions.  Algorithm 2, arXiv:2211.01095."""
    pred_x0: Tensor | None = None
    before: Before = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        pred_x0 = (yield Ask(x, t, step, pred_x0)).x0
        h = log_snr_step(schedule, t, t_prev)
        x = integrated(x, extrapolated(pred_x0, before, h), schedule, t, t_prev)
        before = pred_x0, h
    return x


@named
def dpmpp_2m_sde(
    x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise
) -> Sampling:
    """SDE-DPM-Solver++(2M): the same for the reverse process with its noise.  arXiv:2211.01095."""
    pred_x0: Tensor | None = None
    before: Before = None
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        pred_x0 = (yield Ask(x, t, step, pred_x0)).x0
        h = log_snr_step(schedule, t, t_prev)
        alpha_bar, alpha_bar_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
        std, std_prev = (1 - alpha_bar) ** 0.5, (1 - alpha_bar_prev) ** 0.5
        fresh = -math.expm1(-2 * h)  # the share of the noise's variance that is drawn anew
        x0 = extrapolated(pred_x0, before, h)
        x = std_prev / std * math.exp(-h) * x + alpha_bar_prev**0.5 * fresh * x0
        if std_prev > 0:
            x = x + std_prev * fresh**0.5 * noise()
        before = pred_x0, h
    return x


@named
def unipc(x: Tensor, schedule: NoiseSchedule, steps: Sequence[float], eta: float, noise: Noise) -> Sampling:
    """UniPC of order 2, for data prediction, with B_2(h).  Algorithms 1 and 2, arXiv:2302.04867.

    Its predictor is DPM-Solver++(2M).  Its corrector takes each step again, knowing the prediction where it
    arrived, which the next step needs anyway.
    """
    pred_x0: Tensor | None = None
    before: Before = None
    x_start, t_start, h = x, steps[0], 0.0  # of the step before
    for step, (t, t_prev) in enumerate(pairwise(steps)):
        x0 = (yield Ask(x, t, step, pred_x0)).x0
        if pred_x0 is not None:
            x = integrated(x_start, interpolated(pred_x0, before, x0, h), schedule, t_start, t)
            before = pred_x0, h
        pred_x0, x_start, t_start, h = x0, x, t, log_snr_step(schedule, t, t_prev)
        x = integrated(x, extrapolated(x0, before, h), schedule, t, t_prev)
    return x


def log_snr_step(schedule: NoiseSchedule, t: float, t_prev: float) -> float:
    """h, by how much log(alpha / std) grows; infinite from pure noise and to the clean image."""
    sigma_prev = schedule.sigma(t_prev)
    return math.log(schedule.sigma(t) / sigma_prev) if sigma_prev > 0 else math.inf


def integrated(x: Tensor, x0: Tensor, schedule: NoiseSchedule, t: float, t_prev: float) -> Tensor:
    """The step from t to t_prev, exact where x_0 is constant.  Proposition 4.1, arXiv:2211.01095."""
    alpha_bar, alpha_bar_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
    std, std_prev = (1 - alpha_bar) ** 0.5, (1 - alpha_bar_prev) ** 0.5
    return std_prev / std * x - alpha_bar_prev**0.5 * math.expm1(-log_snr_step(schedule, t, t_prev)) * x0


def extrapolated(x0: Tensor, before: Before, h: float) -> Tensor:
    """x_0 in the middle of a step of size h; as it is in the first step and in the one to the clean image."""
    if before is None or h == math.inf:
        return x0
    x0_before, h_before = before
    return x0 + h / (2 * h_before) * (x0 - x0_before)


def interpolated(x0: Tensor, before: Before, x0_after: Tensor, h: float) -> Tensor:
    """x_0's mean over a step of size h, weighted as UniC does, knowing it at both ends and before."""
    if before is None:
        return (x0 + x0_after) / 2
    x0_before, h_before = before
    # The moments of x_0 over the step, by B_2(h) = exp(-h) - 1, and the weights that match two of them.
    b1 = -1 / h - 1 / math.expm1(-h)
    b2 = -2 * b1 / h - 1 / math.expm1(-h)
    weight = (b1 - b2) / (1 + h_before / h)
    return x0 + weight * h / h_before * (x0 - x0_before) + (b1 - weight) * (x0_after - x0)


def redrawn(x: Tensor, pred_x0: Tensor, alpha_bar: float, noise: Tensor) -> Tensor:
    """x_t with half of the variance of its noise drawn anew, around the same predicted x_0.

    What remains of x_t beside the predicted x_0 counts as its noise.  So the step that led there is made
    again, with std^2 = (1 - alpha_bar) / 2.  Eq. 12, arXiv:2010.02502.

    Args:
        x, pred_x0, noise: (b, c, h, w).
    """
    eps = (x - alpha_bar**0.5 * pred_x0) / (1 - alpha_bar) ** 0.5
    return diffused(Prediction(pred_x0, (eps + noise) / 2**0.5), alpha_bar)
