"""What training minimises, of which timesteps, and the moving average: numbers, no learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.spec import ScheduleSpec
from ldm_core.training.diffusion import DiffusionTraining, timesteps
from ldm_core.training.loop import precision, step_generator, update_average
from tests.test_training import first_stage_config, train
from tests.training_kinds import config, task

SCHEDULE = NoiseSchedule(ScheduleSpec(1000, 0.0015, 0.0195))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    return train(first_stage_config(1), tmp_path_factory.mktemp("first-stage"), cache, "out")


def described(first_stage: Path, parameterization: str, **settings: object) -> dict[str, Any]:
    changed = config("text", first_stage, **settings)
    changed["model"]["params"]["parameterization"] = parameterization
    return changed


@pytest.mark.parametrize("parameterization", ["eps", "v", "x0"])
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weighs_the_error_of_x0(
    parameterization: str, gamma: float, first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    """min(SNR, gamma) |x_0 - predicted x_0|^2, whatever the network predicts (arXiv:2303.09556)."""
    training = task(described(first_stage, parameterization, min_snr=gamma), tmp_path, cache)
    assert isinstance(training, DiffusionTraining)
    batch = training.batches.draw(np.random.default_rng([0, 0]), 8)
    generator = step_generator(0, 0)
    t = timesteps(training.schedule, 1.0, (0, 1000), 8, generator)
    eps = torch.randn(batch.z.shape, generator=generator)
    alpha, sigma = training.schedule.alpha_sigma(t)
    x_t = alpha * batch.z + sigma * eps
    with torch.no_grad():
        output = training.model(x_t, t, batch).float()
    predicted = {
        "eps": (x_t - sigma * output) / alpha,
        "v": alpha * x_t - sigma * output,
        "x0": output,
    }[parameterization]
    snr = (alpha / sigma) ** 2
    assert (snr > gamma).any() and (snr < gamma).any()
    expected = (snr.clamp(max=gamma) * (batch.z - predicted) ** 2).mean()
    # The untrained network predicts zero in any number format.
    assert training.update(0, 0.0)["loss"] == pytest.approx(float(expected), rel=1e-3)


def drawn(shift: float, between: tuple[int, int] = (0, 1000)) -> torch.Tensor:
    return timesteps(SCHEDULE, shift, between, 20_000, torch.Generator().manual_seed(0))


def test_timesteps_are_uniform_in_the_angle() -> None:
    alpha, sigma = SCHEDULE.alpha_sigma(drawn(1.0))
    angles = torch.atan2(sigma, alpha).flatten()
    ends = SCHEDULE.alpha_sigma(torch.tensor([0, 999]))
    first, last = torch.atan2(ends[1], ends[0]).flatten()
    quarters = torch.quantile((angles - first) / (last - first), torch.tensor([0.25, 0.5, 0.75]))
    assert quarters.tolist() == pytest.approx([0.25, 0.5, 0.75], abs=0.02)


@pytest.mark.parametrize("shift", [0.5, 2.0, 4.0])
def test_a_noise_shift_multiplies_the_noise_of_the_timesteps(shift: float) -> None:
    def noise(t: torch.Tensor) -> float:
        alpha, sigma = SCHEDULE.alpha_sigma(t)
        return float((sigma / alpha).median())

    # Not exactly: the schedule's two ends cut a little of the range off.
    assert noise(drawn(shift)) / noise(drawn(1.0)) == pytest.approx(shift, rel=0.1)


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_an_experts_timesteps_stay_its_own(shift: float) -> None:
    for between in ((0, 400), (400, 1000), (0, 1000)):
        t = drawn(shift, between)
        assert between[0] <= int(t.min()) < between[0] + 20
        assert between[1] - 20 < int(t.max()) < between[1]


def test_the_moving_average_follows_the_weights_slowly_in_the_end() -> None:
    average, model = nn.Linear(2, 1), nn.Linear(2, 1)
    for parameter, value in ((average.weight, 2.0), (model.weight, 3.0)):
        nn.init.constant_(parameter, value)
    update_average(average, model, 10**6, 0.99)
    torch.testing.assert_close(average.weight, torch.full((1, 2), 2.01))
    # At step n at most (1 + n) / (10 + n) of the old average is kept: at the start it is mostly the weights.
    nn.init.constant_(average.weight, 2.0)
    update_average(average, model, 0, 0.99)
    torch.testing.assert_close(average.weight, torch.full((1, 2), 2.9))
    nn.init.constant_(average.weight, 2.0)
    update_average(average, model, 90, 0.99)
    torch.testing.assert_close(average.weight, torch.full((1, 2), 2.09))
    assert (model.weight == 3.0).all()


@pytest.mark.parametrize(("dtype", "mixed"), [("float32", False), ("bfloat16", True)])
def test_the_number_format_of_training_is_that_of_the_device(
    dtype: str, mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_DTYPE", dtype)
    with precision(torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu") is mixed
    assert not torch.is_autocast_enabled("cpu")
