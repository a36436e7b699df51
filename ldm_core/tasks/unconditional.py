"""Pictures from nothing but noise (paper, section 4.2)."""

from __future__ import annotations

from ldm_core.conditioners import Inputs
from ldm_core.library.models import ModelInfo
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Unconditional
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.drawing import Drawing, draw
from ldm_core.tasks.geometry import Geometry
from ldm_core.tasks.two_passes import sized


def prepare(request: Unconditional, model: LatentDiffusion, info: ModelInfo) -> Work:
    return sized(request, model, info, _draw)


def _draw(request: Unconditional, model: LatentDiffusion) -> Drawing:
    return draw(request, model, Inputs(), Geometry.of(request.size, model.spec))


TASK = Task(Unconditional, "unconditional", "a model that can do without a prompt", prepare)
