"""How long a picture will take: by what the last one took; an enlargement also by one tile of it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from ldm_core.engine.events import Done, Step
from ldm_core.errors import ModelError
from ldm_core.library.models import ModelLibrary
from ldm_core.request import RULES, SAMPLERS, Request, SuperResolution
from ldm_core.request.raster import Raster

if TYPE_CHECKING:
    from ldm_core.engine.engine import Engine

TRIED_STEPS = 4


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds for a cell of the latent: of each step, and of all that follows the last one.

    estimated: by one tile.
    """

    step: float
    finishing: float = 0.0
    estimated: bool = False


class Paces:
    """The pace of each model and sampler, as far as it is known.

    Args:
        engine: gives the engine, once it is up.
        clock: tells seconds.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        models: ModelLibrary,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._models = models
        self._clock = clock
        self._paces: dict[tuple[str, str], Pace] = {}
        # Of all other tasks, the newest last: seconds for a pixel of a step.
        self._usual: dict[tuple[str, str, str], float] = {}
        self._trying = threading.Lock()

    def took(self, request: Request, seconds: float) -> None:
        """Learns from a job that was made in one go."""
        if isinstance(request, SuperResolution):
            self._paces[_key(request)] = Pace(seconds / request.steps / self._cells(request))
        else:
            key = request.task, request.model, request.sampler
            self._usual.pop(key, None)
            self._usual[key] = seconds / _work(request)

    def seconds(self, request: Request) -> float | None:
        """That a job will take from its turn on, about; None where its model has made nothing yet."""
        if not isinstance(request, SuperResolution):
            pace = self._nearest(request)
            return None if pace is None else pace * _work(request)
        try:
            known = self.expected(request)
        except ModelError:
            return None
        return None if known is None else known[0]

    def _nearest(self, request: Request) -> float | None:
        """The pace of what is most like it: made by the same model, if need be by another sampler."""
        by_likeness = sorted(
            (task == request.task, sampler == request.sampler, i, pace)
            for i, ((task, model, sampler), pace) in enumerate(self._usual.items())
            if model == request.model
        )
        return by_likeness[-1][-1] if by_likeness else None

    def expected(self, request: SuperResolution) -> tuple[float, bool] | None:
        """Seconds from the request's turn on, and whether that is an estimate; None where nothing is known.

        Raises:
            ModelError: there is no such model.
        """
        pace = self._paces.get(_key(request))
        if pace is None:
            return None
        return (pace.step * request.steps + pace.finishing) * self._cells(request), pace.estimated

    def try_out(self, request: SuperResolution) -> None:
        """Makes a tile of the picture in a few steps, unless the pace is known; waits for it.

        Raises:
            AtelierError: the engine or the model cannot be used.
        """
        from ldm_core.tasks.upscale import tile_side  # brings torch, which the page must not wait for

        with self._trying:
            if _key(request) in self._paces:
                return
            info = self._models.info(request.model)
            side = tile_side(info)
            factor = RULES["scale"].read(info.spec.first_stage.downsampling)
            tried = replace(
                request,
                image=Raster(request.image.pixels[:side, :side]),
                scale=factor if isinstance(factor, int) else request.scale,
                steps=TRIED_STEPS,
                branch=None,
            )
            events = self._engine().submit(tried).events()
            times = [self._clock() for event in events if isinstance(event, Step | Done)]
            if len(times) <= TRIED_STEPS:  # it failed, and a real one will say why
                return
            # The first step also loads and warms up.
            step = statistics.median(after - before for before, after in pairwise(times[:-1]))
            cells = self._cells(tried)
            self._paces[_key(request)] = Pace(step / cells, (times[-1] - times[-2]) / cells, estimated=True)

    def _cells(self, request: SuperResolution) -> int:
        from ldm_core.tasks.upscale import num_cells  # brings torch, which the page must not wait for

        return num_cells(request, self._models.info(request.model))


def _key(request: SuperResolution) -> tuple[str, str]:
    return request.model, request.sampler


def _work(request: Request) -> int:
    """Pixels times network calls."""
    width, height = request.size
    calls = max(1, request.num_steps(request.steps)) * SAMPLERS[request.sampler].calls
    return width * height * calls * request.batch_size
