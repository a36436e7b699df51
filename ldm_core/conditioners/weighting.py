"""What weights do to an encoding: A1111's, ComfyUI's and compel's mathematics.

z (n, d) is the encoding of a chunk of tokens, weights (n,), and e (n, d) the encoding of the empty prompt.
Sources: github.com/AUTOMATIC1111/stable-diffusion-webui `sd_emphasis.py`; github.com/comfyanonymous/ComfyUI
`comfy/sd1_clip.py`; github.com/damian0815/compel `embeddings_provider.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ldm_core.prompts import Weighting

_LEAST = 1e-4  # of a weight below 1, where the tangent goes to infinity


def times(z: Tensor, weights: Tensor, e: Tensor) -> Tensor:
    return z * weights[:, None]


def mean_restored(z: Tensor, weights: Tensor, e: Tensor) -> Tensor:
    """The mean over one chunk of one prompt, so that a picture's neighbours do not count."""
    changed = times(z, weights, e)
    mean = changed.mean()
    return changed * (z.mean() / mean) if bool(mean) else changed


def from_empty(z: Tensor, weights: Tensor, e: Tensor) -> Tensor:
    """e + w (z - e)."""
    return torch.where(weights[:, None] == 1, z, e + weights[:, None] * (z - e))


def raised(z: Tensor, weights: Tensor, e: Tensor) -> Tensor:
    """As `from_empty` of weights above 1; what is below is left out in an encoding of its own."""
    return from_empty(z, weights.clamp(min=1), e)


def share_without(weight: float) -> float:
    """How much the encoding without a fragment of a weight below 1 counts, beside 1 of the whole."""
    return math.tan((1 - max(weight, _LEAST)) * math.pi / 2)


@dataclass(frozen=True, slots=True)
class Rule:
    """apply: changes an encoding.  leaves_out: what weighs less than 1 is also encoded without."""

    apply: Callable[[Tensor, Tensor, Tensor], Tensor]
    takes_empty: bool = False
    leaves_out: bool = False


RULES: Mapping[Weighting, Rule] = {
    "a1111": Rule(mean_restored),
    "no_norm": Rule(times),
    "comfyui": Rule(from_empty, takes_empty=True),
    "invokeai": Rule(raised, takes_empty=True, leaves_out=True),
    "ignore": Rule(lambda z, weights, e: z),
}
