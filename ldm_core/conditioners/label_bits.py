"""A label map that is drawn together with the picture, or given in the place of what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ldm_core.conditioners.base import Conditioner, Examples, Model, Size
from ldm_core.conditioners.cond import Cond
from ldm_core.conditioners.inputs import Inputs
from ldm_core.facts import Section
from ldm_core.spec import TaskName

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class LabelBitsSpec(Conditioner):
    """Ours.  A latent that goes on with its own label map, which is drawn together with the picture.

    Every cell's class is written in binary, each digit a channel of -scale or scale (analog bits,
    arXiv:2208.04202).  The larger the scale, the higher the noise up to which a class can be told: what is
    where is decided before what it looks like.  A label map that is given takes the place of the digits.
    """

    classes: tuple[str, ...]
    scale: float

    takes = "label_map"
    way = "latent"
    names = frozenset({"label_bits"})

    @property
    def count(self) -> int:
        """Digits of a class."""
        return max(1, (len(self.classes) - 1).bit_length())

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"semantic"})

    @property
    def latent_channels(self) -> int:
        return self.count

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes

    @classmethod
    def read(cls, name: str, params: Section) -> LabelBitsSpec:
        params.only(frozenset({"classes", "scale"}), {})
        return cls(params.names("classes", 2, 255), params.number("scale", 0.1, 10.0, 1.0))

    def prepare(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        import torch

        from ldm_core.conditioners.spatial import label_bits

        rows = [
            torch.zeros(1, self.count + 1, *size)
            if each.label_map is None
            else torch.cat(label_bits(each.label_map[None], self, size), dim=1)
            for each in inputs
        ]
        return torch.cat(rows)

    def encode(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Cond:
        """Nothing where no label map is given, so that digits are drawn as any latent is."""
        if all(each.label_map is None for each in inputs):
            return Cond()
        return Conditioner.encode(self, inputs, size, model)

    def enter(self, prepared: Tensor, module: nn.Module | None) -> Cond:
        return Cond(bits=prepared)

    def without(self, inputs: Inputs) -> Inputs:
        return inputs if inputs.label_map is None else replace(inputs, label_map=None)

    def latent(self, labels: Tensor, size: Size) -> Tensor:
        """(b, H, W) class ids -> (b, n, h, w), what the latent goes on with."""
        from ldm_core.conditioners.spatial import label_bits

        return label_bits(labels, self, size)[0]

    def draw(
        self, examples: Examples, keep: NDArray[np.bool_], size: Size, rng: np.random.Generator
    ) -> Tensor:
        """Of a third of the label maps a part alone."""
        import torch

        said = examples.parts(size, rng) & torch.from_numpy(keep)[:, None, None]
        return torch.cat([examples.z[:, -self.count :], said[:, None].float()], dim=1)

    def drawn(self, prepared: Tensor, channels: int) -> Tensor:
        from ldm_core.conditioners.spatial import kept_bits

        return 1.0 - kept_bits(prepared, channels)[1]

    def focus(self, prepared: Tensor, examples: Examples) -> Tensor:
        return examples.class_weights(prepared[:, -1:] > 0.5)
