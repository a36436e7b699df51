"""What guidance goes towards, and what it goes away from."""

from __future__ import annotations

from dataclasses import replace

from ldm_core.conditioners import Given
from ldm_core.diffusion.guidance import Guidance
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Request
from ldm_core.spec import ClassSpec, ModelSpec
from ldm_core.tasks.base import Conditioning

_POOR = 2.5  # the aesthetic score that guidance goes away from, github.com/Stability-AI/generative-models


def conditioning_of(
    request: Request, model: LatentDiffusion, inputs: Given, cells: tuple[int, int]
) -> Conditioning:
    """With the guidance that a request asks for."""
    guidance = Guidance(
        request.guidance_scale, request.guidance_rescale, request.guidance_start, request.guidance_end
    )
    return conditioning(model, inputs, request.negative_prompt, guidance, cells)


def conditioning(
    model: LatentDiffusion, inputs: Given, negative_prompt: str, guidance: Guidance, cells: tuple[int, int]
) -> Conditioning:
    """Guided away from the negative prompt, no boxes, no label map, no hole's surroundings or no class.

    Both sides get the rest.  A scale of 0, the field's word for no guidance, is one of 1.
    """
    without = _without(negative_prompt.strip(), model.spec, inputs)
    if without is None or guidance.scale in (0, 1):
        return Conditioning(model.condition([inputs], cells), None, guidance)
    both = model.condition([inputs, without], cells)
    return Conditioning(both[:1], both[1:], guidance)


def _without(negative: str, spec: ModelSpec, inputs: Given) -> Given | None:
    """The inputs that guidance goes away from; None where the model knows no such thing."""
    classes = spec.conditioner(ClassSpec)
    untold = inputs.untold(spec)
    if spec.takes_prompts or untold is not inputs:
        same = negative == inputs.prompt and untold is inputs
        return None if same else replace(untold, prompt=negative, aesthetic_score=_POOR)
    if classes is not None and classes.no_class is not None and inputs.class_id is not None:
        return replace(inputs, class_id=None)
    return None
