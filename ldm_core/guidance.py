"""Classifier-free guidance."""

from __future__ import annotations

from torch import Tensor


def guided(eps_cond: Tensor, eps_uncond: Tensor, scale: float) -> Tensor:
    """Extrapolates from the unconditional prediction through the conditional one.

    Scale 1 is the conditional model, 0 the unconditional one.  Eq. 6 of arXiv:2207.12598 with
    scale = 1 + w, as the paper writes it in Appendix C.
    """
    return eps_uncond + scale * (eps_cond - eps_uncond)
