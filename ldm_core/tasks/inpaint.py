"""Filling what is white in a mask (paper, section 4.5)."""

from __future__ import annotations

from ldm_core.library.models import ModelInfo
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Inpaint
from ldm_core.request.raster import WHITE
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.filling import fill
from ldm_core.tasks.geometry import Window, around


def prepare(request: Inpaint, model: LatentDiffusion, info: ModelInfo) -> Work:
    mask, window = request.mask.pixels, Window(0, 0, *request.size)
    if request.area == "masked":
        window = around(mask >= WHITE, request.margin + request.feather)
    return fill(request, model, info, request.image.pixels, mask, window)


TASK = Task(Inpaint, "inpaint", "a model that can fill a hole", prepare)
