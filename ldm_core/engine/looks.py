"""Moments of a job that somebody wants to see."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import torch

from ldm_core.engine.loader import Loaded
from ldm_core.engine.record import Record
from ldm_core.library.models import ModelInfo
from ldm_core.network.device import unless_out_of_memory
from ldm_core.network.tiling import run
from ldm_core.request import PLANS, Request
from ldm_core.request.raster import Pixels
from ldm_core.tasks import Moment, prepare


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A moment that is to be seen."""

    record: Record
    request: Request  # of that picture alone
    passes: Sequence[Pixels]  # those before the one of which it is
    moment: Moment
    loading: Future[Loaded]
    seen: Future[Pixels]


def decoded(look: Look, info: ModelInfo) -> Pixels:
    """What it looks like, in small pieces where memory is short; once the model is loaded."""
    pixels = unless_out_of_memory(lambda: _decoded(look, info, look.request.plan))
    return _decoded(look, info, PLANS) if pixels is None else pixels


def _decoded(look: Look, info: ModelInfo, plan: Sequence[str] | None) -> Pixels:
    loaded, measured = look.loading.result()
    model = loaded.by_plan(plan)
    work = prepare(look.request, model, info)
    for pixels in look.passes:
        work = work.then(pixels) or work
    look.record.preview = measured.preview, work.shown
    return run(work.finish(look.moment.seen.to(model.device, torch.float32)))
