"""Labelled boxes as a sequence of tokens (paper, section 4.3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ldm_core.conditioners.base import Examples, Found, Model, Size, Tokens
from ldm_core.conditioners.inputs import Box, Inputs
from ldm_core.conditioners.text import BERT, build_transformer, read_transformer, transformer_sizes
from ldm_core.facts import Section
from ldm_core.spec import TaskName

if TYPE_CHECKING:
    from torch import Tensor, nn

_WHOLE = Box(0, 0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class LayoutSpec(Tokens):
    """Labelled boxes -> cross-attention: a transformer on three tokens a box.

    The last two of the `max_length` tokens are the crop.
    """

    dim: int
    depth: int
    vocab_size: int
    max_length: int

    takes = "boxes"
    names = frozenset({BERT})
    title = "text transformer"

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"layout"})

    @property
    def context_dim(self) -> int:
        return self.dim

    @property
    def max_boxes(self) -> int:
        return (self.max_length - 2) // 3

    @classmethod
    def read(cls, name: str, params: Section) -> LayoutSpec | None:
        return cls(*read_transformer(params)) if params.values.get("use_tokenizer") is False else None

    @classmethod
    def recognise(cls, found: Found) -> LayoutSpec | None:
        sizes = transformer_sizes(found)
        return cls(*sizes) if sizes else None

    def build(self) -> nn.Module:
        return build_transformer(self.dim, self.depth, self.vocab_size, self.max_length)

    def prepare(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        import torch

        return torch.tensor([layout_tokens(each.boxes, self) for each in inputs])

    def draw(
        self, examples: Examples, keep: NDArray[np.bool_], size: Size, rng: np.random.Generator
    ) -> Tensor:
        import torch

        rows = zip(examples.boxes.numpy(), keep, strict=True)
        return torch.tensor([layout_tokens(boxes_of(row) if kept else (), self) for row, kept in rows])


def layout_tokens(boxes: Sequence[Box], spec: LayoutSpec) -> list[int]:
    """Class, top left and bottom right of each box, padding, and the crop: `spec.max_length` token ids.

    A point is the number of its cell in a square grid, counted in rows from the top left; the last token of
    the vocabulary pads.  Boxes beyond `spec.max_boxes` are left out.  As in arXiv:2105.06458; the rounding
    is the reference implementation's.
    """
    grid = math.isqrt(spec.vocab_size)

    def corners(box: Box) -> list[int]:
        return [
            round(min(max(y, 0.0), 1.0) * (grid - 1)) * grid + round(min(max(x, 0.0), 1.0) * (grid - 1))
            for x, y in ((box.x0, box.y0), (box.x1, box.y1))
        ]

    tokens = [token for box in boxes[: spec.max_boxes] for token in (box.class_id, *corners(box))]
    padding = [spec.vocab_size - 1] * (spec.max_length - 2 - len(tokens))
    return [*tokens, *padding, *corners(_WHOLE)]


def boxes_of(row: NDArray[np.float32]) -> tuple[Box, ...]:
    """(n, 5), as `Examples.boxes` has them of one picture, without those that are none."""
    return tuple(Box(int(box[0]), *map(float, box[1:])) for box in row if box[0] >= 0)
