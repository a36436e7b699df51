"""(IA)^3: a factor for each row or column of W.  arXiv:2205.05638."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ldm_core.network.adapters.kind import AdapterKind, Parts

ENDINGS = {".weight": "factor", ".on_input": "on_input"}


def delta(parts: Parts, weights: Parts) -> Mapping[str, Tensor]:
    """As `AdapterKind.delta`.  Parts: factor, in any shape, of the inputs where on_input is not 0."""
    weight = weights["weight"]
    axis = 1 if float(parts["on_input"]) else 0
    shape = [-1 if i == axis else 1 for i in range(weight.dim())]
    return {"weight": weight * parts["factor"].reshape(shape)}


IA3 = AdapterKind("(IA)^3", ENDINGS, frozenset({"factor", "on_input"}), delta, last=True)
