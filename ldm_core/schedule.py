"""The noise schedule of the forward process and the timesteps at which a sampler stops."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ldm_core.spec import ScheduleSpec

Spacing = Literal["uniform", "trailing"]


class NoiseSchedule:
    """q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I), in float64.

    Attributes:
        betas, alphas_cumprod: (T,) float64.
    """

    def __init__(self, spec: ScheduleSpec) -> None:
        root = torch.linspace(
            spec.linear_start**0.5, spec.linear_end**0.5, spec.num_timesteps, dtype=torch.float64
        )
        self.betas: Tensor = root**2
        self.alphas_cumprod: Tensor = torch.cumprod(1.0 - self.betas, dim=0)

    @property
    def num_timesteps(self) -> int:
        return len(self.betas)

    def alpha_bar(self, t: int) -> float:
        """alpha_bar at timestep t; t = -1 is the clean image."""
        return 1.0 if t < 0 else float(self.alphas_cumprod[t])

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(b,) int64 timesteps -> sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t), each (b, 1, 1, 1) float32."""
        alpha_bar = self.alphas_cumprod.to(t.device)[t].view(-1, 1, 1, 1)
        return alpha_bar.sqrt().float(), (1.0 - alpha_bar).sqrt().float()


def timesteps(num_steps: int, num_timesteps: int, spacing: Spacing) -> list[int]:
    """Descending timesteps of a sampler; the last entry is where it arrives (-1: the clean image).

    "uniform" is the reference implementation's `range(0, T, T // num_steps) + 1`, arriving at t = 0;
    where num_steps does not divide T it makes a step or more beyond num_steps.  "trailing" starts at
    T - 1 and makes exactly num_steps ("Common diffusion noise schedules are flawed", section 3.3,
    arXiv:2305.08891).
    """
    if spacing == "uniform":
        # T // num_steps = 1 would reach t = T, which the schedule does not have.
        ascending = [
            min(t + 1, num_timesteps - 1) for t in range(0, num_timesteps, num_timesteps // num_steps)
        ]
        return [*reversed(ascending), 0]
    descending = [round(num_timesteps * (num_steps - i) / num_steps) - 1 for i in range(num_steps)]
    return [*descending, -1]
