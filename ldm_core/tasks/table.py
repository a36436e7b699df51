"""The tasks, one row each, and what the engine asks of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.errors import RequestError
from ldm_core.library.models import ModelInfo
from ldm_core.library.regions import check_regions
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Request, lineage
from ldm_core.tasks import (
    class_to_image,
    image_to_image,
    inpaint,
    layout,
    outpaint,
    semantic,
    text_to_image,
    unconditional,
    upscale,
)
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.noise import timesteps_of
from ldm_core.tasks.wording import wording_of

_ROWS: tuple[Task[Any], ...] = (  # each of another kind of request
    text_to_image.TASK,
    image_to_image.TASK,
    inpaint.TASK,
    outpaint.TASK,
    upscale.TASK,
    semantic.TASK,
    layout.TASK,
    class_to_image.TASK,
    unconditional.TASK,
)
TASKS: Mapping[type[Request], Task[Any]] = {task.request: task for task in _ROWS}

R = TypeVar("R", bound=Request)


def task_of(request: R) -> Task[R]:
    """The row of a request.

    Raises:
        RequestError: it is made without a model (`ldm_core.tasks.removal`).
    """
    if type(request) not in TASKS:
        raise RequestError("task", request.task, f"one that a model makes: {', '.join(map(_name, TASKS))}")
    return TASKS[type(request)]


def _name(kind: type[Request]) -> str:
    return str(next(field.default for field in fields(kind) if field.name == "task"))


def prepare(request: Request, model: LatentDiffusion, info: ModelInfo) -> Work:
    """Reads the request's inputs, once for all its pictures."""
    return task_of(request).prepare(request, model, info)


def check(request: Request, info: ModelInfo) -> None:
    """Touches no weights.

    Raises:
        RequestError: the request, or one that it is a branch of, does not suit the model.
    """
    for part in lineage(request):
        _check(part, info)
    if request.branch is not None:
        last = num_steps(request, NoiseSchedule(info.spec.schedule)) - 1
        if request.branch.step > last:
            raise RequestError("branch", f"at step {request.branch.step}", f"at one from 1 to {last}")


def _check(request: Request, info: ModelInfo) -> None:
    task = task_of(request)
    if task.capability not in info.spec.tasks:
        raise RequestError("model", request.model, task.needs)
    most = info.spec.schedule.num_timesteps
    if request.steps > most:
        raise RequestError("steps", request.steps, f"at most {most} with {info.title}")
    check_regions(request, info.spec, info.title)
    wording_of(request, info.spec, request.prompt.strip())
    task.check(request, info)


def num_steps(request: Request, schedule: NoiseSchedule) -> int:
    """How many steps a request's picture takes."""
    return request.num_steps(len(timesteps_of(request, schedule)) - 1)
