"""Pictures of a class, or of something between two (paper, section 4.3.1)."""

from __future__ import annotations

from dataclasses import replace

from ldm_core.conditioners import Inputs
from ldm_core.library.models import ModelInfo
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import ClassToImage
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.drawing import Drawing, from_noise
from ldm_core.tasks.geometry import Geometry
from ldm_core.tasks.guidance import conditioning_of
from ldm_core.tasks.hints import hinted
from ldm_core.tasks.inputs import class_inputs
from ldm_core.tasks.two_passes import sized


def prepare(request: ClassToImage, model: LatentDiffusion, info: ModelInfo) -> Work:
    return sized(request, model, info, _draw)


def check(request: ClassToImage, info: ModelInfo) -> None:
    _inputs(request, info.spec)


def _draw(request: ClassToImage, model: LatentDiffusion) -> Drawing:
    geometry = Geometry.of(request.size, model.spec)
    first, *others = (
        conditioning_of(request, model, inputs, geometry.cells) for inputs in _inputs(request, model.spec)
    )
    for other in others:
        first = replace(first, cond=first.cond.towards(other.cond, request.blend))
    return from_noise(model, geometry, hinted(first, request, model, geometry))


def _inputs(request: ClassToImage, spec: ModelSpec) -> list[Inputs]:
    """The class, and the other one if there is one.

    Raises:
        RequestError: the model has no such class.
    """
    if request.class_id is None:
        inputs = [class_inputs("class_name", request.class_name, spec)]
    else:
        inputs = [class_inputs("class_id", request.class_id, spec)]
    return [*inputs, class_inputs("class_to", request.class_to, spec)] if request.class_to else inputs


TASK = Task(ClassToImage, "class", "a model that takes a class", prepare, check)
