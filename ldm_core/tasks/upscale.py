"""Super-resolution (paper, section 4.4), in tiles where the picture is large."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ldm_core.conditioners import Given
from ldm_core.images import from_pixels, resized, to_pixels
from ldm_core.model import LatentDiffusion
from ldm_core.models import ModelInfo
from ldm_core.request import Request, SuperResolution
from ldm_core.samplers import SAMPLERS, counted, tiled
from ldm_core.tasks.base import Conditioning, Moment, Pixels, Start
from ldm_core.tasks.drawing import conditioning, noise_of, opaque, steps_of, stood
from ldm_core.tiling import blending, decode, grid

_COLOUR_SIGMA = 1.0  # pixels of the small picture
_NOISE_SEED = 0  # of what is added to the small picture, for models that are told of it


@dataclass(frozen=True, slots=True, eq=False)
class Upscaling:
    """Pictures of one request.

    Attributes:
        cells: height and width of the latent, which are those of the small picture, padded.
        tile: cells of a tile's side.
        small: (h, w, 3) or (h, w, 4).
        size: width and height of the result.
    """

    model: LatentDiffusion
    conditioning: Conditioning
    cells: tuple[int, int]
    tile: int
    small: Pixels
    size: tuple[int, int]

    @property
    def shown(self) -> tuple[int, int]:
        return self.small.shape[0], self.small.shape[1]

    def start(self, request: Request, moment: Moment | None = None) -> Start:
        schedule = self.model.schedule
        noise = noise_of(request, self.model, self.cells)
        steps = steps_of(request, schedule)
        first = 0 if moment is None else moment.step
        x = noise() if moment is None else stood(request, moment, schedule.alpha_bar(steps[first]), noise)
        sampling = SAMPLERS[request.sampler](x, schedule, steps[first:], request.eta, noise)
        if max(self.cells) > self.tile:
            regions = grid(self.cells, self.tile, self.tile // 4, self.model.spec.unet.downsampling)
            weights = [weight.to(self.model.device) for weight in blending(self.cells, regions)]
            sampling = tiled(sampling, regions, weights)
        return Start(counted(sampling, first), len(steps) - 1)

    def finish(self, z: Tensor) -> Pixels:
        height, width = self.small.shape[:2]
        factor = self.model.spec.first_stage.downsampling
        large = to_pixels(decode(self.model, z)[0])[: height * factor, : width * factor]
        large = resized(with_colours_of(opaque(self.small), large), *self.size)
        if self.small.shape[2] == 3:
            return large
        return np.dstack([large, resized(self.small[..., 3], *self.size)])


def with_colours_of(small: Pixels, large: Pixels) -> Pixels:
    """`large` (H, W, 3), changed so that made small it has the colours of `small` (h, w, 3).

    One step of back-projection (Irani and Peleg 1991), blurred so that the small picture's noise and blocks
    do not come back.
    """
    made = cv2.resize(large, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    missing = cv2.GaussianBlur(small.astype(np.float32) - made, (0, 0), _COLOUR_SIGMA)
    enlarged = cv2.resize(missing, large.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.rint(large + enlarged).clip(0, 255).astype(np.uint8)


def upscale(request: SuperResolution, model: LatentDiffusion, info: ModelInfo) -> Upscaling:
    """The small picture is concatenated to x_t, pixel by cell."""
    small, multiple = request.image.pixels, model.spec.unet.downsampling
    height, width = (-(-side // multiple) * multiple for side in small.shape[:2])
    rest = ((0, height - small.shape[0]), (0, width - small.shape[1]), (0, 0))
    low_res = from_pixels(np.pad(opaque(small), rest, mode="edge"))
    # The same noise for all pictures: they share the condition, and each is made alike alone.
    noise = torch.randn(low_res.shape, generator=torch.Generator().manual_seed(_NOISE_SEED))
    given = Given(request.prompt.strip(), low_res=low_res, low_res_noise=noise)
    told = conditioning(request, model, given, (height, width))
    factor = model.spec.first_stage.downsampling
    tile = max(info.defaults.width, info.defaults.height) // factor
    return Upscaling(model, told, (height, width), tile, small, request.size)
