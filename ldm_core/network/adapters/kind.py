"""What a kind of adapter is: a row of the table `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Parts = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class AdapterKind:
    """How the tensors of one module become a change of its weights.

    Attributes:
        title: for a person.
        endings: how the names of its tensors end, after the module's -> which part each is.
        needs: parts that have to be there.
        delta: parts in float32 and the module's weights now ("weight", "bias"), in float32 -> what is added
            to them at strength 1.  Raises RuntimeError or ValueError where the shapes do not fit.
        last: it looks at the weights, so it comes after those that only add.
    """

    title: str
    endings: Mapping[str, str]
    needs: frozenset[str]
    delta: Callable[[Parts, Parts], Mapping[str, Tensor]]
    last: bool = False


def scale_of(parts: Parts, rank: int) -> float:
    """alpha / rank; 1 without alpha, or with 0 there."""
    alpha = float(parts["alpha"]) if "alpha" in parts else 0.0
    return alpha / rank if alpha else 1.0
