"""Each sampler beside diffusers' scheduler of the same name: same network, same noise, every latent compared.

`python -m tests.test_samplers_diffusers` prints the largest relative differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from diffusers import SchedulerMixin, schedulers
from torch import Tensor

from ldm_core.diffusion.parameterization import prediction
from ldm_core.diffusion.samplers import FUNCTIONS
from ldm_core.diffusion.schedule import NoiseSchedule, timesteps
from ldm_core.spec import Parameterization, ScheduleSpec, Spacing

PUBLISHED = ScheduleSpec(1000, 0.00085, 0.012)
NO_SIGNAL = ScheduleSpec(1000, 0.00085, 0.012, zero_terminal_snr=True)
BETAS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
PREDICTS: dict[Parameterization, str] = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
NUM_STEPS = 10  # divides T: their DDIM and PNDM round timesteps otherwise than where those steps arrive
TOLERANCE = 1e-5  # ||ours - theirs|| / ||theirs||; diffusers computes schedules in float32

SECOND_ORDER = {"solver_order": 2, "solver_type": "midpoint"}
SCHEDULERS: dict[str, tuple[Callable[..., SchedulerMixin], dict[str, object]]] = {
    "ddim": (schedulers.DDIMScheduler, {"clip_sample": False}),
    "ddpm": (schedulers.DDPMScheduler, {"clip_sample": False, "variance_type": "fixed_small"}),
    "plms": (schedulers.PNDMScheduler, {"skip_prk_steps": True, "set_alpha_to_one": True}),
    "euler": (schedulers.EulerDiscreteScheduler, {}),
    "euler_ancestral": (schedulers.EulerAncestralDiscreteScheduler, {}),
    "heun": (schedulers.HeunDiscreteScheduler, {}),
    "dpmpp_2m": (schedulers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", **SECOND_ORDER}),
    "dpmpp_2m_sde": (
        schedulers.DPMSolverMultistepScheduler,
        {"algorithm_type": "sde-dpmsolver++", **SECOND_ORDER},
    ),
    "lcm": (schedulers.LCMScheduler, {"original_inference_steps": 50, "clip_sample": False}),
    "tcd": (schedulers.TCDScheduler, {"original_inference_steps": 50, "clip_sample": False}),
    "unipc": (schedulers.UniPCMultistepScheduler, {"solver_order": 2, "solver_type": "bh2"}),
}
ANCESTRAL = ("ddpm", "euler_ancestral", "dpmpp_2m_sde", "lcm")
DISTILLED = ("lcm", "tcd")  # theirs have a spacing of their own
KARRAS = ("euler", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc")  # those for which diffusers offers it


def network(x: Tensor, t: float) -> Tensor:
    """Any function that depends on x and t; diffusers rounds Karras's timesteps, so this does."""
    return torch.tanh(x * (0.5 + round(t) / 1000) + 0.1 * x.roll(1, -1))


def noises() -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(1)
    return lambda: torch.randn(1, 4, 8, 8, generator=generator)


def theirs(scheduler: SchedulerMixin, name: str, x: Tensor, eta: float) -> tuple[list[Tensor], list[float]]:
    """What the network was given and at last the result; and the timesteps."""
    scheduler.set_timesteps(NUM_STEPS)
    given: list[Tensor] = []
    draws: dict[str, object] = {"eta": eta} if name in ("ddim", "tcd") else {}
    if name in (*ANCESTRAL, "ddim", "tcd"):
        draws["generator"] = torch.Generator().manual_seed(1)
    relative = "euler" in name or name == "heun"  # their latents are x_t / sqrt(alpha_bar)
    sample = x * (scheduler.sigmas[0] ** 2 + 1) ** 0.5 if relative else x
    for t in scheduler.timesteps:
        given.append(scheduler.scale_model_input(sample, t))
        sample = scheduler.step(network(given[-1], float(t)), t, sample, **draws).prev_sample
    return [*given, sample], scheduler.timesteps.tolist()


def ours(
    name: str,
    spec: ScheduleSpec,
    parameterization: Parameterization,
    steps: list[float],
    x: Tensor,
    eta: float,
) -> list[Tensor]:
    schedule, given = NoiseSchedule(spec), []
    sampling = FUNCTIONS[name](x, schedule, steps, eta, noises())
    try:
        ask = next(sampling)
        while True:
            given.append(ask.x)
            alpha_bar = schedule.alpha_bar(ask.t)
            said = network(ask.x, ask.t)
            ask = sampling.send(
                prediction(parameterization, said, ask.x, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)
            )
    except StopIteration as finished:
        return [*given, finished.value]


def difference(
    name: str,
    parameterization: Parameterization,
    spacing: Spacing,
    eta: float = 0.0,
    spec: ScheduleSpec = PUBLISHED,
) -> float:
    """The largest relative one of any latent of the process."""
    kind, settings = SCHEDULERS[name]
    settings = {**BETAS, **settings, "prediction_type": PREDICTS[parameterization]}
    if spacing == "karras":
        settings.update(timestep_spacing="linspace", use_karras_sigmas=True)
    elif spacing != "lcm":
        settings.update(timestep_spacing="trailing")
    if spec.zero_terminal_snr:
        settings.update(rescale_betas_zero_snr=True)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected, their_steps = theirs(kind(**settings), name, x, eta)
    steps = timesteps(NoiseSchedule(spec), NUM_STEPS, spacing)
    assert list(dict.fromkeys(their_steps)) == pytest.approx(
        steps[:-1], abs=0.51 if spacing == "karras" else 0
    )
    got = ours(name, spec, parameterization, steps, x, eta)
    assert len(got) == len(expected)
    return max(float((a - b).norm() / b.norm()) for a, b in zip(got, expected, strict=True))


def cases() -> Iterator[tuple[str, Parameterization, Spacing, float, ScheduleSpec]]:
    for name in SCHEDULERS:
        for parameterization in PREDICTS:
            if name == "plms" and parameterization != "eps":
                continue  # theirs averages what the network says, not eps
            if name == "euler_ancestral" and parameterization == "x0":
                continue  # theirs cannot
            spacing: Spacing = "lcm" if name in DISTILLED else "trailing"
            yield name, parameterization, spacing, 0.0, PUBLISHED
            if name in KARRAS:
                yield name, parameterization, "karras", 0.0, PUBLISHED
    for eta in (0.5, 1.0):
        yield "ddim", "eps", "trailing", eta, PUBLISHED
        yield "tcd", "eps", "lcm", eta, PUBLISHED
    for name in ("ddim", "ddpm"):  # the others of theirs start a little above zero
        yield name, "v", "trailing", 0.0, NO_SIGNAL


@pytest.mark.parametrize(("name", "parameterization", "spacing", "eta", "spec"), cases())
def test_every_latent_agrees(
    name: str, parameterization: Parameterization, spacing: Spacing, eta: float, spec: ScheduleSpec
) -> None:
    assert difference(name, parameterization, spacing, eta, spec) < TOLERANCE


if __name__ == "__main__":
    for case in cases():
        name, parameterization, spacing, eta, spec = case
        zero = "  zero terminal SNR" if spec.zero_terminal_snr else ""
        print(f"{name:16} {parameterization:3} {spacing:9} eta {eta:.1f}  {difference(*case):.1e}{zero}")
