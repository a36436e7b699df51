"""The noise schedule of the forward process and the timesteps at which a sampler stops."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldm_core.spec import ScheduleSpec, Spacing

Array = NDArray[np.float64]

_LEAST_ALPHA_BAR = 2.0**-24  # stands in for 0 where a finite sigma is needed
_LCM_GRID = 50  # section 4.3, arXiv:2310.04378
_RHO = 7.0  # of Karras et al.; higher puts more steps where there is little noise


class NoiseSchedule:
    """q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I), in float64.

    Networks are trained at t = 0 .. T - 1; between two of these log sigma is linear in t, and t = -1 is the
    clean image.  sigma is the noise relative to the signal, sqrt((1 - alpha_bar) / alpha_bar), as in
    Karras et al., arXiv:2206.00364.

    Attributes:
        alphas_cumprod: (T,) float64, alpha_bar at the whole timesteps.
        sigmas: (T,) float64, ascending and finite: 2^-24 stands in for alpha_bar = 0.
    """

    def __init__(self, spec: ScheduleSpec) -> None:
        self.spec = spec
        # numpy, as models are built where tensors have no values (the meta device).
        alpha_bar: Array = np.cumprod(1.0 - betas_of(spec), dtype=np.float64)
        if spec.zero_terminal_snr:
            alpha_bar = _zero_terminal_snr(alpha_bar)
        self.alphas_cumprod: Tensor = torch.from_numpy(alpha_bar)
        at_least = np.maximum(alpha_bar, _LEAST_ALPHA_BAR)
        self.sigmas: Array = ((1.0 - at_least) / at_least) ** 0.5

    @property
    def num_timesteps(self) -> int:
        return len(self.alphas_cumprod)

    def alpha_bar(self, t: float) -> float:
        """alpha_bar at timestep t; 0 where nothing but noise is left."""
        if t < 0:
            return 1.0
        if t == int(t):
            return float(self.alphas_cumprod[int(t)])
        below = int(t)
        log_sigma = np.interp(t - below, (0, 1), np.log(self.sigmas[below : below + 2]))
        return float(1.0 / (1.0 + np.exp(2 * log_sigma)))

    def sigma(self, t: float) -> float:
        """0 for the clean image; infinity where nothing but noise is left."""
        alpha_bar = self.alpha_bar(t)
        return ((1.0 - alpha_bar) / alpha_bar) ** 0.5 if alpha_bar > 0 else math.inf

    def timestep(self, sigma: float) -> float:
        """The t, 0 .. T - 1, that has this sigma, or the nearest that is not beyond the ends."""
        return float(np.interp(math.log(sigma), np.log(self.sigmas), np.arange(self.num_timesteps)))

    def c_noise(self, t: Tensor) -> Tensor:
        """(b,) timesteps -> what the network takes for them: t itself, or c_noise of Table 1,
        arXiv:2206.00364."""
        if self.spec.kind != "edm":
            return t
        low, high = math.log(self.spec.linear_start), math.log(self.spec.linear_end)
        return (low + t.float() / (self.num_timesteps - 1) * (high - low)) / 4

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(b,) int64 timesteps -> sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t), each (b, 1, 1, 1) float32."""
        alpha_bar = self.alphas_cumprod.to(t.device)[t].view(-1, 1, 1, 1)
        return alpha_bar.sqrt().float(), (1.0 - alpha_bar).sqrt().float()


def betas_of(spec: ScheduleSpec) -> Array:
    """(T,) the variances of the steps of the forward process."""
    if spec.betas:
        return np.array(spec.betas)
    start, end, count = spec.linear_start, spec.linear_end, spec.num_timesteps
    match spec.kind:
        case "scaled_linear":
            return np.linspace(start**0.5, end**0.5, count) ** 2
        case "linear":
            return np.linspace(start, end, count)
        case "cosine":  # Eq. 17, arXiv:2102.09672
            alpha_bar = np.cos((np.linspace(0, 1, count + 1) + 0.008) / 1.008 * math.pi / 2) ** 2
            return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
        case "edm":
            alpha_bar = 1 / (1 + (np.geomspace(start, end, count) / spec.sigma_data) ** 2)
            return 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])


def _zero_terminal_snr(alpha_bar: Array) -> Array:
    """Moves sqrt(alpha_bar) so that the last one is 0 and the first one stays.

    Algorithm 1, arXiv:2305.08891.
    """
    root = alpha_bar**0.5
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def timesteps(schedule: NoiseSchedule, num_steps: int, spacing: Spacing) -> list[float]:
    """Descending timesteps of a sampler; the last entry is where it arrives (-1: the clean image).

    trailing: evenly from T - 1, exactly num_steps (section 3.3, arXiv:2305.08891).
    uniform: the reference implementation's `range(0, T, T // num_steps) + 1`, arriving at t = 0; where
        num_steps does not divide T it makes a step or more beyond num_steps.
    linspace: evenly from T - 1 to 0, both included, then the clean image; not rounded (k-diffusion's
        `get_sigmas`; "normal" in ComfyUI, "Uniform" in A1111).
    quadratic: the reference implementation's "quad", denser towards t = 0, where it arrives; not rounded,
        so that no two fall together.
    lcm: about evenly from the last among the 50 timesteps that consistency models are distilled at.
    karras: evenly in sigma^(1/7), from the schedule's highest to its lowest (Eq. 5, arXiv:2206.00364).
    """
    last = schedule.num_timesteps - 1
    match spacing:
        case "trailing":
            count = schedule.num_timesteps
            return [*(round(count * (num_steps - i) / num_steps) - 1 for i in range(num_steps)), -1]
        case "uniform":
            if num_steps == 1:  # by the rule at t = 1, where nothing is left to be done
                return [last, 0]
            # T // num_steps = 1 would reach t = T, which the schedule does not have.
            stride = schedule.num_timesteps // num_steps
            ascending = {min(t + 1, last) for t in range(0, schedule.num_timesteps, stride)}
            return [*sorted(ascending, reverse=True), 0]
        case "linspace":
            return [*(last * f for f in _falling(num_steps)), -1]
        case "quadratic":
            highest = 0.8 * schedule.num_timesteps
            return [*sorted({min(highest * f**2 + 1, last) for f in _falling(num_steps)}, reverse=True), 0]
        case "lcm":
            grid = min(max(_LCM_GRID, num_steps), schedule.num_timesteps)
            stride = schedule.num_timesteps // grid
            return [*((grid - i * grid // num_steps) * stride - 1 for i in range(num_steps)), -1]
        case "karras":
            highest, lowest = (float(schedule.sigmas[t]) ** (1 / _RHO) for t in (last, 0))
            inner = [(lowest + f * (highest - lowest)) ** _RHO for f in _falling(num_steps)[1:-1]]
            return [last, *(schedule.timestep(sigma) for sigma in inner), *([0] if num_steps > 1 else []), -1]


def _falling(count: int) -> list[float]:
    """Evenly from 1 to 0; a single one is 1."""
    return [1 - i / (count - 1) for i in range(count)] if count > 1 else [1.0]
