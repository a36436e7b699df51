"""Whole differences: of a layer's weight and bias, and of a norm's."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ldm_core.network.adapters.kind import AdapterKind, Parts

ENDINGS = {".diff": "weight", ".diff_b": "bias", ".w_norm": "weight", ".b_norm": "bias", ".alpha": "alpha"}


def delta(parts: Parts, weights: Parts) -> Mapping[str, Tensor]:
    """As `AdapterKind.delta`.  Parts: weight, bias, of the model's shapes."""
    return {name: parts[name].reshape(weights[name].shape) for name in ("weight", "bias") if name in parts}


FULL = AdapterKind("difference", ENDINGS, frozenset({"weight"}), delta)
BIAS = AdapterKind("difference", ENDINGS, frozenset({"bias"}), delta)
