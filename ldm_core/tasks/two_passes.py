"""Large pictures in two passes: the composition at the model's own size, then the details at the full one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from torch import Tensor

from ldm_core.diffusion.samplers import Region, Sampling, counted
from ldm_core.library.models import ModelInfo
from ldm_core.network.images import fitted
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.network.tiling import run
from ldm_core.request import SIZE, Request, Semantic, Sized
from ldm_core.request.raster import Raster
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Pixels, Start
from ldm_core.tasks.drawing import Drawing, draw, latent, steps_of
from ldm_core.tasks.inpaint import Window, own_size


@dataclass(frozen=True, slots=True, eq=False)
class TwoPasses:
    """Pictures of one request.

    Attributes:
        small: the first pass.
        large: the second, which goes on from the first's picture, enlarged.
        turn: the first step of the second pass.
    """

    small: Drawing
    large: Drawing
    turn: int

    @property
    def conditioning(self) -> TwoPasses:
        return self

    @property
    def shown(self) -> Region:
        return self.large.shown

    def at(self, step: int, num_steps: int, region: Region | None = None) -> Conditioning:
        """What the network is given in a step."""
        if step < self.turn:
            return self.small.conditioning.at(step, self.turn, region)
        return self.large.conditioning.at(step - self.turn, num_steps - self.turn, region)

    def start(self, request: Request, moment: Moment | None = None) -> Start:
        num_steps = self.turn + self.large.num_steps(request)
        if moment is None or moment.step < self.turn:
            return Start(self._both(request, moment), num_steps)
        within = replace(moment, step=moment.step - self.turn)
        return Start(counted(self.large.start(request, within).sampling, self.turn), num_steps)

    def _both(self, request: Request, moment: Moment | None) -> Sampling:
        """Both passes, the first from a moment on."""
        z = yield from self.small.start(request, moment).sampling
        canvas, model = self.large.canvas, self.large.model
        enlarged = fitted(run(self.small.finish(z)), canvas.width, canvas.height)
        x0, known = latent(model, canvas.pad(enlarged)), self.large.known
        if known is not None and self.large.x0 is not None:  # a label map's digits
            x0 = known * self.large.x0 + (1 - known) * x0
        second = replace(self.large, x0=x0)
        return (yield from counted(second.start(request).sampling, self.turn))

    def finish(self, z: Tensor) -> Finishing:
        return self.large.finish(z)

    def then(self, picture: Pixels) -> None:
        return None


def two_passes(request: Sized | Semantic, model: LatentDiffusion, info: ModelInfo) -> TwoPasses:
    """As in image to image, the second pass begins with part of the noise.  SDEdit, arXiv:2108.01073."""
    width, height = (max(SIZE[0], side) for side in own_size(Window(0, 0, *request.size), info))
    small = draw(_of_size(replace(request, second_pass=0.0, branch=None), width, height), model)
    large = replace(draw(request, model), share=request.second_pass)
    return TwoPasses(small, large, len(steps_of(request, model.schedule)) - 1)


def _of_size(request: Sized | Semantic, width: int, height: int) -> Request:
    if isinstance(request, Sized):
        return replace(request, width=width, height=height)
    labels = cv2.resize(request.label_map.pixels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return replace(request, label_map=Raster(labels.astype(np.uint8)))
