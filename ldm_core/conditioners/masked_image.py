"""A picture with a hole, as the published models take it (paper, section 4.5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ldm_core.conditioners.base import Examples, Found, Model, Plane, Size, needed
from ldm_core.conditioners.clip import has_clip
from ldm_core.conditioners.inputs import Inputs
from ldm_core.facts import Section
from ldm_core.spec import TaskName

if TYPE_CHECKING:
    from torch import Tensor

_INPAINT = "ldm.models.diffusion.ddpm.LatentInpaintDiffusion"  # Stable Diffusion's


@dataclass(frozen=True, slots=True)
class MaskedImageSpec(Plane):
    """A picture with a hole -> concatenation: its latent, then the mask.

    `mask_first`: as in Stable Diffusion, where the mask of 0 and 1 comes first and the hole is grey.
    """

    mask_first: bool = False

    takes = "masked_image"
    names = frozenset({"__is_first_stage__", _INPAINT})
    fills_holes = True

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"inpaint"})

    @property
    def droppable(self) -> bool:
        return False

    def concat_channels(self, embed_dim: int) -> int:
        return embed_dim + 1

    @classmethod
    def read(cls, name: str, params: Section) -> MaskedImageSpec:
        return cls(mask_first=name == _INPAINT)

    @classmethod
    def recognise(cls, found: Found) -> MaskedImageSpec | None:
        if found.beside != found.first_stage.embed_dim + 1:
            return None
        return cls(mask_first=has_clip(found))

    def plane(self, inputs: Inputs, size: Size, model: Model) -> Tensor:
        import torch
        from torch.nn import functional as F

        from ldm_core.conditioners.spatial import masked_image

        if self.mask_first:
            return _mask_first(inputs, size, model)
        image, mask = needed("image", inputs.image)[None], needed("mask", inputs.mask)[None]
        z = model.encode(masked_image(image, mask))
        return torch.cat([z, F.interpolate(2 * mask.to(z) - 1, size)], dim=1)

    def draw_planes(self, examples: Examples, size: Size, rng: np.random.Generator) -> Tensor:
        import torch
        from torch.nn import functional as F

        from ldm_core.conditioners.spatial import masked_image

        images, masks = examples.holed(rng)
        z = examples.encode(masked_image(images, masks))
        return torch.cat([z, F.interpolate(2 * masks - 1, size)], dim=1)


def _mask_first(inputs: Inputs, size: Size, model: Model) -> Tensor:
    """(1, 1 + embed_dim, h, w): mask and masked latent; without a picture all of it is to be made."""
    import torch
    from torch.nn import functional as F

    if inputs.image is None or inputs.mask is None:
        f = model.spec.first_stage.downsampling
        inputs = replace(inputs, image=torch.zeros(3, size[0] * f, size[1] * f), mask=torch.ones(1, *size))
    image, mask = needed("image", inputs.image)[None], needed("mask", inputs.mask)[None].round()
    z = model.encode(image * (1.0 - F.interpolate(mask, image.shape[-2:])))
    return torch.cat([F.interpolate(mask, size).to(z), z], dim=1)
