"""Hints: what a control is given beside x_t, t and the condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ldm_core.nn.control import Control
from ldm_core.nn.residuals import Residuals


@dataclass(frozen=True, slots=True, eq=False)
class Hint:
    """For a batch of b.

    Attributes:
        guide: (b, c, h, w), what the control made of the pictures.
        strength: (b,), what its residuals are multiplied by.
        start, end: fractions of the steps between which it counts.
    """

    control: Control
    guide: Tensor
    strength: Tensor
    start: float = 0.0
    end: float = 1.0

    def applies(self, step: int, num_steps: int) -> bool:
        """Whether step 0 .. num_steps - 1 lies between start and end, all of it."""
        return self.start <= step / num_steps and (step + 1) / num_steps <= self.end

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for hints that can share a network call."""
        return self.control, self.guide.shape

    def __getitem__(self, rows: slice) -> Hint:
        """Some of the batch."""
        return replace(self, guide=self.guide[rows], strength=self.strength[rows])

    def tile(self, region: tuple[slice, slice]) -> Hint:
        """What belongs to a tile of the latent."""
        return replace(self, guide=self.guide[..., region[0], region[1]])


Hints = tuple[Hint, ...]  # one for each control


def joined(rows: Sequence[Hints]) -> Hints:
    """One batch of several; all of them are to the same controls."""
    return tuple(
        replace(
            column[0],
            guide=torch.cat([hint.guide for hint in column]),
            strength=torch.cat([hint.strength for hint in column]),
        )
        for column in zip(*rows, strict=True)
    )


def residuals(
    hints: Sequence[Hint], x: Tensor, t: Tensor, context: Tensor | None, vector: Tensor | None
) -> Residuals | None:
    """What all controls add together at one step; None without any.

    Args:
        x: (b, c, h, w), x_t, as the UNet is given it.
        t: (b,).
        context, vector: of the condition.
    """
    total: Residuals | None = None
    for hint in hints:
        added = hint.control.residuals(x, t, context, vector, hint.guide) * hint.strength
        total = added if total is None else total + added
    return total
