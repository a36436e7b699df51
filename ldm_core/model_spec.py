"""A whole latent diffusion model as plain data.  Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ldm_core.spec import (
    AutoencoderSpec,
    DenoiserSpec,
    Parameterization,
    RefinerSpec,
    ScheduleSpec,
    TaskName,
    UNetSpec,
)

if TYPE_CHECKING:
    from ldm_core.conditioners.base import Conditioner

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A whole latent diffusion model.

    `scale_factor` multiplies the first stage's latent; None: it was measured when the training began, and
    is in the checkpoint.  `latent_mean` and `latent_std`, of each channel, are taken off before that.
    What is concatenated stands in the order of the conditioners.
    `class_prompts`, ours: (name, prompt) of classes that a model of prompts can be asked for.
    `half_first_stage`: the description says that float16 is enough for it (`first_stage_overflows`).
    """

    first_stage: AutoencoderSpec
    unet: DenoiserSpec
    conditioners: tuple[Conditioner, ...]
    schedule: ScheduleSpec
    parameterization: Parameterization
    scale_factor: float | None
    refiner: RefinerSpec | None = None
    class_prompts: tuple[tuple[str, str], ...] = ()
    half_first_stage: bool = False
    latent_mean: tuple[float, ...] = ()
    latent_std: tuple[float, ...] = ()

    @property
    def first_stage_overflows(self) -> bool:
        """Whether its activations exceed float16: those of Stable Diffusion XL and of the x4 upscaler do."""
        published = bool(self.unet.num_noise_levels or self.unet.vector_dim)
        return published and not self.half_first_stage

    @property
    def latent_channels(self) -> int:
        """Channels that are drawn: the first stage's, then the label map's."""
        return self.first_stage.embed_dim + sum(c.latent_channels for c in self.conditioners)

    @property
    def refined_below(self) -> int:
        """The refiner is asked at timesteps below this; 0 without one."""
        return self.refiner.below if self.refiner else 0

    @property
    def size_multiple(self) -> int:
        """A picture's width and height have to be multiples of this, in pixels."""
        refiner = self.refiner.unet.downsampling if self.refiner else 1
        return self.first_stage.downsampling * max(self.unet.downsampling, refiner)

    def conditioner(self, kind: type[C]) -> C | None:
        """The conditioner of a kind, where the model has one."""
        return next((c for c in self.conditioners if isinstance(c, kind)), None)

    def taking(self, name: str) -> Conditioner | None:
        """The conditioner that takes "boxes", "label_map", ...; of several the last."""
        return next((c for c in reversed(self.conditioners) if c.takes == name), None)

    @property
    def guidance_dim(self) -> int:
        """See `UNetSpec`; 0 where the network does not guide itself."""
        return self.unet.guidance_dim if isinstance(self.unet, UNetSpec) else 0

    @property
    def takes_prompts(self) -> bool:
        return any(c.takes_prompts for c in self.conditioners)

    @property
    def takes_regions(self) -> bool:
        """Whether parts of a picture can have prompts of their own, by attention coupling."""
        worded = any(c.takes_prompts and c.way == "crossattn" for c in self.conditioners)
        own = {task for c in self.conditioners for task in c.tasks}
        return worded and isinstance(self.unet, UNetSpec) and not own & {"super-resolution"}

    @property
    def max_boxes(self) -> int | None:
        """How many boxes it takes; None: any number."""
        return min((c.max_boxes for c in self.conditioners if c.max_boxes is not None), default=None)

    @property
    def fills_holes(self) -> bool:
        """Whether it was trained to; other models fill a hole by keeping the rest at every step."""
        return any(c.fills_holes for c in self.conditioners)

    @property
    def tasks(self) -> frozenset[TaskName]:
        """What the model can do.

        Any model that makes whole pictures can also go on from one (image to image) and fill a hole by
        keeping the rest at every step; "inpaint" is native where a conditioner takes the hole.  One that
        draws regions by their prompts takes label maps and boxes so; "semantic" and "layout" are native
        where a conditioner takes them.
        """
        tasks: set[TaskName] = {task for c in self.conditioners for task in c.tasks}
        if "super-resolution" in tasks:
            return frozenset({"super-resolution"})
        if all(c.way == "latent" for c in self.conditioners):
            tasks.add("unconditional")
        if self.class_prompts:
            tasks.add("class")
        if self.takes_regions:
            tasks |= {"semantic", "layout"}
        if not tasks <= {"inpaint"}:
            tasks |= {"inpaint", "image-to-image"}
        return frozenset(tasks)
