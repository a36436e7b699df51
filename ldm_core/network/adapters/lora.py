"""LoRA: W + (alpha / rank) up down, of linear layers and convolutions.  arXiv:2106.09685."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ldm_core.network.adapters.kind import AdapterKind, Parts, scale_of

# The spellings of kohya's scripts, PEFT, and two earlier ones of diffusers.
ENDINGS = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "mid",
    ".alpha": "alpha",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
}


def tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """A convolution (o, i, k, k) in Tucker's form: core (r, r, k, k), a (r, o), b (r, i)."""
    return torch.einsum("nmkl,ni,mj->ijkl", core, a, b)


def delta(parts: Parts, weights: Parts) -> Mapping[str, Tensor]:
    """As `AdapterKind.delta`.  Without alpha, or with 0 there, alpha is the rank.

    Parts: up (o, r) and down (r, i) of a linear layer or 1x1 convolution, each with further axes of 1 or
    none; down (r, i, k, k) of a convolution; or in Tucker's form down (r, i, 1, 1) and mid (r, r, k, k).
    """
    up, down, mid = parts["up"], parts["down"], parts.get("mid")
    scale = scale_of(parts, down.shape[0])
    if mid is None:
        change = up.flatten(1) @ down.flatten(1)
    else:
        change = tucker(mid, up.flatten(1).T, down.flatten(1))
    return {"weight": (scale * change).reshape(weights["weight"].shape)}


LORA = AdapterKind("LoRA", ENDINGS, frozenset({"up", "down"}), delta)
