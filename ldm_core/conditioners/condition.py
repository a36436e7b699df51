"""What the UNet is given beside x_t and t."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """For a batch of b; None where a model takes no such part.

    Attributes:
        context: (b, n, d), for cross-attention.
        concat: (b, c, h, w), concatenated to x_t.
        vector: (b, d), joins the embedding of t: pooled prompt and sizes, or 1 at a noise level's place.
        bits: (b, n + 1, h, w), a label map that takes the place of x_t's own (`LabelBitsSpec`): its digits,
            and 1 where they count.
    """

    context: Tensor | None = None
    concat: Tensor | None = None
    vector: Tensor | None = None
    bits: Tensor | None = None

    @property
    def shape(self) -> tuple[torch.Size | None, ...]:
        """Equal for conditions that can share a network call."""
        return tuple(None if part is None else part.shape for part in self._parts)

    @property
    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.context, self.concat, self.vector, self.bits

    def map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """The same change to every part that is there."""
        return Condition(*(None if part is None else change(part) for part in self._parts))

    def __getitem__(self, rows: slice | Tensor) -> Condition:
        """Some of the batch."""
        return self.map(lambda part: part[rows])

    def tile(self, region: tuple[slice, slice]) -> Condition:
        """What belongs to a tile of the latent."""
        planes = (
            None if part is None else part[..., region[0], region[1]] for part in (self.concat, self.bits)
        )
        concat, bits = planes
        return Condition(self.context, concat, self.vector, bits)

    def towards(self, other: Condition, share: float) -> Condition:
        """Between this one at 0 and another with the same parts at 1."""
        pairs = zip(self._parts, other._parts, strict=True)
        return Condition(*(a if a is None or b is None else a.lerp(b, share) for a, b in pairs))

    @staticmethod
    def cat(conditions: Sequence[Condition]) -> Condition:
        """One batch of several; all of them have the same parts."""
        columns = zip(*(one._parts for one in conditions), strict=True)
        return Condition(*(_cat([part for part in column if part is not None]) for column in columns))


def _cat(parts: Sequence[Tensor]) -> Tensor | None:
    return torch.cat(list(parts)) if parts else None
