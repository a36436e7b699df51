"""What guidance goes towards, and what it goes away from."""

from __future__ import annotations

from dataclasses import replace

from ldm_core.conditioners import Inputs
from ldm_core.diffusion.guidance import Guidance
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.unet import guidance_embedding
from ldm_core.request import Request
from ldm_core.tasks.base import Conditioning


def conditioning_of(
    request: Request, model: LatentDiffusion, inputs: Inputs, cells: tuple[int, int]
) -> Conditioning:
    """With the guidance that a request asks for."""
    guidance = Guidance(
        request.guidance_scale, request.guidance_rescale, request.guidance_start, request.guidance_end
    )
    return conditioning(model, inputs, request.negative_prompt, guidance, cells)


def conditioning(
    model: LatentDiffusion, inputs: Inputs, negative_prompt: str, guidance: Guidance, cells: tuple[int, int]
) -> Conditioning:
    """Guided away from the negative prompt, no boxes, no label map, no hole's surroundings or no class.

    Both sides get the rest.  A scale of 0, the field's word for no guidance, is one of 1.  A network that
    guides itself is told the scale, and the negative prompt is not read.
    """
    if model.spec.guidance_dim:  # it was trained to guide itself, and is asked once
        cond = model.condition([inputs], cells)
        waves = guidance_embedding(max(guidance.scale, 1.0), model.spec.guidance_dim)
        return Conditioning(cond.with_vector(waves.to(model.device)), None, guidance)
    if negative_prompt:
        inputs = replace(inputs, negative_prompt=negative_prompt.strip())
    without = inputs.uncond(model.spec)
    if without is inputs or guidance.scale in (0, 1):
        return Conditioning(model.condition([inputs], cells), None, guidance)
    both = model.condition([inputs, without], cells)
    return Conditioning(both[:1], both[1:], guidance)
