"""Samplers against models whose solution is known."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from ldm_core.diffusion.around import keeping, tiled
from ldm_core.diffusion.guidance import Guidance, guided
from ldm_core.diffusion.parameterization import Prediction, prediction
from ldm_core.diffusion.samplers import FUNCTIONS, Ask, Sampling, diffused, redrawn
from ldm_core.diffusion.schedule import NoiseSchedule, timesteps
from ldm_core.request import SAMPLERS, SamplerSpec
from ldm_core.request import SPACINGS as SPACING_SPECS
from ldm_core.spec import Parameterization, ScheduleSpec, Spacing

SCHEDULE = NoiseSchedule(ScheduleSpec(1000, 0.0015, 0.0195))
NO_SIGNAL = NoiseSchedule(ScheduleSpec(1000, 0.00085, 0.012, zero_terminal_snr=True))
SPACINGS: tuple[Spacing, ...] = get_args(Spacing)
CONVERGES = tuple(spec for spec in SAMPLERS.values() if spec.order)
NAMES = tuple(spec.name for spec in CONVERGES)
ADDS_NOISE = tuple(spec for spec in CONVERGES if spec.adds_noise)
DETERMINISTIC = tuple(spec for spec in CONVERGES if not spec.adds_noise)


def test_each_row_of_the_table_has_its_function() -> None:
    assert SAMPLERS.keys() == FUNCTIONS.keys()
    assert all(name == spec.name and spec.title and spec.a1111 for name, spec in SAMPLERS.items())
    assert set(SPACING_SPECS) == set(SPACINGS)


def test_the_readme_names_all_samplers() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    (sentence,) = re.findall(r"`sampler` is one of ([^.]*)\.", text)
    assert re.findall(r"`(\w+)`", sentence)[: len(SAMPLERS)] == list(SAMPLERS)


class Gaussian:
    """Data x_0 ~ N(mean, std^2): x_0 and eps given x_t are known, and so is where the process ends."""

    def __init__(self, mean: float, std: float, schedule: NoiseSchedule = SCHEDULE) -> None:
        self.mean, self.std, self.schedule = mean, std, schedule

    def marginal_std(self, t: float) -> float:
        alpha_bar = self.schedule.alpha_bar(t)
        return (alpha_bar * self.std**2 + 1 - alpha_bar) ** 0.5

    def __call__(self, x: Tensor, t: float) -> Prediction:
        alpha_bar = self.schedule.alpha_bar(t)
        place = (x - alpha_bar**0.5 * self.mean) / self.marginal_std(t) ** 2
        return Prediction(
            x0=self.mean + alpha_bar**0.5 * self.std**2 * place, eps=(1 - alpha_bar) ** 0.5 * place
        )

    def transported(self, x: Tensor, start: float, end: float) -> Tensor:
        """The probability-flow ODE keeps a sample's place, in standard deviations, in the marginal."""
        a, b = self.schedule.alpha_bar(start), self.schedule.alpha_bar(end)
        place = (x - a**0.5 * self.mean) / self.marginal_std(start)
        return b**0.5 * self.mean + place * self.marginal_std(end)


def run(
    name: str,
    model: Gaussian | Flow,
    x: Tensor,
    steps: list[float],
    eta: float = 0.0,
    noise: Callable[[], Tensor] | None = None,
    asks: list[Ask] | None = None,
) -> Tensor:
    """x_0; every ask is added to `asks`."""
    generator = torch.Generator().manual_seed(1)
    drawn = noise or (lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype))
    sampling = FUNCTIONS[name](x, model.schedule, steps, eta, drawn)
    try:
        ask = next(sampling)
        while True:
            if asks is not None:
                asks.append(ask)
            ask = sampling.send(model(ask.x, ask.t))
    except StopIteration as finished:
        return finished.value


def noise(count: int = 64) -> Tensor:
    return torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("schedule", [SCHEDULE, NO_SIGNAL], ids=["published", "zero terminal SNR"])
@pytest.mark.parametrize("spacing", ["trailing", "karras"])
@pytest.mark.parametrize("num_steps", [1, 2, 7, 50])
def test_data_at_one_point_are_reached_exactly(
    name: str, schedule: NoiseSchedule, spacing: Spacing, num_steps: int
) -> None:
    point = Gaussian(0.7, 0.0, schedule)
    x_0 = run(name, point, noise(), timesteps(schedule, num_steps, spacing))
    torch.testing.assert_close(x_0, torch.full_like(x_0, 0.7), rtol=0, atol=1e-9)


# Order of convergence: from t = 999 to 20, evenly in log sigma; the step to the clean image is a
# singular one and of first order with all of them.


def even_in_log_sigma(num_steps: int) -> list[float]:
    ends = [math.log(SCHEDULE.sigma(t)) for t in (999, 20)]
    return [SCHEDULE.timestep(math.exp(value)) for value in np.linspace(*ends, num_steps + 1)]


def orders(errors: list[float]) -> list[float]:
    """From the errors at numbers of steps that double."""
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]


@pytest.mark.parametrize(("name", "order"), [(spec.name, spec.order) for spec in DETERMINISTIC])
def test_order_of_convergence(name: str, order: int) -> None:
    model, errors = Gaussian(0.5, 0.8), []
    for num_steps in (40, 80, 160):
        steps = even_in_log_sigma(num_steps)
        exact = model.transported(noise(), steps[0], steps[-1])
        errors.append(float((run(name, model, noise(), steps) - exact).abs().max()))
    assert orders(errors) == pytest.approx([order, order], abs=0.12)


def resulting_std(name: str, model: Gaussian, steps: list[float]) -> float:
    """Exactly: x_T and each noise drawn are axes of their own, and all is linear when the mean is 0."""
    x_T = torch.zeros(1, len(steps), 1, 1, dtype=torch.float64)
    x_T[0, 0] = model.marginal_std(steps[0])
    axes = iter(range(1, len(steps)))

    def noise() -> Tensor:
        drawn = torch.zeros_like(x_T)
        drawn[0, next(axes)] = 1
        return drawn

    return float(run(name, model, x_T, steps, eta=1.0, noise=noise).norm())


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), *((spec.name, spec.order) for spec in ADDS_NOISE)])
def test_order_of_convergence_of_the_distribution(name: str, order: int) -> None:
    model, errors = Gaussian(0.0, 0.8), []
    for num_steps in (40, 80, 160):
        steps = even_in_log_sigma(num_steps)
        errors.append(abs(resulting_std(name, model, steps) - model.marginal_std(steps[-1])))
    assert orders(errors) == pytest.approx([order, order], abs=0.15)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spacing", ["trailing", "karras"])
@pytest.mark.parametrize("schedule", [SCHEDULE, NO_SIGNAL], ids=["published", "zero terminal SNR"])
def test_many_steps_give_the_data_distribution(name: str, spacing: Spacing, schedule: NoiseSchedule) -> None:
    model = Gaussian(0.0, 0.6, schedule)
    assert resulting_std(name, model, timesteps(schedule, 250, spacing)) == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("spec", DETERMINISTIC, ids=lambda spec: spec.name)
def test_higher_order_needs_fewer_steps(spec: SamplerSpec) -> None:
    model, steps = Gaussian(0.5, 0.8), timesteps(SCHEDULE, 20, "karras")
    error = (run(spec.name, model, noise(), steps) - model.transported(noise(), 999, -1)).abs().max()
    assert float(error) < (0.3 if spec.order == 1 else 0.07)


# Noise ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SAMPLERS.values(), ids=lambda spec: spec.name)
def test_who_draws_noise(spec: SamplerSpec) -> None:
    drawn: list[Tensor] = []

    def count() -> Tensor:
        drawn.append(noise())
        return drawn[-1]

    for eta in (0.0, 1.0):
        drawn.clear()
        run(spec.name, Gaussian(0.0, 1.0), noise(), timesteps(SCHEDULE, 10, "trailing"), eta, count)
        # The last step arrives at the clean image: no noise is added.
        assert len(drawn) == (9 if spec.adds_noise or (spec.uses_eta and eta > 0) else 0)


def test_samplers_that_are_one_process_by_two_names() -> None:
    steps = timesteps(SCHEDULE, 12, "karras")
    model = Gaussian(0.3, 0.9)
    for eta, names in ((0.0, ("ddim", "euler")), (1.0, ("ddim", "ddpm")), (1.0, ("ddim", "euler_ancestral"))):
        one, other = (run(name, model, noise(), steps, eta) for name in names)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


# What is asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_asks_carry_the_step_and_the_last_prediction(name: str, spacing: Spacing) -> None:
    asks: list[Ask] = []
    steps = timesteps(SCHEDULE, 5, spacing)
    run(name, Gaussian(0.2, 0.0), noise(), steps, asks=asks)
    twice = {"heun": {0, 1, 2, 3, 4}, "plms": {0}}.get(name, set())
    sigmas = [SCHEDULE.sigma(t) for t in steps]
    twice = {i for i in twice if sigmas[i] <= 12 * sigmas[i + 1]}  # beyond that the slope there says nothing
    assert [ask.step for ask in asks] == sorted([*range(5), *twice])
    assert [ask.t for ask in asks] == sorted([*steps[:5], *(steps[i + 1] for i in twice)], reverse=True)
    assert asks[0].pred_x0 is None
    for ask in asks[1:]:
        assert ask.pred_x0 is not None
        torch.testing.assert_close(ask.pred_x0, torch.full_like(ask.x, 0.2), rtol=0, atol=1e-9)


# Timesteps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", ["trailing", "karras", "linspace", "quadratic"])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 30, 37, 250])
def test_exactly_the_steps_asked_for(spacing: Spacing, num_steps: int) -> None:
    steps = timesteps(SCHEDULE, num_steps, spacing)
    assert len(steps) == num_steps + 1
    assert steps == sorted(set(steps), reverse=True)
    assert steps[0] == (801 if spacing == "quadratic" else 999)
    assert steps[-1] == (0 if spacing == "quadratic" else -1)


def test_spacings_of_the_reference_implementation() -> None:
    assert timesteps(SCHEDULE, 5, "uniform") == [801, 601, 401, 201, 1, 0]
    assert len(timesteps(SCHEDULE, 6, "uniform")) - 1 == 7
    reference = [*(np.linspace(0, math.sqrt(1000 * 0.8), 10) ** 2).astype(int)[::-1] + 1, 0]
    assert [math.floor(t + 1e-9) for t in timesteps(SCHEDULE, 10, "quadratic")] == reference


def test_linspace_is_even_and_reaches_the_last_timestep() -> None:
    assert timesteps(SCHEDULE, 4, "linspace") == pytest.approx([999, 666, 333, 0, -1])


def test_karras_spacing_is_even_in_the_seventh_root_of_sigma() -> None:
    steps = timesteps(SCHEDULE, 10, "karras")
    roots = [SCHEDULE.sigma(t) ** (1 / 7) for t in steps[:-1]]
    assert np.diff(roots) == pytest.approx([(roots[-1] - roots[0]) / 9] * 9, rel=1e-6)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("count", [2, 10, 1000])
def test_no_timestep_lies_outside_the_schedule_or_comes_twice(spacing: Spacing, count: int) -> None:
    schedule = NoiseSchedule(ScheduleSpec(count, 0.0015, 0.0195))
    for num_steps in {1, 2, count // 2, count - 1, count}:
        steps = timesteps(schedule, num_steps, spacing)
        assert all(-1 <= t <= count - 1 for t in steps)
        assert steps == sorted(set(steps), reverse=True)


# Schedules ------------------------------------------------------------------------------------------------


def test_between_two_timesteps_log_sigma_is_linear() -> None:
    assert SCHEDULE.alpha_bar(500.0) == float(SCHEDULE.alphas_cumprod[500])
    assert SCHEDULE.sigma(500.25) == pytest.approx(SCHEDULE.sigma(500) ** 0.75 * SCHEDULE.sigma(501) ** 0.25)
    for t in (0.0, 0.5, 17.3, 998.9, 999.0):
        assert SCHEDULE.timestep(SCHEDULE.sigma(t)) == pytest.approx(t, abs=1e-9)
    assert SCHEDULE.timestep(1e9) == 999 and SCHEDULE.timestep(1e-9) == 0
    assert (SCHEDULE.alpha_bar(-1), SCHEDULE.sigma(-1)) == (1.0, 0.0)


def test_kinds_of_schedules() -> None:
    scaled, linear, cosine = (
        NoiseSchedule(ScheduleSpec(1000, 0.00085, 0.012, kind=kind)).alphas_cumprod
        for kind in ("scaled_linear", "linear", "cosine")
    )
    assert float(scaled[-1]) == pytest.approx(0.0047, abs=1e-4)  # Stable Diffusion's
    assert float(linear[-1]) == pytest.approx(math.prod(1 - b for b in np.linspace(0.00085, 0.012, 1000)))
    assert float(cosine[499]) == pytest.approx(math.cos(0.508 / 1.008 * math.pi / 2) ** 2, rel=1e-3)
    given = NoiseSchedule(ScheduleSpec(3, 0.0, 0.0, betas=(0.1, 0.2, 0.3)))
    assert given.alphas_cumprod.tolist() == pytest.approx([0.9, 0.72, 0.504])


def test_zero_terminal_snr() -> None:
    published = NoiseSchedule(ScheduleSpec(1000, 0.00085, 0.012))
    assert NO_SIGNAL.alpha_bar(999) == 0 and NO_SIGNAL.sigma(999) == math.inf
    assert NO_SIGNAL.alpha_bar(0) == pytest.approx(published.alpha_bar(0))
    root = NO_SIGNAL.alphas_cumprod.sqrt()
    ratio = (root[0] - root) / (root[0] - published.alphas_cumprod.sqrt()).clamp(min=1e-12)
    torch.testing.assert_close(ratio[1:], ratio[1:2].expand(999), rtol=1e-6, atol=0)


def conversions() -> Iterator[tuple[Parameterization, float]]:
    for parameterization in get_args(Parameterization):
        for t in (0, 500, 999):
            yield parameterization, t


@pytest.mark.parametrize(("parameterization", "t"), conversions())
def test_what_the_network_says_is_read_as_x0_and_eps(parameterization: Parameterization, t: int) -> None:
    x0, eps = noise().flip(0), noise()
    schedule = SCHEDULE if parameterization == "eps" else NO_SIGNAL
    alpha, sigma = schedule.alpha_bar(t) ** 0.5, (1 - schedule.alpha_bar(t)) ** 0.5
    v = alpha * eps - sigma * x0
    said = {"eps": eps, "x0": x0, "v": v, "edm": -v}[parameterization]
    x = diffused(Prediction(x0, eps), schedule.alpha_bar(t))
    read = prediction(parameterization, said, x, alpha, sigma)
    torch.testing.assert_close(read.x0, x0)
    torch.testing.assert_close(read.eps, eps)


# Guidance -------------------------------------------------------------------------------------------------


def test_guidance_is_an_extrapolation() -> None:
    cond, uncond = torch.tensor(3.0), torch.tensor(1.0)
    assert [float(guided(cond, uncond, scale)) for scale in (0.0, 1.0, 2.0)] == [1.0, 3.0, 5.0]


def test_rescaled_guidance_has_the_conditional_outputs_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    cond, uncond = torch.randn(2, 3, 4, 8, 8, generator=generator)
    plain, whole = guided(cond, uncond, 7.0), guided(cond, uncond, 7.0, rescale=1.0)
    std = {"dim": (1, 2, 3)}
    assert plain.std(**std).min() > 5  # type: ignore[call-overload]
    torch.testing.assert_close(whole.std(**std), cond.std(**std))  # type: ignore[call-overload]
    torch.testing.assert_close(guided(cond, uncond, 7.0, rescale=0.25), 0.25 * whole + 0.75 * plain)


def test_guidance_within_an_interval() -> None:
    middle = Guidance(4.0, start=0.2, end=0.7)
    assert [step for step in range(10) if middle.applies(step, 10)] == [2, 3, 4, 5, 6]
    assert all(Guidance(4.0).applies(step, 7) for step in range(7))
    assert not any(Guidance(4.0, start=1.0).applies(step, 7) for step in range(7))


def test_guidance_is_at_every_step_and_without_rescaling_unless_said() -> None:
    assert Guidance(7.0) == Guidance(7.0, rescale=0.0, start=0.0, end=1.0)


def test_alpha_and_sigma_of_a_batch() -> None:
    alpha, sigma = SCHEDULE.alpha_sigma(torch.tensor([0, 500, 999]))
    assert alpha.shape == sigma.shape == (3, 1, 1, 1) and alpha.dtype == torch.float32
    expected = [SCHEDULE.alpha_bar(t) ** 0.5 for t in (0, 500, 999)]
    torch.testing.assert_close(alpha.flatten(), torch.tensor(expected))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(3, 1, 1, 1))


# Around a sampler -----------------------------------------------------------------------------------------


def driven(sampling: Sampling, model: Callable[[Ask], Prediction]) -> tuple[Tensor, list[Ask]]:
    """x_0, and all that was asked."""
    asks: list[Ask] = []
    try:
        asks.append(next(sampling))
        while True:
            asks.append(sampling.send(model(asks[-1])))
    except StopIteration as finished:
        return finished.value, asks


@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp_2m"])
def test_a_known_region_is_kept_at_each_step_s_noise(name: str) -> None:
    model, start = Gaussian(0.5, 0.8), noise(8).reshape(1, 1, 2, 4)
    x_0 = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(1, 1, 2, 4)
    known = torch.zeros_like(x_0)
    known[..., :2] = 1
    steps = timesteps(SCHEDULE, 6, "trailing")
    sampling = FUNCTIONS[name](start, SCHEDULE, steps, 0.0, noise)
    made, asks = driven(keeping(sampling, x_0, known, SCHEDULE), lambda ask: model(ask.x, ask.t))
    free = run(name, model, start, steps)
    torch.testing.assert_close(made[..., :2], x_0[..., :2], rtol=0, atol=1e-12)
    torch.testing.assert_close(made[..., 2:], free[..., 2:])
    eps = (start - SCHEDULE.alpha_bar(999) ** 0.5 * x_0) / (1 - SCHEDULE.alpha_bar(999)) ** 0.5
    for ask in asks:  # its own noise all along the way
        at_t = diffused(Prediction(x_0, eps), SCHEDULE.alpha_bar(ask.t))
        torch.testing.assert_close(ask.x[..., :2], at_t[..., :2])


def test_tiles_that_overlap_are_one_picture() -> None:
    model, start = Gaussian(0.5, 0.8), noise(48).reshape(1, 1, 4, 12)
    steps = timesteps(SCHEDULE, 4, "trailing")
    regions = [(slice(0, 4), slice(left, left + 6)) for left in (0, 3, 6)]
    shared = torch.full((4, 6), 0.5, dtype=torch.float64)
    first, last = shared.clone(), shared.clone()
    first[:, :3], last[:, 3:] = 1, 1
    sampling = FUNCTIONS["heun"](start, SCHEDULE, steps, 0.0, noise)
    made, asks = driven(tiled(sampling, regions, [first, shared, last]), lambda ask: model(ask.x, ask.t))
    torch.testing.assert_close(made, run("heun", model, start, steps))
    assert [ask.region for ask in asks[:3]] == regions
    assert [ask.share for ask in asks[:4]] == [0, 1 / 3, 2 / 3, 0]
    assert all(ask.whole is not None and torch.equal(ask.whole[..., 3:9], ask.x) for ask in asks[1::3])
    whole: list[Ask] = []
    run("heun", model, start, steps, asks=whole)
    assert (whole[0].region, whole[0].whole, whole[0].share) == (None, None, 0)
    with pytest.raises(ValueError, match="shorter"):
        driven(tiled(FUNCTIONS["ddim"](start, SCHEDULE, steps, 0.0, noise), regions, [first]), asks_nothing)


def asks_nothing(ask: Ask) -> Prediction:
    return Prediction(ask.x, ask.x)


def test_half_of_the_noise_is_drawn_anew_around_the_same_prediction() -> None:
    alpha_bar, x_0, eps, fresh = 0.3, torch.tensor(0.7), torch.tensor(-1.2), torch.tensor(0.4)
    x = diffused(Prediction(x_0, eps), alpha_bar)
    std = ((1 - alpha_bar) / 2) ** 0.5  # of what is kept, and of what is drawn
    torch.testing.assert_close(redrawn(x, x_0, alpha_bar, fresh), 0.3**0.5 * x_0 + std * eps + std * fresh)


# Rectified flow: x_s = (1 - s) x_0 + s eps, and a network that says u = eps - x_0 ---------------------------


class Flow:
    """Data x_0 ~ N(mean, std^2), seen by a network of velocities at s = 1/T .. 1."""

    def __init__(self, mean: float, std: float, count: int = 1000) -> None:
        self.mean, self.std, self.count = mean, std, count
        s = np.arange(1, count + 1) / count
        alpha_bar = (1 - s) ** 2 / ((1 - s) ** 2 + s**2)
        betas = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])
        self.schedule = NoiseSchedule(ScheduleSpec(count, 0, 0, betas=tuple(betas)))

    def velocity(self, x: Tensor, s: float) -> Tensor:
        """E[eps - x_0 | x_s]."""
        variance = (1 - s) ** 2 * self.std**2 + s**2
        return (s - (1 - s) * self.std**2) / variance * (x - (1 - s) * self.mean) - self.mean

    def __call__(self, x: Tensor, t: float) -> Prediction:
        """Of x as samplers hold it: c times smaller."""
        s = (t + 1) / self.count
        c = ((1 - s) ** 2 + s**2) ** 0.5
        u = self.velocity(c * x, s)
        return Prediction(x0=c * x - s * u, eps=c * x + (1 - s) * u)

    def euler(self, x: Tensor, steps: list[float]) -> Tensor:
        for t, t_prev in pairwise(steps):
            s, s_prev = (t + 1) / self.count, (t_prev + 1) / self.count
            x = x + (s_prev - s) * self.velocity(x, s)
        return x


def test_ddim_makes_the_steps_of_euler_along_a_rectified_flow() -> None:
    flow = Flow(0.5, 0.8)
    steps = timesteps(flow.schedule, 7, "trailing")
    made = run("ddim", flow, noise(), steps)
    torch.testing.assert_close(made, flow.euler(noise(), steps))


@pytest.mark.parametrize("name", [spec.name for spec in DETERMINISTIC])
def test_every_sampler_follows_a_rectified_flow(name: str) -> None:
    """From noise to data each keeps its place in standard deviations."""
    flow = Flow(0.5, 0.8)
    made = run(name, flow, noise(), timesteps(flow.schedule, 200, "trailing"))
    torch.testing.assert_close(made, 0.5 + 0.8 * noise(), rtol=0, atol=0.02)


class Pictures:
    """Data are a few pictures, each with a little noise: what is known of x_0 given x_t is exact."""

    std = 0.1

    def __init__(self, schedule: NoiseSchedule) -> None:
        generator = torch.Generator().manual_seed(0)
        small = torch.randn(12, 4, 4, 4, generator=generator, dtype=torch.float64)
        self.pictures = torch.nn.functional.interpolate(small, size=(8, 8), mode="bilinear").flatten(1)
        self.pictures /= self.pictures.std()
        self.schedule = schedule

    def __call__(self, x: Tensor, t: float) -> Prediction:
        alpha_bar = self.schedule.alpha_bar(t)
        away = x.flatten(1)[:, None] - alpha_bar**0.5 * self.pictures  # (b, pictures, n)
        variance = alpha_bar * self.std**2 + 1 - alpha_bar
        weights = torch.softmax(-(away**2).sum(-1) / (2 * variance), dim=-1)
        each = self.pictures + alpha_bar**0.5 * self.std**2 / variance * away
        x0 = (weights[..., None] * each).sum(1).view_as(x)
        return Prediction(x0, (x - alpha_bar**0.5 * x0) / (1 - alpha_bar) ** 0.5)

    def noise_left(self, z: Tensor) -> float:
        """How far z is from any mixture of the pictures, as a standard deviation."""
        of = z.flatten(1).T
        mixed = self.pictures.T @ torch.linalg.lstsq(self.pictures.T, of).solution
        return float((of - mixed).pow(2).mean().sqrt())


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("schedule", [SCHEDULE, NO_SIGNAL], ids=["published", "zero terminal SNR"])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_a_few_steps_give_a_picture(
    name: str, schedule: NoiseSchedule, spacing: Spacing, num_steps: int
) -> None:
    model = Pictures(schedule)
    x = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    z = run(name, model, x, timesteps(schedule, num_steps, spacing))  # type: ignore[arg-type]
    assert z.abs().max() < 8 and model.noise_left(z) < 0.2
