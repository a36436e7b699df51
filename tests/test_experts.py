"""Two networks that share the timesteps: what goes from the first one to the second, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ldm_core.conditioners import KnownRegionSpec
from ldm_core.diffusion.experts import with_refiner
from ldm_core.diffusion.parameterization import Prediction
from ldm_core.diffusion.samplers import FUNCTIONS, Ask
from ldm_core.diffusion.schedule import NoiseSchedule, timesteps
from ldm_core.engine.engine import Engine
from ldm_core.library.models import ModelLibrary
from ldm_core.request import Inpaint, Request, TextToImage
from ldm_core.request.raster import Raster
from ldm_core.spec import RefinerSpec, ScheduleSpec
from tests import tiny

SCHEDULE = NoiseSchedule(ScheduleSpec(1000, 0.0015, 0.0195))
SHAPE = (1, 1, 4, 4)
SEEN = torch.linspace(-1, 1, 16, dtype=torch.float64).view(SHAPE)  # what the first network sees in any x_t


def noise(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def answered(ask: Ask) -> Prediction:
    """The first network is wrong about all that is in x_t but SEEN; the second says what is there."""
    alpha_bar = SCHEDULE.alpha_bar(ask.t)
    x0 = SEEN if ask.t >= 520 else alpha_bar**0.5 * ask.x
    return Prediction(x0, (ask.x - alpha_bar**0.5 * x0) / (1 - alpha_bar) ** 0.5)


def run(name: str, x: Tensor, below: int, num_steps: int = 10, first: int = 0) -> tuple[Tensor, list[Ask]]:
    asks: list[Ask] = []
    steps = timesteps(SCHEDULE, num_steps, "trailing")[first:]
    sampling = with_refiner(
        FUNCTIONS[name], x, SCHEDULE, steps, 0.0, lambda: noise(7), below=below, fresh=lambda: noise(8)
    )
    try:
        asks.append(next(sampling))
        while True:
            asks.append(sampling.send(answered(asks[-1])))
    except StopIteration as finished:
        return finished.value, asks


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_but_the_predicted_picture_is_with_refiner(name: str) -> None:
    (one, asks), (other, _) = run(name, noise(1), 520), run(name, noise(2), 520)
    if name != "heun":  # which asks the second network at the end of the first one's last step
        turn = next(ask for ask in asks if ask.t < 520)
        alpha_bar = SCHEDULE.alpha_bar(turn.t)
        torch.testing.assert_close(turn.x, alpha_bar**0.5 * SEEN + (1 - alpha_bar) ** 0.5 * noise(8))
        assert torch.equal(one, other)
    if name != "lcm":  # each of whose steps begins with fresh noise
        assert not torch.equal(run(name, noise(1), 0)[0], run(name, noise(2), 0)[0])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("below", [0, 300, 520, 2000])
def test_steps_are_counted_through_and_every_ask_carries_the_last_prediction(name: str, below: int) -> None:
    _, asks = run(name, noise(1), below)
    expected = timesteps(SCHEDULE, 10, "trailing")
    assert sorted({ask.step for ask in asks}) == list(range(10))
    assert [next(a.t for a in asks if a.step == step) for step in range(10)] == expected[:10]
    assert asks[0].pred_x0 is None and all(ask.pred_x0 is not None for ask in asks[1:])


@pytest.mark.parametrize("first", [6, 9])
def test_who_begins_below_is_handed_nothing(first: int) -> None:
    assert timesteps(SCHEDULE, 10, "trailing")[first] < 520
    one, other = (run("ddim", noise(seed), 520, first=first)[0] for seed in (1, 2))
    assert not torch.equal(one, other)


# In tasks -------------------------------------------------------------------------------------------------

_PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
_MASK = np.zeros((64, 64), np.uint8)
_MASK[16:48, 16:48] = 255
HOLE = Inpaint(image=Raster(_PIXELS), mask=Raster(_MASK), prompt="a lake", steps=6, seed=3)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Models with the same networks, the second one of which takes over at 400, or all of the timesteps."""
    folder = tmp_path_factory.mktemp("models")
    unet = replace(tiny.SPEC.unet, in_channels=9)
    whole = replace(tiny.SPEC, unet=unet, conditioners=(*tiny.SPEC.conditioners, KnownRegionSpec()))
    for name, below in (("late", 400), ("always", 1000)):
        tiny.write_model(folder, name=name, spec=replace(whole, refiner=RefinerSpec(unet, below)))
    with Engine(ModelLibrary([folder]), device="cpu") as engine:
        yield engine


def trajectory(engine: Engine, request: Request) -> list[Tensor]:
    job = engine.submit(request)
    list(job.events())
    return [moment.x.float() for moment in job.trajectory(0)]


def test_only_what_fills_a_hole_is_with_refiner(engine: Engine) -> None:
    def step_over_the_turn(request: Request) -> float:
        before, after = trajectory(engine, replace(request, model="late", sampler="ddim"))[3:5]
        return float((after - before).std())

    whole = TextToImage(prompt="a lake", width=64, height=64, steps=6, seed=3)
    assert [t < 400 for t in timesteps(SCHEDULE, 6, "trailing")[3:5]] == [False, True]
    assert step_over_the_turn(HOLE) > 2 * step_over_the_turn(whole)


def test_an_unchanged_branch_from_before_the_turn_is_the_same_picture(engine: Engine) -> None:
    job = engine.submit(replace(HOLE, model="late"))
    (first,) = job.pictures()
    (again,) = engine.branch(job, 0, 2, job.request).pictures()
    assert np.abs(again.astype(int) - first).mean() < 2  # it begins from half precision
    (other,) = engine.branch(job, 0, 2, replace(job.request, seed=4)).pictures()
    assert not np.array_equal(other, first)


def test_guidance_is_towards_what_is_around_a_hole(engine: Engine) -> None:
    """With no prompt, nothing else is there to be guided towards."""
    unsaid = replace(HOLE, model="always", prompt="", steps=2)
    one, other = (engine.submit(replace(unsaid, guidance_scale=scale)).pictures()[0] for scale in (1, 4))
    assert not np.array_equal(one, other)
