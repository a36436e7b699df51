"""LoKr: W + (alpha / rank) kron(w1, w2), each of the two whole or a product of low rank.

arXiv:2309.14859; github.com/KohakuBlueleaf/LyCORIS, lycoris/functional/lokr.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ldm_core.network.adapters.kind import AdapterKind, Parts, scale_of
from ldm_core.network.adapters.lora import tucker

ENDINGS = {
    **{f".lokr_w{i}": f"k{i}" for i in (1, 2)},
    **{f".lokr_w{i}_{side}": f"k{i}{side}" for i in (1, 2) for side in "ab"},
    ".lokr_t2": "core",
    ".alpha": "alpha",
}


def delta(parts: Parts, weights: Parts) -> Mapping[str, Tensor]:
    """As `AdapterKind.delta`.  alpha counts only beside a product; the rank is that of w2 where both are.

    Parts: k1 (o1, i1), or k1a (o1, r) and k1b (r, i1); k2 (o2, i2[, k, k]), or k2a (o2, r) and k2b
    (r, i2 k k), in Tucker's form core (r, r, k, k), k2a (r, o2) and k2b (r, i2).
    """
    first = parts["k1"] if "k1" in parts else parts["k1a"] @ parts["k1b"]
    second = parts["k2"] if "k2" in parts else _second(parts)
    low = next((parts[name] for name in ("k2b", "k1b") if name in parts), None)
    scale = 1.0 if low is None else scale_of(parts, low.shape[0])
    whole = torch.kron(first.reshape(*first.shape, *[1] * (second.dim() - 2)), second.contiguous())
    return {"weight": (scale * whole).reshape(weights["weight"].shape)}


def _second(parts: Parts) -> Tensor:
    a, b = parts["k2a"], parts["k2b"]
    if "core" in parts:
        return tucker(parts["core"], a, b)
    return (a @ b.flatten(1)).reshape(a.shape[0], *b.shape[1:])


# A file has one half or the other of each, so each way is a row.
LOKR = tuple(
    AdapterKind("LoKr", ENDINGS, frozenset({*first, *second}), delta)
    for first in (("k1",), ("k1a", "k1b"))
    for second in (("k2",), ("k2a", "k2b"))
)
