"""Samplers against models whose solution is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldm_core.guidance import guided
from ldm_core.samplers import SAMPLERS
from ldm_core.schedule import NoiseSchedule, Spacing, timesteps
from ldm_core.spec import ScheduleSpec

SCHEDULE = NoiseSchedule(ScheduleSpec(1000, 0.0015, 0.0195))


class Gaussian:
    """Data x_0 ~ N(mean, std^2): eps(x_t, t) is known, and so is where the deterministic process ends."""

    def __init__(self, mean: float, std: float) -> None:
        self.mean, self.std = mean, std

    def marginal_std(self, alpha_bar: float) -> float:
        return (alpha_bar * self.std**2 + 1 - alpha_bar) ** 0.5

    def eps(self, x: Tensor, t: int) -> Tensor:
        alpha_bar = SCHEDULE.alpha_bar(t)
        score = -(x - alpha_bar**0.5 * self.mean) / self.marginal_std(alpha_bar) ** 2
        return -((1 - alpha_bar) ** 0.5) * score

    def transported(self, x: Tensor, start: int, end: int) -> Tensor:
        """The probability-flow ODE keeps a sample's place, in standard deviations, in the marginal."""
        a, b = SCHEDULE.alpha_bar(start), SCHEDULE.alpha_bar(end)
        place = (x - a**0.5 * self.mean) / self.marginal_std(a)
        return b**0.5 * self.mean + place * self.marginal_std(b)


def run(name: str, model: Gaussian, x: Tensor, steps: list[int], eta: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    sampling = SAMPLERS[name](
        x, SCHEDULE, steps, eta, lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)
    )
    try:
        ask = next(sampling)
        while True:
            ask = sampling.send(model.eps(ask.x, ask.t))
    except StopIteration as finished:
        return finished.value


def noise(count: int = 64) -> Tensor:
    return torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("num_steps", [1, 2, 7, 50])
def test_data_at_one_point_are_reached_exactly(name: str, num_steps: int) -> None:
    point = Gaussian(0.7, 0.0)
    x_0 = run(name, point, noise(), timesteps(num_steps, 1000, "trailing"))
    torch.testing.assert_close(x_0, torch.full_like(x_0, 0.7), rtol=0, atol=1e-9)


def error(name: str, num_steps: int) -> float:
    """The largest distance from the exact solution."""
    model, steps = Gaussian(0.5, 0.8), timesteps(num_steps, 1000, "trailing")
    exact = model.transported(noise(), steps[0], -1)
    return float((run(name, model, noise(), steps) - exact).abs().max())


@pytest.mark.parametrize("name", SAMPLERS)
def test_twice_the_steps_halve_the_error(name: str) -> None:
    # Both are of first order here: PLMS loses its second one at the last step, to t = -1, where the
    # process is singular.
    errors = [error(name, num_steps) for num_steps in (50, 100, 200)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.15)


def test_plms_is_four_times_as_exact_as_ddim_at_the_same_steps() -> None:
    assert error("plms", 50) < error("ddim", 50) / 4


def test_ddim_with_every_timestep_solves_the_gaussian() -> None:
    model = Gaussian(-0.3, 1.3)
    steps = timesteps(1000, 1000, "trailing")
    x_0 = run("ddim", model, noise(), steps)
    torch.testing.assert_close(x_0, model.transported(noise(), 999, -1), rtol=0, atol=0.01)


def test_ddim_with_eta_1_samples_the_data_distribution() -> None:
    x_0 = run("ddim", Gaussian(0.5, 0.6), noise(20_000), timesteps(250, 1000, "trailing"), eta=1.0)
    assert float(x_0.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(x_0.std()) == pytest.approx(0.6, abs=0.02)


def test_eta_0_draws_no_noise_and_eta_1_differs() -> None:
    steps = timesteps(10, 1000, "trailing")
    model = Gaussian(0.0, 1.0)
    assert torch.equal(run("ddim", model, noise(), steps), run("ddim", model, noise(), steps))
    assert not torch.allclose(run("ddim", model, noise(), steps), run("ddim", model, noise(), steps, eta=1.0))


def test_asks_carry_the_step_and_the_last_prediction() -> None:
    point = Gaussian(0.2, 0.0)
    sampling = SAMPLERS["plms"](noise(), SCHEDULE, timesteps(3, 1000, "trailing"), 0.0, noise)
    ask = next(sampling)
    seen = [(ask.step, ask.pred_x0)]
    try:
        while True:
            ask = sampling.send(point.eps(ask.x, ask.t))
            seen.append((ask.step, ask.pred_x0))
    except StopIteration:
        pass
    assert [step for step, _ in seen] == [0, 0, 1, 2]  # the first step asks twice
    assert seen[0][1] is None
    assert all(torch.allclose(x, torch.full_like(x, 0.2)) for _, x in seen[1:] if x is not None)


@pytest.mark.parametrize("num_steps", [1, 3, 30, 37, 999, 1000])
def test_trailing_makes_exactly_the_steps_asked_for(num_steps: int) -> None:
    steps = timesteps(num_steps, 1000, "trailing")
    assert len(steps) == num_steps + 1
    assert steps[0] == 999
    assert steps[-1] == -1
    assert steps == sorted(set(steps), reverse=True)


def test_uniform_is_the_reference_spacing() -> None:
    assert timesteps(5, 1000, "uniform") == [801, 601, 401, 201, 1, 0]
    assert len(timesteps(6, 1000, "uniform")) - 1 == 7


@pytest.mark.parametrize("spacing", ["uniform", "trailing"])
@pytest.mark.parametrize("num_steps", [1, 250, 999, 1000])
def test_no_timestep_lies_outside_the_schedule(spacing: Spacing, num_steps: int) -> None:
    assert all(-1 <= t <= 999 for t in timesteps(num_steps, 1000, spacing))


def test_guidance_is_an_extrapolation() -> None:
    cond, uncond = torch.tensor(3.0), torch.tensor(1.0)
    assert [float(guided(cond, uncond, scale)) for scale in (0.0, 1.0, 2.0)] == [1.0, 3.0, 5.0]
