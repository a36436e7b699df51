"""LoHa: W + (alpha / rank) (w1a w1b) * (w2a w2b), a product of two low ranks, number by number.

arXiv:2108.06098; github.com/KohakuBlueleaf/LyCORIS, lycoris/functional/loha.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ldm_core.network.adapters.kind import AdapterKind, Parts, scale_of
from ldm_core.network.adapters.lora import tucker

ENDINGS = {
    **{f".hada_w{i}_{side}": f"w{i}{side}" for i in (1, 2) for side in "ab"},
    ".hada_t1": "t1",
    ".hada_t2": "t2",
    ".alpha": "alpha",
}


def delta(parts: Parts, weights: Parts) -> Mapping[str, Tensor]:
    """As `AdapterKind.delta`.

    Parts: w1a, w2a (o, r) and w1b, w2b (r, i k k); in Tucker's form of a convolution t1, t2 (r, r, k, k) with
    w1a, w2a (r, o) and w1b, w2b (r, i).
    """
    scale = scale_of(parts, parts["w1b"].shape[0])
    first, second = (_factor(parts[f"w{i}a"], parts[f"w{i}b"], parts.get(f"t{i}")) for i in (1, 2))
    return {"weight": (scale * first * second).reshape(weights["weight"].shape)}


def _factor(a: Tensor, b: Tensor, core: Tensor | None) -> Tensor:
    return a @ b if core is None else tucker(core, a, b)


LOHA = AdapterKind("LoHa", ENDINGS, frozenset({"w1a", "w1b", "w2a", "w2b"}), delta)
