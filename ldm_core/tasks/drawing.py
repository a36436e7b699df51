"""Drawing a picture from a condition: what all tasks but super-resolution come to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ldm_core.conditioners import Inputs
from ldm_core.conditioners.spatial import kept_bits
from ldm_core.diffusion.around import counted, keeping
from ldm_core.diffusion.experts import with_refiner
from ldm_core.diffusion.parameterization import Prediction
from ldm_core.diffusion.samplers import FUNCTIONS, Region, diffused
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Request
from ldm_core.request.base import with_share
from ldm_core.request.raster import Pixels
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Start
from ldm_core.tasks.geometry import Geometry
from ldm_core.tasks.guidance import conditioning_of
from ldm_core.tasks.hints import hinted
from ldm_core.tasks.noise import noise_of, resumed, timesteps_of
from ldm_core.tasks.regions import shares_of


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Pictures of one request.

    Attributes:
        x0: (1, c, h, w), the latent that sampling starts from, noised; None: from noise alone.
        known: (1, c, h, w), 1 where x0 is kept at every step: around a hole, and where a label map says
            something.
        share: of the steps, the last of which are made.
        in_hole: the network takes a picture with a hole; see `with_refiner`.
    """

    model: LatentDiffusion
    geometry: Geometry
    conditioning: Conditioning
    x0: Tensor | None = None
    known: Tensor | None = None
    share: float = 1.0
    in_hole: bool = False

    @property
    def shown(self) -> Region:
        return self.geometry.shown

    def start(self, request: Request, moment: Moment | None = None) -> Start:
        schedule, cells = self.model.schedule, self.geometry.cells
        noise = noise_of(request, self.model, cells)
        steps = timesteps_of(request, schedule)[-1 - self.num_steps(request) :]
        first = 0 if moment is None else moment.step
        alpha_bar = schedule.alpha_bar(steps[first])
        if moment is not None:
            x = resumed(request, moment, alpha_bar, noise)
        else:
            x = noise() if self.x0 is None else diffused(Prediction(self.x0, noise()), alpha_bar)

        def fresh() -> Tensor:
            """The same whichever step this begins at, so that an unchanged branch is the same picture."""
            again = noise_of(replace(request, branch=None), self.model, cells)
            again()  # x_T
            return again()

        sampling = with_refiner(
            FUNCTIONS[request.sampler],
            x,
            schedule,
            steps[first:],
            request.eta,
            noise,
            below=self.model.spec.refined_below if self.in_hole else 0,
            fresh=fresh,
        )
        if self.x0 is not None and self.known is not None:
            sampling = keeping(sampling, self.x0, self.known, schedule)
        return Start(counted(sampling, first), len(steps) - 1)

    def num_steps(self, request: Request) -> int:
        return with_share(len(timesteps_of(request, self.model.schedule)) - 1, self.share)

    def finish(self, z: Tensor) -> Finishing:
        return self.geometry.crop((yield from self.model.decoding(z)))

    def then(self, picture: Pixels) -> None:
        return None


def draw(request: Request, model: LatentDiffusion, inputs: Inputs, geometry: Geometry) -> Drawing:
    """From noise, by what the request gives."""
    shares = shares_of(request, model.spec, geometry)
    conditioning = conditioning_of(request, model, inputs, geometry.cells, shares)
    return from_noise(model, geometry, hinted(conditioning, request, model, geometry))


def from_noise(model: LatentDiffusion, geometry: Geometry, conditioning: Conditioning) -> Drawing:
    """From noise; the digits of a label map, where the condition has them, are kept at every step."""
    bits = conditioning.cond.bits
    if bits is None:
        return Drawing(model, geometry, conditioning)
    return Drawing(model, geometry, conditioning, *kept_bits(bits, model.spec.latent_channels))
