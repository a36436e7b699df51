"""DoRA: what another kind makes of W, with the length of each row or column learnt apart.

arXiv:2402.09353.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ldm_core.network.adapters.kind import AdapterKind, Parts

ENDINGS = {".dora_scale": "lengths", ".lora_magnitude_vector": "lengths"}


def decomposed(kind: AdapterKind) -> AdapterKind:
    """The same kind with lengths of its own: (o, ...) of the rows, or (1, i, ...) of the columns."""

    def delta(parts: Parts, weights: Parts) -> Mapping[str, Tensor]:
        weight, lengths = weights["weight"], parts["lengths"]
        changed = weight + kind.delta(parts, weights)["weight"]
        axis = 1 if lengths.dim() > 1 and lengths.shape[0] == 1 and changed.shape[0] != 1 else 0
        others = [i for i in range(changed.dim()) if i != axis]
        now = torch.linalg.vector_norm(changed, dim=others, keepdim=True) + torch.finfo(changed.dtype).eps
        shape = [-1 if i == axis else 1 for i in range(changed.dim())]
        return {"weight": changed * lengths.reshape(shape) / now - weight}

    return replace(
        kind,
        title=f"{kind.title} with DoRA",
        endings={**kind.endings, **ENDINGS},
        needs=kind.needs | {"lengths"},
        delta=delta,
        last=True,
    )
