"""Super-resolution (paper, section 4.4), in tiles where the picture is large."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ldm_core.conditioners import Inputs
from ldm_core.diffusion.around import counted, tiled
from ldm_core.diffusion.samplers import FUNCTIONS, Region
from ldm_core.errors import RequestError
from ldm_core.library.models import ModelInfo
from ldm_core.network.images import from_pixels, resized
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.network.memory import available_memory
from ldm_core.network.tiling import blending, grid
from ldm_core.request import Request, SuperResolution
from ldm_core.request.raster import Pixels
from ldm_core.request.rules import Verbatim, refuse
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Start, Task
from ldm_core.tasks.guidance import conditioning_of
from ldm_core.tasks.inputs import colours, prompt_of
from ldm_core.tasks.noise import noise_of, resumed, timesteps_of

_COLOUR_SIGMA = 1.0  # pixels of the small picture
_STRIP = 64  # rows of the small picture that are coloured at once
# Cells to each side, cut off again: at their edge convolutions see zeros, which tints up to four cells.
_MARGIN = 4
_BYTES_A_PIXEL = 12  # of the result
_BYTES_IN_FULL = 21  # of one that goes out in the picture's own colours, perhaps with 16 bits
_BYTES_A_VALUE = 32  # of a latent while it is sampled
_NOISE_SEED = 0  # of what is added to the small picture, for models that are conditioned on its level


@dataclass(frozen=True, slots=True, eq=False)
class Upscaling:
    """Pictures of one request.

    Attributes:
        conditioning: with the small picture.
        cells: height and width of the latent, which are those of the small picture with its margins.
        small: (h, w, 3) or (h, w, 4).
        sizes: width and height of the result, and of what is made of it then.
    """

    request: SuperResolution
    model: LatentDiffusion
    info: ModelInfo
    conditioning: Conditioning
    cells: tuple[int, int]
    small: Pixels
    sizes: tuple[tuple[int, int], ...]

    @property
    def shown(self) -> Region:
        height, width = self.small.shape[:2]
        return slice(_MARGIN, _MARGIN + height), slice(_MARGIN, _MARGIN + width)

    def start(self, request: Request, moment: Moment | None = None) -> Start:
        schedule = self.model.schedule
        noise = noise_of(request, self.model, self.cells)
        steps = timesteps_of(request, schedule)
        first = 0 if moment is None else moment.step
        x = noise() if moment is None else resumed(request, moment, schedule.alpha_bar(steps[first]), noise)
        sampling = FUNCTIONS[request.sampler](x, schedule, steps[first:], request.eta, noise)
        regions = _regions(self.cells, self.info)
        if len(regions) > 1:
            weights = [weight.to(self.model.device) for weight in blending(self.cells, regions)]
            sampling = tiled(sampling, regions, weights)
        num_steps = len(steps) - 1
        return Start(counted(sampling, first), num_steps, (len(self.sizes) - 1) * num_steps)

    def finish(self, z: Tensor) -> Finishing:
        rows, columns = (slice(self._factor * part.start, self._factor * part.stop) for part in self.shown)
        large = (yield from self.model.decoding(z))[rows, columns]
        large = resized(with_colours_of(colours(self.small), large), *self.sizes[0])
        if self.small.shape[2] == 3:
            return large
        return np.dstack([large, resized(self.small[..., 3], *self.sizes[0])])

    def then(self, picture: Pixels) -> Upscaling | None:
        if len(self.sizes) == 1:
            return None
        return _enlarging(self.request, self.model, self.info, picture, self.sizes[1:])

    @property
    def _factor(self) -> int:
        return self.model.spec.first_stage.downsampling


def with_colours_of(small: Pixels, large: Pixels) -> Pixels:
    """`large` (f h, f w, 3), changed so that made small it has the colours of `small` (h, w, 3).

    One step of back-projection (Irani and Peleg 1991), blurred so that the small picture's noise and blocks
    do not come back.
    """
    (height, width), factor = small.shape[:2], large.shape[0] // small.shape[0]
    made = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    missing = cv2.GaussianBlur(small.astype(np.float32) - made, (0, 0), _COLOUR_SIGMA)
    coloured = np.empty_like(large)
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        first, last = max(top - 1, 0), min(bottom + 1, height)  # rows that the strip's interpolation sees
        size = (large.shape[1], factor * (last - first))
        enlarged = cv2.resize(missing[first:last], size, interpolation=cv2.INTER_LINEAR)
        rows = slice(factor * top, factor * bottom)
        shade = enlarged[rows.start - factor * first : rows.stop - factor * first]
        coloured[rows] = np.rint(large[rows] + shade).clip(0, 255).astype(np.uint8)
    return coloured


def prepare(request: SuperResolution, model: LatentDiffusion, info: ModelInfo) -> Upscaling:
    """Once, or where the model does not enlarge so much, several times, the last time by all that it can."""
    return _enlarging(request, model, info, request.image.pixels, _sizes(request, info))


def check(request: SuperResolution, info: ModelInfo) -> None:
    most = info.spec.first_stage.downsampling
    if request.branch is not None and request.scale > most:
        allowed = f"left out beyond {most} times the size, which is made by enlarging several times"
        raise RequestError("branch", request.branch.step, allowed)

    width, height = request.size
    needed, free = _bytes(request, info), available_memory("cpu")
    if free is not None and needed > free:
        got = Verbatim(f"{request.image.width:,} x {request.image.height:,} pixels large")
        allowed = (
            f"so small that what is made fits into memory: {width:,} x {height:,} pixels take about "
            f"{needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        )
        refuse("image", got, allowed)


def _bytes(request: SuperResolution, info: ModelInfo) -> int:
    """About what is needed beside the model: the result while it is coloured, and each step's latent."""
    width, height = request.size
    (rows, columns) = _cells(request.image.height, request.image.width, info)
    latent = rows * columns * info.spec.latent_channels
    of_result = _BYTES_A_PIXEL if request.image.file is None else _BYTES_IN_FULL
    return of_result * width * height + latent * (4 * request.steps + _BYTES_A_VALUE)


def tile_side(info: ModelInfo) -> int:
    """Pixels of a small picture that is enlarged in one tile: to what the model draws best."""
    return max(info.defaults.width, info.defaults.height) // info.spec.first_stage.downsampling


def num_cells(request: SuperResolution, info: ModelInfo) -> int:
    """Cells for which the network is asked at a step, of all tiles, each time the picture is enlarged."""
    image = request.image
    before = ((image.width, image.height), *_sizes(request, info)[:-1])
    regions = [region for size in before for region in _regions(_cells(size[1], size[0], info), info)]
    return sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in regions)


def _sizes(request: SuperResolution, info: ModelInfo) -> tuple[tuple[int, int], ...]:
    """Width and height after each time that the picture is enlarged."""
    scales = [request.scale]
    while scales[0] > info.spec.first_stage.downsampling:
        scales.insert(0, scales[0] // info.spec.first_stage.downsampling)
    return tuple((scale * request.image.width, scale * request.image.height) for scale in scales)


def _cells(height: int, width: int, info: ModelInfo) -> tuple[int, int]:
    """Height and width of the latent of a small picture, which has margins."""
    multiple = info.spec.unet.downsampling
    rows, columns = (-(-(side + 2 * _MARGIN) // multiple) * multiple for side in (height, width))
    return rows, columns


def _regions(cells: tuple[int, int], info: ModelInfo) -> list[Region]:
    """The tiles; the whole where it is no larger than one."""
    tile = tile_side(info) + 2 * _MARGIN
    return grid(cells, tile, tile // 4, info.spec.unet.downsampling)


def _enlarging(
    request: SuperResolution,
    model: LatentDiffusion,
    info: ModelInfo,
    small: Pixels,
    sizes: tuple[tuple[int, int], ...],
) -> Upscaling:
    """The small picture is concatenated to x_t, pixel by cell."""
    height, width = _cells(small.shape[0], small.shape[1], info)
    margins = [(_MARGIN, whole - side - _MARGIN) for whole, side in zip((height, width), small.shape)]
    low_res = from_pixels(np.pad(colours(small), (*margins, (0, 0)), mode="symmetric"))
    # The same noise for all pictures: they share the condition, and each is made alike alone.
    noise = torch.randn(low_res.shape, generator=torch.Generator().manual_seed(_NOISE_SEED))
    inputs = Inputs(prompt_of(request), low_res=low_res, low_res_noise=noise)
    conditioning = conditioning_of(request, model, inputs, (height, width))
    return Upscaling(request, model, info, conditioning, (height, width), small, sizes)


TASK = Task(SuperResolution, "super-resolution", "a model for super-resolution", prepare, check)
