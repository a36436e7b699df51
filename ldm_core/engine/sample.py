"""Sampling in one call: the engine's coroutines, conditioning and guidance without its jobs and threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ldm_core.conditioners import Inputs
from ldm_core.conditioners.spatial import kept_bits
from ldm_core.diffusion.around import counted, keeping
from ldm_core.diffusion.experts import with_refiner
from ldm_core.diffusion.guidance import Guidance
from ldm_core.diffusion.samplers import FUNCTIONS, Noise, Sampler, Sampling
from ldm_core.diffusion.schedule import timesteps
from ldm_core.engine.answers import answers
from ldm_core.errors import RequestError
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.spec import Spacing
from ldm_core.tasks.base import Conditioning
from ldm_core.tasks.guidance import conditioning


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where the pictures of a batch stand before a step; `sample` goes on from one.

    step: 0 .. num_steps - 1.
    t: its timestep.
    x: (b, c, h, w), x_t.
    pred_x0: like x, x_0 as predicted in the step before; None before the first one.
    """

    step: int
    num_steps: int
    t: float
    x: Tensor
    pred_x0: Tensor | None


def noise_of(seed: int, shape: tuple[int, int, int], device: torch.device) -> Noise:
    """Draws standard normal noise, (1, c, h, w); on the CPU, so it is the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn((1, *shape), generator=generator).to(device)


def sample(
    model: LatentDiffusion,
    inputs: str | Inputs | Sequence[Inputs],
    *,
    seeds: Sequence[int] = (0,),
    width: int | None = None,
    height: int | None = None,
    steps: int | None = None,
    sampler: str | Sampler | None = None,
    eta: float | None = None,
    spacing: Spacing | None = None,
    guidance: Guidance | float | None = None,
    negative_prompt: str = "",
    start: State | None = None,
    callback: Callable[[State], None] | None = None,
) -> Tensor:
    """A picture for each seed -> latents (b, c, h, w), for `model.decode`.

    What is left out is as the model's description suggests (`model.defaults`).

    Args:
        inputs: a prompt, or what the model's conditioners take; for all pictures, or for each.
        width, height: of the pictures in pixels, multiples of `model.spec.size_multiple`.
        steps: how many; `spacing` says which timesteps they visit.
        sampler: a name of `request.SAMPLERS`, or any function of that form.
        eta: as of the sampler.
        guidance: the scale, or all of it.  1 and 0 are no guidance.
        negative_prompt: what guidance goes away from.
        start: begins at its step, from its x_t, rather than from noise.
        callback: called before each step.

    Raises:
        RequestError: the sampler or the size is none for this model, there are not as many inputs as seeds,
            or the model cannot do without something that is not given.
        ConfigError: the model came without its vocabulary.
    """
    rows, size = _rows(inputs, len(seeds)), _size(model, width, height)
    usual = model.defaults
    if guidance is None:
        guidance = Guidance(usual.guidance_scale, end=usual.guidance_end)
    elif not isinstance(guidance, Guidance):
        guidance = Guidance(guidance)
    conds = [conditioning(model, row, negative_prompt, guidance, size) for row in rows]
    ts = timesteps(model.schedule, steps or usual.steps, spacing or usual.spacing)
    make = _sampler(sampler or usual.sampler)
    eta = usual.eta if eta is None else eta
    samplings = []
    for i, (row, cond, seed) in enumerate(zip(rows, conds, seeds, strict=True)):
        noise = noise_of(seed, (model.spec.latent_channels, *size), model.device)
        x = noise() if start is None else start.x[i : i + 1]
        first = 0 if start is None else start.step
        below = 0 if row.image is None else model.spec.refined_below
        sampling = with_refiner(make, x, model.schedule, ts[first:], eta, noise, below=below, fresh=noise)
        if cond.cond.bits is not None:
            kept = kept_bits(cond.cond.bits.cpu(), model.spec.latent_channels)
            sampling = keeping(sampling, *kept, model.schedule)
        samplings.append(counted(sampling, first))
    return _run(model, samplings, conds, len(ts) - 1, callback)


def _rows(inputs: str | Inputs | Sequence[Inputs], count: int) -> list[Inputs]:
    """The inputs of each picture."""
    if isinstance(inputs, str):
        inputs = Inputs(prompt=inputs)
    if isinstance(inputs, Inputs):
        return [inputs] * count
    if len(inputs) != count:
        raise RequestError("inputs", f"{len(inputs)} of them", f"one for each of {count} seeds, or one alone")
    return list(inputs)


def _size(model: LatentDiffusion, width: int | None, height: int | None) -> tuple[int, int]:
    """Height and width of the latent."""
    f, multiple = model.spec.first_stage.downsampling, model.spec.size_multiple
    sides = {"height": height or model.defaults.height, "width": width or model.defaults.width}
    for name, side in sides.items():
        if side < multiple or side % multiple:
            raise RequestError(name, side, f"a multiple of {multiple} pixels with this model")
    return sides["height"] // f, sides["width"] // f


def _sampler(sampler: str | Sampler) -> Sampler:
    if not isinstance(sampler, str):
        return sampler
    if sampler not in FUNCTIONS:
        raise RequestError("sampler", sampler, f"a function, or one of {', '.join(FUNCTIONS)}")
    return FUNCTIONS[sampler]


def _run(
    model: LatentDiffusion,
    samplings: Sequence[Sampling],
    conds: Sequence[Conditioning],
    num_steps: int,
    callback: Callable[[State], None] | None,
) -> Tensor:
    """Answers all of them together; they ask equally often."""
    asks = [next(sampling) for sampling in samplings]
    done: list[Tensor] = []
    last = -1
    while asks:
        ask = asks[0]
        if callback is not None and ask.step != last:
            pred_x0 = [each.pred_x0 for each in asks if each.pred_x0 is not None]
            x = torch.cat([each.x for each in asks])
            callback(State(ask.step, num_steps, ask.t, x, torch.cat(pred_x0) if pred_x0 else None))
        last = ask.step
        now = [cond.at(ask.step, num_steps) for cond in conds]
        predictions = answers(model, list(zip(asks, now, strict=True)))
        asks = []
        for sampling, predicted in zip(samplings, predictions, strict=True):
            try:
                asks.append(sampling.send(predicted))
            except StopIteration as finished:
                done.append(finished.value)
    return torch.cat(done)
