"""Pictures from a class for every pixel (paper, section 4.3.2)."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from ldm_core.conditioners import Inputs
from ldm_core.errors import RequestError
from ldm_core.library.class_names import num_labels
from ldm_core.library.models import ModelInfo
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Semantic
from ldm_core.request.raster import NOTHING, Pixels, Raster
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.drawing import Drawing, draw
from ldm_core.tasks.geometry import Geometry
from ldm_core.tasks.inputs import prompt_of
from ldm_core.tasks.two_passes import two_passes


def prepare(request: Semantic, model: LatentDiffusion, info: ModelInfo) -> Work:
    if not request.second_pass:
        return _draw(request, model)
    return two_passes(request, request.second_pass, model, info, _draw, _of_size)


def check(request: Semantic, info: ModelInfo) -> None:
    count = num_labels(info.spec)
    used = np.unique(request.label_map.pixels)
    wrong = used[(used >= count) & (used != NOTHING)]
    if wrong.size:
        raise RequestError(
            "label_map",
            f"a map with class {int(wrong[0])}",
            f"a map of class ids from 0 to {count - 1} with {info.title}, {NOTHING} where nothing is said",
        )


def _draw(request: Semantic, model: LatentDiffusion) -> Drawing:
    geometry = Geometry.of(request.size, model.spec)
    labels = torch.from_numpy(geometry.pad(request.label_map.pixels).copy())
    return draw(request, model, Inputs(prompt_of(request), label_map=labels), geometry)


def _of_size(request: Semantic, width: int, height: int) -> Semantic:
    labels = _nearest(request.label_map.pixels, width, height)
    return replace(request, label_map=Raster(labels), second_pass=0.0, branch=None)


def _nearest(labels: Pixels, width: int, height: int) -> Pixels:
    """(H, W) ids in another size: ids cannot be mixed."""
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8)


TASK = Task(Semantic, "semantic", "a model that takes a label map", prepare, check)
