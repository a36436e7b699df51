"""What the engine can be asked for.  A new task is a kind of request and a case in `prepare`."""

from __future__ import annotations

import numpy as np

from ldm_core.conditioners.spatial import NOTHING
from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.errors import RequestError
from ldm_core.library.class_names import num_labels
from ldm_core.library.models import ModelInfo
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import (
    ClassToImage,
    ImageToImage,
    Inpaint,
    LayoutToImage,
    Outpaint,
    Request,
    Semantic,
    Sized,
    SuperResolution,
    lineage,
)
from ldm_core.spec import ModelSpec
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Start, Work
from ldm_core.tasks.drawing import Canvas, class_given, draw, given_of, go_on, num_steps
from ldm_core.tasks.inpaint import inpaint, outpaint
from ldm_core.tasks.two_passes import two_passes
from ldm_core.tasks.upscale import upscale

__all__ = ["Conditioning", "Finishing", "Moment", "Start", "Work", "check", "prepare"]

_NEEDED = {
    "text-to-image": "a model that takes a prompt",
    "image-to-image": "a model that makes whole pictures",
    "inpaint": "a model that can fill a hole",
    "outpaint": "a model that can fill a hole",
    "super-resolution": "a model for super-resolution",
    "semantic": "a model that takes a label map",
    "layout": "a model that takes boxes",
    "class": "a model that takes a class",
    "unconditional": "a model that can do without a prompt",
}


def prepare(request: Request, model: LatentDiffusion, info: ModelInfo) -> Work:
    """Reads the request's inputs, once for all its pictures."""
    match request:
        case ImageToImage():
            return go_on(request, model)
        case Inpaint():
            return inpaint(request, model, info)
        case Outpaint():
            return outpaint(request, model, info)
        case SuperResolution():
            return upscale(request, model, info)
        case Sized() | Semantic() if request.second_pass:
            return two_passes(request, model, info)
    return draw(request, model)


def check(request: Request, info: ModelInfo) -> None:
    """Touches no weights.

    Raises:
        RequestError: the request, or one that it is a branch of, does not suit the model.
    """
    for one in lineage(request):
        _check(one, info)
    if request.branch is not None:
        last = num_steps(request, NoiseSchedule(info.spec.schedule)) - 1
        if request.branch.step > last:
            raise RequestError("branch", f"at step {request.branch.step}", f"at one from 1 to {last}")


def _check(request: Request, info: ModelInfo) -> None:
    if not serves(info.spec, request.task):
        raise RequestError("model", request.model, _NEEDED[request.task])
    most = info.spec.schedule.num_timesteps
    if request.steps > most:
        raise RequestError("steps", request.steps, f"at most {most} with {info.title}")
    given_of(request, info.spec, Canvas.of(request.size, info.spec))  # classes that the model does not know
    match request:
        case ClassToImage() if request.class_to:
            class_given("class_to", request.class_to, info.spec)
        case LayoutToImage():
            few = info.spec.max_boxes
            if few is not None and len(request.boxes) > few:
                raise RequestError("boxes", f"{len(request.boxes)} boxes", f"at most {few} boxes")
        case Semantic():
            _check_labels(request, info)
        case SuperResolution() if request.branch is not None:
            most = info.spec.first_stage.downsampling
            if request.scale > most:
                allowed = f"left out beyond {most} times the size, which is made by enlarging several times"
                raise RequestError("branch", request.branch.step, allowed)


def serves(spec: ModelSpec, task: str) -> bool:
    """Whether a model can do a task."""
    return {"outpaint": "inpaint"}.get(task, task) in spec.tasks


def _check_labels(request: Semantic, info: ModelInfo) -> None:
    count = num_labels(info.spec)
    used = np.unique(request.label_map.pixels)
    wrong = used[(used >= count) & (used != NOTHING)]
    if wrong.size:
        raise RequestError(
            "label_map",
            f"a map with class {int(wrong[0])}",
            f"a map of class ids from 0 to {count - 1} with {info.title}, {NOTHING} where nothing is said",
        )
