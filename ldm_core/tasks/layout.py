"""Pictures from labelled boxes (paper, section 4.3.1)."""

from __future__ import annotations

from ldm_core.conditioners import Box, Inputs
from ldm_core.errors import RequestError
from ldm_core.library.class_names import box_classes, class_id
from ldm_core.library.models import ModelInfo
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import LayoutToImage
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.drawing import Drawing, draw
from ldm_core.tasks.geometry import Geometry
from ldm_core.tasks.inputs import prompt_of
from ldm_core.tasks.two_passes import sized


def prepare(request: LayoutToImage, model: LatentDiffusion, info: ModelInfo) -> Work:
    return sized(request, model, info, _draw)


def check(request: LayoutToImage, info: ModelInfo) -> None:
    _boxes(request, info.spec, Geometry.of(request.size, info.spec))
    most = info.spec.max_boxes
    if most is not None and len(request.boxes) > most:
        raise RequestError("boxes", f"{len(request.boxes)} boxes", f"at most {most} boxes")


def _draw(request: LayoutToImage, model: LatentDiffusion) -> Drawing:
    geometry = Geometry.of(request.size, model.spec)
    inputs = Inputs(prompt_of(request), boxes=_boxes(request, model.spec, geometry))
    return draw(request, model, inputs, geometry)


def _boxes(request: LayoutToImage, spec: ModelSpec, geometry: Geometry) -> tuple[Box, ...]:
    """In fractions of the padded picture; none where the model draws boxes by their prompts alone.

    Raises:
        RequestError: the model has no such class.
    """
    if spec.taking("boxes") is None:
        return ()
    names, (width, height) = box_classes(spec), geometry.padded
    across, down = geometry.width / width, geometry.height / height
    count = len(names) or 1
    return tuple(
        Box(
            class_id("boxes", box.label, names, count),
            across * box.x,
            down * box.y,
            across * (box.x + box.width),
            down * (box.y + box.height),
        )
        for box in request.boxes
    )


TASK = Task(LayoutToImage, "layout", "a model that takes boxes", prepare, check)
