"""Image to image: from a picture's latent with part of the noise.  SDEdit, arXiv:2108.01073."""

from __future__ import annotations

from ldm_core.conditioners import Inputs
from ldm_core.library.models import ModelInfo
from ldm_core.network.images import fitted, from_pixels
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.pictures.reading import over_white
from ldm_core.request import ImageToImage
from ldm_core.tasks.base import Task, Work
from ldm_core.tasks.drawing import Drawing
from ldm_core.tasks.geometry import Geometry
from ldm_core.tasks.guidance import conditioning_of
from ldm_core.tasks.hints import hinted
from ldm_core.tasks.inputs import latent, prompt_of
from ldm_core.tasks.regions import shares_of


def prepare(request: ImageToImage, model: LatentDiffusion, info: ModelInfo) -> Work:
    geometry = Geometry.of(request.size, model.spec)
    image = from_pixels(geometry.pad(fitted(over_white(request.image.pixels), *request.size)))
    shares = shares_of(request, model.spec, geometry)
    conditioning = conditioning_of(request, model, Inputs(prompt_of(request)), geometry.cells, shares)
    conditioning = hinted(conditioning, request, model, geometry)
    return Drawing(model, geometry, conditioning, latent(model, image), share=request.strength)


TASK = Task(ImageToImage, "image-to-image", "a model that makes whole pictures", prepare)
