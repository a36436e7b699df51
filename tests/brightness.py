"""A conditioner as somebody adds one, this file and a row: how bright each cell of the picture is to be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.conditioners import Cond, Inputs
from ldm_core.conditioners.base import Examples, Model, Plane, Size
from ldm_core.facts import Section
from ldm_core.spec import TaskName


@dataclass(frozen=True, slots=True)
class BrightnessSpec(Plane):
    """Brightness (1, H, W), 0 .. 1 -> concatenation, through a convolution of its own; zeros: not given."""

    channels: int

    takes = "brightness"
    names = frozenset({"brightness"})

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset()

    def concat_channels(self, embed_dim: int) -> int:
        return self.channels

    def prepared_channels(self, embed_dim: int) -> int:
        return 1

    @classmethod
    def read(cls, name: str, params: Section) -> BrightnessSpec:
        return cls(params.whole("channels", 1, 16))

    @property
    def module_name(self) -> str:
        return "brightness_model"

    def build(self) -> nn.Module:
        return nn.Conv2d(1, self.channels, 1, bias=False)

    def plane(self, inputs: Inputs, size: Size, model: Model) -> Tensor:
        given = inputs.others.get(self.takes)
        return torch.zeros(1, 1, *size) if given is None else F.adaptive_avg_pool2d(given[None], size)

    def enter(self, prepared: Tensor, module: nn.Module | None) -> Cond:
        assert module is not None
        return Cond(concat=module(prepared))

    def without(self, inputs: Inputs) -> Inputs:
        rest = {name: tensor for name, tensor in inputs.others.items() if name != self.takes}
        return inputs if len(rest) == len(inputs.others) else replace(inputs, others=rest)

    def draw_planes(self, examples: Examples, size: Size, rng: np.random.Generator) -> Tensor:
        return F.adaptive_avg_pool2d((examples.images.mean(1, keepdim=True) + 1) / 2, size)
