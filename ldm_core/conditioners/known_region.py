"""A picture with a hole, as our models take it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ldm_core.conditioners.base import Examples, Model, Plane, Size
from ldm_core.conditioners.inputs import Inputs
from ldm_core.facts import Section
from ldm_core.spec import TaskName

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class KnownRegionSpec(Plane):
    """Ours.  A picture with a hole -> concatenation: its latent with the hole closed smoothly, then the share
    of each cell that is known; zeros are no picture."""

    takes = "known_region"
    names = frozenset({"known_region"})
    fills_holes = True

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"inpaint"})

    def concat_channels(self, embed_dim: int) -> int:
        return embed_dim + 1

    @classmethod
    def read(cls, name: str, params: Section) -> KnownRegionSpec:
        return cls()

    def plane(self, inputs: Inputs, size: Size, model: Model) -> Tensor:
        import torch

        from ldm_core.conditioners.spatial import known_region, without_hole

        if inputs.image is None or inputs.mask is None:
            return torch.zeros(1, model.spec.first_stage.embed_dim + 1, *size)
        image, mask = inputs.image[None], inputs.mask[None]
        return known_region(model.encode(without_hole(image, mask)), mask)

    def without(self, inputs: Inputs) -> Inputs:
        return inputs if inputs.image is None else replace(inputs, image=None, mask=None)

    def draw_planes(self, examples: Examples, size: Size, rng: np.random.Generator) -> Tensor:
        from ldm_core.conditioners.spatial import known_region, without_hole

        known = examples.known_regions(rng)
        if known is not None:
            return known
        images, masks = examples.holed(rng)
        return known_region(examples.encode(without_hole(images, masks)), masks)

    def focus(self, prepared: Tensor, examples: Examples) -> Tensor:
        return examples.hole_weights(prepared[:, -1:] == 1.0)
