"""Text to image (paper, section 4.3.1)."""

from __future__ import annotations

from ldm_core.conditioners import Inputs
from ldm_core.library.models import ModelInfo
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import TextToImage
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.drawing import Drawing, draw
from ldm_core.tasks.geometry import Geometry
from ldm_core.tasks.inputs import prompt_of
from ldm_core.tasks.two_passes import sized


def prepare(request: TextToImage, model: LatentDiffusion, info: ModelInfo) -> Work:
    return sized(request, model, info, _draw)


def _draw(request: TextToImage, model: LatentDiffusion) -> Drawing:
    return draw(request, model, Inputs(prompt_of(request)), Geometry.of(request.size, model.spec))


TASK = Task(TextToImage, "text-to-image", "a model that takes a prompt", prepare)
