"""Large pictures in two passes: the composition at the model's own size, then the details at the full one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from ldm_core.diffusion.around import counted
from ldm_core.diffusion.samplers import Region, Sampling
from ldm_core.library.models import ModelInfo
from ldm_core.network.images import fitted, from_pixels
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.network.tiling import run
from ldm_core.request import SIZE, Request, Sized
from ldm_core.request.raster import Pixels
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Start, Work
from ldm_core.tasks.drawing import Drawing
from ldm_core.tasks.geometry import native_size
from ldm_core.tasks.inputs import latent
from ldm_core.tasks.noise import timesteps_of

R = TypeVar("R", bound=Request)
S = TypeVar("S", bound=Sized)


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
        geometry, model = self.large.geometry, self.large.model
        enlarged = fitted(run(self.small.finish(z)), geometry.width, geometry.height)
        x0, known = latent(model, from_pixels(geometry.pad(enlarged))), self.large.known
        if known is not None and self.large.x0 is not None:  # a label map's digits
            x0 = known * self.large.x0 + (1 - known) * x0
        second = replace(self.large, x0=x0)
        return (yield from counted(second.start(request).sampling, self.turn))

    def finish(self, z: Tensor) -> Finishing:
        return self.large.finish(z)

    def then(self, picture: Pixels) -> None:
        return None


def sized(
    request: S, model: LatentDiffusion, info: ModelInfo, draw: Callable[[S, LatentDiffusion], Drawing]
) -> Work:
    """A picture of any size, in one pass or two as the request asks for."""

    def of_size(request: S, width: int, height: int) -> S:
        return replace(request, width=width, height=height, second_pass=0.0, branch=None)

    if not request.second_pass:
        return draw(request, model)
    return two_passes(request, request.second_pass, model, info, draw, of_size)


def two_passes(
    request: R,
    share: float,
    model: LatentDiffusion,
    info: ModelInfo,
    draw: Callable[[R, LatentDiffusion], Drawing],
    of_size: Callable[[R, int, int], R],
) -> TwoPasses:
    """As in image to image, the second pass begins with part of the noise.  SDEdit, arXiv:2108.01073.

    Args:
        share: of the steps, those of the second pass.
        draw: makes one pass.
        of_size: the request of one pass at another width and height.
    """
    width, height = (max(SIZE[0], side) for side in native_size(request.size, info))
    small = draw(of_size(request, width, height), model)
    turn = len(timesteps_of(request, model.schedule)) - 1
    large = draw(request, model)
    large = replace(large, share=share, conditioning=replace(large.conditioning, earlier=turn))
    return TwoPasses(small, large, turn)
