"""OFT and BOFT: rows of W are turned, R W, in blocks; BOFT in several butterfly stages.

arXiv:2306.07280, arXiv:2311.06243; LyCORIS, lycoris/functional/diag_oft.py and boft.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ldm_core.network.adapters.kind import AdapterKind, Parts

ENDINGS = {".oft_blocks": "blocks", ".rescale": "rescale", ".alpha": "alpha"}


def delta(parts: Parts, weights: Parts) -> Mapping[str, Tensor]:
    """As `AdapterKind.delta`.  alpha is how far the turn may go, for each row; 0 or none: any.

    Parts: blocks (n, b, b), or (m, n, b, b) of m stages; rescale, a factor for each row.
    """
    weight, blocks = weights["weight"], parts["blocks"]
    turns = _turns(blocks, float(parts["alpha"]) * weight.shape[0] if "alpha" in parts else 0.0)
    flat = weight.flatten(1)
    turned = _butterfly(turns, flat) if blocks.dim() == 4 else _in_blocks(turns.mT, flat)
    if "rescale" in parts:
        turned = turned * parts["rescale"].reshape(-1, 1)
    return {"weight": turned.reshape(weight.shape) - weight}


def _turns(blocks: Tensor, most: float) -> Tensor:
    """Cayley's transform of the blocks' antisymmetric parts."""
    q = blocks - blocks.mT
    norm = q.norm() + 1e-8
    if most > 0 and norm > most:
        q = q * most / norm
    eye = torch.eye(q.shape[-1], device=q.device)
    return (eye + q) @ torch.linalg.inv(eye - q)


def _in_blocks(turns: Tensor, rows: Tensor) -> Tensor:
    """(n, b, b) on (n b, i)."""
    return (turns @ rows.reshape(turns.shape[0], -1, rows.shape[1])).flatten(0, 1)


def _butterfly(turns: Tensor, rows: Tensor) -> Tensor:
    """(m, n, b, b): stage i mixes rows that lie 2^i b / 2 apart."""
    half, inputs = turns.shape[-1] // 2, rows.shape[1]
    for i, stage in enumerate(turns):
        apart = 2**i * half
        beside = rows.reshape(-1, 2, apart, inputs).transpose(1, 2).flatten(0, 2)
        rows = _in_blocks(stage, beside).reshape(-1, apart, 2, inputs).transpose(1, 2).flatten(0, 2)
    return rows


OFT = AdapterKind("OFT", ENDINGS, frozenset({"blocks"}), delta, last=True)
