"""Classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Guidance:
    """How strongly the network's conditional prediction is preferred, and in which steps.

    scale, rescale: see `guided`.
    start, end: fractions of the steps; guidance begins at start and ends before end.  Limited to the middle
        it costs less and makes pictures more varied (arXiv:2404.07724, which gives the limits as sigma).
    """

    scale: float
    rescale: float = 0.0
    start: float = 0.0
    end: float = 1.0

    def applies(self, step: int, num_steps: int) -> bool:
        """Whether step 0 .. num_steps - 1 is guided; where not, the conditional prediction stands alone."""
        return self.start <= step / num_steps < self.end


def composed(conds: Sequence[Tensor], weights: Sequence[float], uncond: Tensor | None) -> Tensor:
    """One conditional output of several: uncond + sum of w (cond - uncond).  Eq. 11, arXiv:2206.01714.

    Args:
        conds, uncond: (b, c, h, w); without the unconditional output it is their weighted mean.
    """
    if len(conds) == 1 and weights[0] == 1:
        return conds[0]
    pairs = list(zip(weights, conds, strict=True))
    if uncond is not None:
        return uncond + torch.stack([w * (cond - uncond) for w, cond in pairs]).sum(0)
    total = sum(weights) or 1.0
    return torch.stack([w / total * cond for w, cond in pairs]).sum(0)


def guided(cond: Tensor, uncond: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """Extrapolates from the unconditional output of the network through the conditional one.

    Args:
        cond, uncond: (b, c, h, w).
        scale: 1 is the conditional model, 0 the unconditional one.  Eq. 6 of arXiv:2207.12598 with
            scale = 1 + w, as the paper writes it in Appendix C.
        rescale: 0..1, how far the result is given the conditional output's standard deviation, against
            the harsh contrast of high scales.  Section 3.4, arXiv:2305.08891.
    """
    out = uncond + scale * (cond - uncond)
    if rescale == 0:
        return out
    ratio = cond.std(dim=(1, 2, 3), keepdim=True) / out.std(dim=(1, 2, 3), keepdim=True)
    return (rescale * ratio + 1 - rescale) * out
