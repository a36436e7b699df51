"""Labelled boxes in the picture's plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ldm_core.conditioners.base import Examples, Model, Plane, Size
from ldm_core.conditioners.inputs import Inputs
from ldm_core.facts import Section
from ldm_core.request.raster import NOTHING
from ldm_core.spec import TaskName

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class BoxMapSpec(Plane):
    """Ours.  Labelled boxes -> concatenation: for each class the share of each cell that is covered."""

    classes: tuple[str, ...]

    takes = "boxes"
    names = frozenset({"box_map"})

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"layout"})

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes

    def concat_channels(self, embed_dim: int) -> int:
        return len(self.classes)

    @classmethod
    def read(cls, name: str, params: Section) -> BoxMapSpec:
        return cls(params.names("classes", 1, NOTHING))

    def plane(self, inputs: Inputs, size: Size, model: Model) -> Tensor:
        from ldm_core.conditioners.spatial import box_map, box_tensor

        return box_map(box_tensor(inputs.boxes), len(self.classes), size)

    def without(self, inputs: Inputs) -> Inputs:
        return replace(inputs, boxes=()) if inputs.boxes else inputs

    def draw_planes(self, examples: Examples, size: Size, rng: np.random.Generator) -> Tensor:
        from ldm_core.conditioners.spatial import box_map

        return box_map(examples.boxes, len(self.classes), size)
