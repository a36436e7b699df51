"""A small picture that is to be enlarged (paper, section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ldm_core.conditioners.base import Examples, Found, Model, Plane, Size, needed
from ldm_core.conditioners.clip import has_clip
from ldm_core.conditioners.cond import Cond
from ldm_core.conditioners.inputs import Inputs
from ldm_core.facts import Section, read_schedule
from ldm_core.spec import ScheduleSpec, TaskName

if TYPE_CHECKING:
    from torch import Tensor

_IDENTITY = "torch.nn.Identity"
NOISED = "ldm.modules.diffusionmodules.upscaling.ImageConcatWithNoiseAugmentation"
UPSCALER_SCHEDULE = ScheduleSpec(num_timesteps=1000, linear_start=0.0001, linear_end=0.02)


@dataclass(frozen=True, slots=True)
class LowResolutionSpec(Plane):
    """A small picture, of the latent's height and width -> concatenation.

    With a `noise` schedule it is noised to a level on which the UNet is conditioned (section 4,
    arXiv:2106.15282).
    """

    channels: int = 3
    noise: ScheduleSpec | None = None

    takes = "low_res"
    names = frozenset({_IDENTITY, NOISED})

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"super-resolution"})

    @property
    def droppable(self) -> bool:
        return False

    @property
    def vector(self) -> Literal["", "noise level"]:
        return "noise level" if self.noise else ""

    def concat_channels(self, embed_dim: int) -> int:
        return self.channels

    @classmethod
    def read(cls, name: str, params: Section) -> LowResolutionSpec:
        if name == _IDENTITY:
            return cls()
        params.whole("max_noise_level", 1, 10_000, 1000)
        return cls(noise=read_schedule(params.section("noise_schedule_config"), 1000))

    @classmethod
    def recognise(cls, found: Found) -> LowResolutionSpec | None:
        if found.beside != 3:
            return None
        if found.unet.num_noise_levels:
            return cls(noise=UPSCALER_SCHEDULE)
        return None if has_clip(found) else cls()

    def encode(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Cond:
        cond = Cond(concat=self.prepare(inputs, size, model))
        if self.noise is None:
            return cond
        import torch
        from torch.nn import functional as F

        levels = torch.tensor([each.noise_level for each in inputs], device=model.device)
        return replace(cond, vector=F.one_hot(levels, model.spec.unet.num_noise_levels).float())

    def plane(self, inputs: Inputs, size: Size, model: Model) -> Tensor:
        low_res = needed("low_res", inputs.low_res)[None]
        if self.noise is None:
            return low_res
        from ldm_core.conditioners.spatial import noised
        from ldm_core.diffusion.schedule import NoiseSchedule

        noise = needed("low_res_noise", inputs.low_res_noise)[None]
        return noised(low_res, noise, inputs.noise_level, NoiseSchedule(self.noise))

    def draw_planes(self, examples: Examples, size: Size, rng: np.random.Generator) -> Tensor:
        return examples.low_res(size[0], rng)
