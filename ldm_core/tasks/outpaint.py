"""Extending a picture: its edge is repeated, and that is filled (paper, section 4.5)."""

from __future__ import annotations

import numpy as np

from ldm_core.library.models import ModelInfo
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Outpaint
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.filling import fill
from ldm_core.tasks.geometry import Window


def prepare(request: Outpaint, model: LatentDiffusion, info: ModelInfo) -> Work:
    sides = ((request.top, request.bottom), (request.left, request.right))
    picture = np.pad(request.image.pixels, (*sides, (0, 0)), mode="edge")
    mask = np.pad(np.zeros(request.image.pixels.shape[:2], np.uint8), sides, constant_values=255)
    return fill(request, model, info, picture, mask, Window(0, 0, *request.size))


TASK = Task(Outpaint, "inpaint", "a model that can fill a hole", prepare)
