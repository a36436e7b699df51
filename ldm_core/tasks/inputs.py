"""What requests hold, as models take it: pixels as tensors and latents, classes as ids or prompts."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ldm_core.conditioners import Inputs
from ldm_core.library.class_names import class_id, picture_classes
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Request
from ldm_core.request.raster import Pixels


def prompt_of(request: Request) -> str:
    return request.prompt.strip()


def class_inputs(field: str, label: str | int, spec: ModelSpec) -> Inputs:
    """A class as the model takes it: its id, or the prompt that stands for it.

    Raises:
        RequestError: the model has no such class.
    """
    classes, names = spec.taking("class"), picture_classes(spec)
    if classes is not None:
        return Inputs(class_id=class_id(field, label, names, classes.class_count))
    return Inputs(prompt=spec.class_prompts[class_id(field, label, names, len(names))][1])


def latent(model: LatentDiffusion, image: Tensor) -> Tensor:
    """(1, c, h, w) of a picture (3, H, W) in [-1, 1]; channels that go on with a label map say nothing."""
    z = model.encode(image[None])
    return F.pad(z, (0, 0, 0, 0, 0, model.spec.latent_channels - z.shape[1]))


def colours(pixels: Pixels) -> Pixels:
    """(H, W, 3) of a picture that may be transparent, whatever its alpha."""
    return pixels[..., :3]
