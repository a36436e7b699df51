"""What a control adds to the feature maps inside the UNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

Maps = tuple[Tensor | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """For a batch; None, or a tuple that ends early, where nothing is added.

    Attributes:
        skips: (b, c, h, w) for what each input block hands to its output block, as ControlNet gives them
            (arXiv:2302.05543).
        middle: (b, c, h, w) for what comes out of the middle block.
        inputs: (b, c, h, w) for what comes out of each input block and goes on through all others, as
            T2I-Adapter gives them (arXiv:2302.08453).
    """

    skips: Maps = ()
    middle: Tensor | None = None
    inputs: Maps = ()

    def __add__(self, other: Residuals) -> Residuals:
        """What two controls add together."""
        return Residuals(
            _sums(self.skips, other.skips), _sum(self.middle, other.middle), _sums(self.inputs, other.inputs)
        )

    def __mul__(self, strength: Tensor) -> Residuals:
        """Each picture's times its strength, (b,)."""

        def times(map_: Tensor | None) -> Tensor | None:
            return None if map_ is None else map_ * strength.to(map_)[:, None, None, None]

        return Residuals(tuple(map(times, self.skips)), times(self.middle), tuple(map(times, self.inputs)))

    def __getitem__(self, rows: Tensor) -> Residuals:
        """Some of the batch."""

        def some(map_: Tensor | None) -> Tensor | None:
            return None if map_ is None else map_[rows]

        return Residuals(tuple(map(some, self.skips)), some(self.middle), tuple(map(some, self.inputs)))

    def after(self, block: int, h: Tensor) -> Tensor:
        """What goes on from an input block."""
        added = self.inputs[block] if block < len(self.inputs) else None
        return h if added is None else h + added

    def beyond(self, h: Tensor, skips: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """What the middle block and the input blocks hand to the output blocks."""
        added = (*self.skips, *[None] * (len(skips) - len(self.skips)))
        return (
            h if self.middle is None else h + self.middle,
            [
                skip if residual is None else skip + residual
                for skip, residual in zip(skips, added, strict=True)
            ],
        )


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _sums(a: Maps, b: Maps) -> Maps:
    length = max(len(a), len(b))
    padded = ((*residual, *[None] * (length - len(residual))) for residual in (a, b))
    return tuple(_sum(x, y) for x, y in zip(*padded, strict=True))
