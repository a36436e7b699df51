"""How long an enlargement is said to take, before the first one and after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from app.studio.jobs import Studio
from app.studio.paces import TRIED_STEPS, Paces
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import Done, Event, Started, Step
from ldm_core.errors import EngineError
from ldm_core.library.models import ModelLibrary
from ldm_core.request import Request, SuperResolution
from ldm_core.request.raster import Raster
from ldm_core.tasks.upscale import num_cells
from tests import tiny

TILE = 24 * 24  # cells of 16 x 16 pixels and their margins; neighbours share six of a side


@pytest.fixture
def models(tmp_path: Path) -> ModelLibrary:
    """One that enlarges four times."""
    first_stage = replace(tiny.SPEC.first_stage, patch_size=2)
    spec = replace(tiny.UPSCALER, first_stage=first_stage)
    tiny.write_model(tmp_path, name="upscaler", spec=spec)
    return ModelLibrary([tmp_path])


def asked(width: int, height: int, scale: int = 4, steps: int = 12) -> SuperResolution:
    image = Raster(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    return SuperResolution(model="upscaler", image=image, scale=scale, steps=steps)


class Clockwork:
    """In place of an engine: begins after 9 s, then each step takes 2 s and what follows them 5 s."""

    def __init__(self) -> None:
        self.now = 0.0
        self.requests: list[Request] = []

    def submit(self, request: Request) -> Clockwork:
        self.requests.append(request)
        return self

    def events(self) -> Iterator[Event]:
        yield Started()
        self.now += 9
        for step in range(TRIED_STEPS):
            self.now += 2
            yield Step(0, 1, step + 1, TRIED_STEPS, 0.0, None)
        self.now += 5
        yield Done(self.now)


def test_one_tile_tells_how_long_many_take(models: ModelLibrary) -> None:
    engine = Clockwork()
    paces = Paces(lambda: cast("Engine", engine), models, lambda: engine.now)
    request = asked(28, 40)  # two tiles by three
    assert paces.expected(request) is None
    paces.try_out(request)
    paces.try_out(request)
    (tried,) = engine.requests
    assert isinstance(tried, SuperResolution)
    assert (tried.image.width, tried.image.height, tried.steps) == (16, 16, TRIED_STEPS)
    assert paces.expected(request) == (pytest.approx(6 * (12 * 2 + 5)), True)
    assert paces.expected(replace(request, sampler="heun")) is None
    paces.took(request, 60)
    assert paces.expected(asked(16, 16, steps=24)) == (pytest.approx(20), False)


def test_every_tile_and_every_pass_counts(models: ModelLibrary) -> None:
    info = models.info("upscaler")
    assert num_cells(asked(16, 16), info) == TILE
    assert num_cells(asked(28, 5), info) == 2 * 14 * 24  # 5 and 8 of margins, made even
    assert num_cells(asked(16, 16, scale=8), info) == TILE + 2 * 2 * TILE  # then of 32 x 32 pixels


def test_an_enlargement_in_two_passes_is_foreseen_and_measured(models: ModelLibrary) -> None:
    studio = Studio(models, None, "cpu")
    request = asked(12, 10, scale=8, steps=2)
    with pytest.raises(EngineError, match="not up yet"):
        studio.paces.try_out(request)
    studio.warm_up()
    studio.paces.try_out(request)
    told = studio.paces.expected(request)
    assert told is not None and told[0] > 0 and told[1]
    (picture,) = studio.make(request)
    assert picture.steps is not None  # of its last pass
    told = studio.paces.expected(request)
    assert told is not None and not told[1]
    studio.close()
