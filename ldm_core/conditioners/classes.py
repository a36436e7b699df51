"""The class of a picture (paper, section 4.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ldm_core.conditioners.base import COND_STAGE, Examples, Found, Model, Size, Tokens, needed
from ldm_core.conditioners.inputs import Inputs
from ldm_core.facts import Section, Shapes
from ldm_core.spec import TaskName

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class ClassSpec(Tokens):
    """A class -> cross-attention: one learned token for each class."""

    num_classes: int
    dim: int

    takes = "class"
    names = frozenset({"ldm.modules.encoders.modules.ClassEmbedder"})

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"class", "unconditional"} if self.droppable else {"class"})

    @property
    def no_class(self) -> int | None:
        """The class that stands for none in guidance: the last one of the published 1,001."""
        return 1000 if self.num_classes == 1001 else None

    @property
    def droppable(self) -> bool:
        return self.no_class is not None

    @property
    def context_dim(self) -> int:
        return self.dim

    @property
    def class_count(self) -> int:
        return self.num_classes

    @classmethod
    def read(cls, name: str, params: Section) -> ClassSpec:
        params.only(frozenset({"embed_dim", "n_classes", "key"}), {})
        return cls(params.whole("n_classes", 1, 1_000_000, 1000), params.whole("embed_dim", 1, 8192))

    @classmethod
    def recognise(cls, found: Found) -> ClassSpec | None:
        shape = Shapes(found.weights, f"{COND_STAGE}.")
        if "embedding.weight" not in shape:
            return None
        num_classes, dim = shape.of("embedding.weight")
        return cls(num_classes, dim)

    def build(self) -> nn.Module:
        from ldm_core.nn.embedders import ClassEmbedder

        return ClassEmbedder(self.num_classes, self.dim)

    def prepare(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        import torch

        ids = [self.no_class if each.class_id is None else each.class_id for each in inputs]
        return torch.tensor([needed("class", class_id) for class_id in ids])

    def without(self, inputs: Inputs) -> Inputs:
        if inputs.class_id is None or not self.droppable:
            return inputs
        return replace(inputs, class_id=None)

    def draw(
        self, examples: Examples, keep: NDArray[np.bool_], size: Size, rng: np.random.Generator
    ) -> Tensor:
        import torch

        pairs = zip(examples.class_ids, keep, strict=True)
        return torch.tensor([class_id if kept else self.no_class for class_id, kept in pairs])
