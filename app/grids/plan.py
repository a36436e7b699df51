"""The pictures of a grid: which there are, in which order they are made, and where each stands."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.grids.axes import Axis, Fields
from ldm_core.errors import RequestError
from ldm_core.request import Request

MOST = 400  # pictures
AXES = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture of a grid; `at` has its place along each axis."""

    at: tuple[int, ...]
    request: Request


@dataclass(frozen=True, slots=True)
class Plan:
    """A grid.

    Attributes:
        axes: across, down, and page by page; one to three.
        cells: in the order in which they are made.
    """

    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]

    @property
    def requests(self) -> list[Request]:
        return [cell.request for cell in self.cells]

    @property
    def extent(self) -> str:
        """How many pictures, in words."""
        sides = " × ".join(str(len(axis.values)) for axis in self.axes)
        return f"{len(self.cells)} pictures ({sides})"


def plan(fields: Fields, axes: Sequence[Axis], finished: Callable[[Fields], Request]) -> Plan:
    """The grid of a form's fields.

    Axes that cost much to change vary least often in the order of making, whichever axis they are: each
    model is loaded once.

    Args:
        fields: with the seed that all pictures have where no axis varies it.
        finished: makes the request of one picture of its fields.

    Raises:
        RequestError: too many pictures, or one of them is not allowed.
    """
    if not 0 < len(axes) <= AXES:
        raise RequestError("grid", f"{len(axes)} axes", f"1 to {AXES} axes")
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST:
        sides = " × ".join(str(len(axis.values)) for axis in axes)
        raise RequestError("grid", f"{sides} = {count} pictures", f"at most {MOST} pictures")
    order = sorted(range(len(axes)), key=lambda i: (-axes[i].cost, -i))
    cells = []
    for places in itertools.product(*(range(len(axes[i].values)) for i in order)):
        at = tuple(place for _, place in sorted(zip(order, places, strict=True)))
        changed: Fields = {**fields, "batch_size": 1}
        for axis, place in zip(axes, at, strict=True):
            changed = axis.values[place].apply(changed)
        cells.append(Cell(at, finished(changed)))
    return Plan(tuple(axes), tuple(cells))
