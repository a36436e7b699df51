"""Answers to what samplers ask: one network call for several pictures, with guidance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ldm_core.conditioners import Cond
from ldm_core.conditioners.hint import Hints, joined
from ldm_core.diffusion.guidance import composed, guided
from ldm_core.diffusion.parameterization import Prediction
from ldm_core.diffusion.samplers import Ask
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.tasks import Conditioning


def answers(model: LatentDiffusion, asks: Sequence[tuple[Ask, Conditioning]]) -> list[Prediction]:
    """x_0 and eps, (1, c, h, w), for each ask; latents and conditions have one shape, t may differ.

    Conditional and unconditional predictions go into the same call.
    """
    x: list[Tensor] = []
    t: list[float] = []
    conds: list[Cond] = []
    hints: list[Hints] = []
    for ask, conditioning in asks:
        uncond = [] if conditioning.uncond is None else [conditioning.uncond]
        for cond in (*conditioning.conds, *uncond):
            x.append(ask.x)
            t.append(ask.t)
            conds.append(cond)
            hints.append(conditioning.hints)
    times = torch.tensor(t, dtype=torch.float32)
    outputs = _outputs(model, torch.cat(x), times, Cond.cat(conds), joined(hints))
    rows = iter(torch.split(outputs, 1))
    predictions = []
    for ask, conditioning in asks:
        said, guidance = [next(rows) for _ in conditioning.conds], conditioning.guidance
        without = None if conditioning.uncond is None else next(rows)
        output = composed(said, conditioning.weights, without)
        if without is not None:
            output = guided(output, without, guidance.scale, guidance.rescale)
        predictions.append(model.prediction(output, ask.x, ask.t))
    return predictions


def _outputs(model: LatentDiffusion, x: Tensor, t: Tensor, cond: Cond, hints: Hints) -> Tensor:
    """`model.output`, row by row where the plan says so."""
    if "steps" not in model.plan:
        return model.output(x, t, cond, hints)
    rows = [slice(i, i + 1) for i in range(len(x))]
    return torch.cat(
        [model.output(x[row], t[row], cond[row], tuple(hint[row] for hint in hints)) for row in rows]
    )
