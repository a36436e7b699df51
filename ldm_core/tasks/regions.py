"""How much of each place of the latent the prompts of regions are.

Of every pixel, with m_r the mask and w_r the weight of region r, c = max m_r and b the prompt's own share,

    share_r = (1 - b) w_r m_r / (b + (1 - b) (1 - c + sum of w_q m_q))

and what is left is the prompt's own: all of it where no region is, b within one of weight 1.  A cell of the
latent has the mean of its pixels, a coarser feature map that of its cells (`nn/coupling.py`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldm_core.library.regions import masks_of, stretched
from ldm_core.model_spec import ModelSpec
from ldm_core.request import Request
from ldm_core.tasks.geometry import Geometry, Window


def shares_of(
    request: Request, spec: ModelSpec, geometry: Geometry, window: Window | None = None
) -> Tensor | None:
    """(k, h, w) of the latent's cells; None without regions.

    Args:
        window: the part of the picture that is drawn, where that is not all of it.
    """
    if not request.regions:
        return None
    size = geometry.width, geometry.height
    masks = [stretched(mask if window is None else window.of(mask), size) for mask in masks_of(request, spec)]
    weights = [region.weight for region in request.regions]
    cover, total = np.zeros_like(masks[0]), np.zeros_like(masks[0])
    for mask, weight in zip(masks, weights):
        cover = np.maximum(cover, mask)
        total += weight * mask
    own = 1 - request.base_share
    total = request.base_share + own * (1 - cover + total)
    shares = []
    for mask, weight in zip(masks, weights):
        share = torch.from_numpy(geometry.pad(own * weight * mask / total))
        shares.append(F.avg_pool2d(share[None], geometry.downsampling))
    return torch.cat(shares)
