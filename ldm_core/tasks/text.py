"""Text to image (paper, section 4.3.1)."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldm_core.conditioners import Condition, Given
from ldm_core.errors import RequestError
from ldm_core.guidance import Guidance
from ldm_core.images import to_pixels
from ldm_core.model import LatentDiffusion
from ldm_core.models import ModelInfo
from ldm_core.request import TextToImage
from ldm_core.samplers import SAMPLERS
from ldm_core.schedule import timesteps
from ldm_core.spec import Spacing
from ldm_core.tasks.base import Conditioning, Start


class TextTask:
    """Pictures from a prompt; an empty prompt gives the unconditional picture."""

    def check(self, request: TextToImage, info: ModelInfo) -> None:
        if "text-to-image" not in info.spec.tasks:
            raise RequestError("model", request.model, "a model that takes a prompt")
        multiple = info.size_multiple
        for field, size in (("width", request.width), ("height", request.height)):
            if size % multiple:
                near = max(round(size / multiple), 1) * multiple
                raise RequestError(field, size, f"a multiple of {multiple} with {info.title}, such as {near}")
        most = info.spec.schedule.num_timesteps
        if request.steps > most:
            raise RequestError("steps", request.steps, f"at most {most} with {info.title}")

    def condition(self, request: TextToImage, model: LatentDiffusion) -> Conditioning:
        prompt, negative = request.prompt.strip(), request.negative_prompt.strip()
        guidance = Guidance(
            request.guidance_scale, request.guidance_rescale, request.guidance_start, request.guidance_end
        )

        def condition(*prompts: str) -> Condition:
            return model.condition([Given(prompt=text) for text in prompts], _latent_size(request, model))

        if guidance.scale == 1 or prompt == negative:
            return Conditioning(condition(prompt), None, guidance)
        if guidance.scale == 0 and guidance.always:
            return Conditioning(condition(negative), None, guidance)
        both = condition(prompt, negative)
        return Conditioning(both[:1], both[1:], guidance)

    def start(self, request: TextToImage, model: LatentDiffusion) -> Start:
        shape = (1, model.spec.latent_channels, *_latent_size(request, model))
        # Drawn on the CPU: the same seed starts from the same noise on every device.
        generator = torch.Generator().manual_seed(request.seed)

        def noise() -> Tensor:
            return torch.randn(shape, generator=generator).to(model.device)

        spacing = cast("Spacing", request.spacing)
        steps = timesteps(model.schedule, request.steps, spacing)
        sampling = SAMPLERS[request.sampler](noise(), model.schedule, steps, request.eta, noise)
        return Start(sampling, len(steps) - 1)

    def finish(self, z: Tensor, request: TextToImage, model: LatentDiffusion) -> NDArray[np.uint8]:
        return to_pixels(model.decode(z)[0])


def _latent_size(request: TextToImage, model: LatentDiffusion) -> tuple[int, int]:
    factor = model.spec.first_stage.downsampling
    return request.height // factor, request.width // factor
