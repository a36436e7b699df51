"""A class for every pixel (paper, section 4.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ldm_core.conditioners.base import COND_STAGE, Examples, Found, Model, Plane, Size, needed
from ldm_core.conditioners.cond import Cond
from ldm_core.conditioners.inputs import Inputs
from ldm_core.errors import ConfigError
from ldm_core.facts import Section, Shapes
from ldm_core.model_spec import ModelSpec
from ldm_core.request.raster import NOTHING
from ldm_core.spec import TaskName

if TYPE_CHECKING:
    from torch import Tensor, nn

RESCALER = "ldm.modules.encoders.modules.SpatialRescaler"


@dataclass(frozen=True, slots=True)
class LabelMapSpec(Plane):
    """A class for every pixel -> concatenation.

    As published, the one-hot map is halved `halvings` times and mapped to `channels` by a learned 1x1
    convolution.  Ours has neither (`channels` = 0): the one-hot map is averaged over the latent's cells, and
    zeros are no label map.
    """

    num_classes: int
    channels: int = 0
    halvings: int = 0
    classes: tuple[str, ...] = ()  # their names, where the description gives them

    takes = "label_map"
    names = frozenset({RESCALER, "label_map"})

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"semantic"})

    @property
    def droppable(self) -> bool:
        return not self.channels

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes

    @property
    def class_count(self) -> int:
        return self.num_classes

    def concat_channels(self, embed_dim: int) -> int:
        return self.channels or self.num_classes

    @classmethod
    def read(cls, name: str, params: Section) -> LabelMapSpec:
        if name != RESCALER:
            classes = params.names("classes", 1, NOTHING)
            return cls(len(classes), classes=classes)
        params.only(
            frozenset({"n_stages", "in_channels", "out_channels"}),
            {"method": ("bilinear",), "multiplier": (0.5,), "bias": (False,)},
        )
        return cls(
            num_classes=params.whole("in_channels", 1, NOTHING),
            channels=params.whole("out_channels", 1, 1024),
            halvings=params.whole("n_stages", 0, 8, 1),
        )

    @classmethod
    def recognise(cls, found: Found) -> LabelMapSpec | None:
        shape = Shapes(found.weights, f"{COND_STAGE}.")
        if "channel_mapper.weight" not in shape:
            return None
        channels, num_classes, *_ = shape.of("channel_mapper.weight")
        return cls(num_classes, channels, found.first_stage.downsampling.bit_length() - 1)

    def check(self, spec: ModelSpec, place: str) -> None:
        if self.channels and 2**self.halvings != spec.first_stage.downsampling:
            raise ConfigError(
                f"{place}: the rescaler makes label maps {2**self.halvings} times smaller, the first stage "
                f"pictures {spec.first_stage.downsampling} times; they have to be equal."
            )

    @property
    def module_name(self) -> str:
        return COND_STAGE if self.channels else ""

    def build(self) -> nn.Module:
        from ldm_core.nn.embedders import SpatialRescaler

        return SpatialRescaler(self.num_classes, self.channels, self.halvings)

    def prepare(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        if not self.channels:
            return Plane.prepare(self, inputs, size, model)
        import torch

        from ldm_core.conditioners.spatial import one_hot

        maps = [self._resized(needed("label_map", each.label_map), size) for each in inputs]
        return one_hot(torch.stack(maps), self.num_classes)

    def _resized(self, labels: Tensor, size: Size) -> Tensor:
        """(H, W) of the size that is halved to the latent's."""
        import torch

        height, width = (side * 2**self.halvings for side in size)
        if labels.shape == (height, width):
            return labels
        import cv2

        found = cv2.resize(labels.numpy(), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return torch.from_numpy(found)

    def plane(self, inputs: Inputs, size: Size, model: Model) -> Tensor:
        import torch

        from ldm_core.conditioners.spatial import label_map

        if inputs.label_map is None:
            return torch.zeros(1, self.num_classes, *size)
        return label_map(inputs.label_map[None], self.num_classes, size)

    def enter(self, prepared: Tensor, module: nn.Module | None) -> Cond:
        if module is None:
            return Cond(concat=prepared)
        import torch

        dtype = next(module.parameters()).dtype
        return Cond(concat=module(prepared.to(dtype, memory_format=torch.channels_last)))

    def draw(
        self, examples: Examples, keep: NDArray[np.bool_], size: Size, rng: np.random.Generator
    ) -> Tensor:
        if not self.channels:
            return Plane.draw(self, examples, keep, size, rng)
        from ldm_core.conditioners.spatial import one_hot

        return one_hot(examples.labels, self.num_classes)

    def draw_planes(self, examples: Examples, size: Size, rng: np.random.Generator) -> Tensor:
        """Of a third of the label maps a part alone."""
        import torch

        from ldm_core.conditioners.spatial import label_map

        labels = examples.labels
        parts = examples.parts((labels.shape[1], labels.shape[2]), rng)
        nothing = torch.tensor(NOTHING, dtype=labels.dtype)
        return label_map(labels.where(parts, nothing), self.num_classes, size)
