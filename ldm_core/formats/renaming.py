"""A checkpoint as if its tensors had our names and layout.

The paper's models need none of this: our modules' attribute names are their keys.  Of the family that grew
from it some parts come under other names, or cut in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ldm_core.errors import WeightsError

Make = Callable[[Sequence[Tensor]], Tensor]


def same(parts: Sequence[Tensor]) -> Tensor:
    """The one tensor as it is."""
    return parts[0]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One of our tensors: what it is made of, and how.  `make` also takes tensors on the device "meta"."""

    parts: tuple[str, ...]
    make: Make = same


Recipes = Mapping[str, Recipe]  # by our names


def unchanged(weights: Mapping[str, Tensor]) -> Recipes:
    """Every tensor as it is, under its own name."""
    return {name: Recipe((name,)) for name in weights}


def made_shapes(shapes: Mapping[str, Tensor], recipes: Recipes) -> dict[str, Tensor]:
    """Our tensors without their values.

    Raises:
        WeightsError: parts are of shapes that a recipe cannot put together.
    """
    made = {}
    for name, recipe in recipes.items():
        try:
            made[name] = recipe.make([shapes[part] for part in recipe.parts])
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
            some = ", ".join(recipe.parts[:3])
            raise WeightsError(f"The checkpoint's {some} are of shapes that no known model has.") from None
    return made


class Tensors(Protocol):
    """What can be read as an open checkpoint can (`reading.Checkpoint`)."""

    @property
    def shapes(self) -> Mapping[str, Tensor]: ...

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]: ...


class Joined:
    """Several open checkpoints as one.

    Raises:
        WeightsError: two of them have a tensor of the same name.
    """

    def __init__(self, parts: Sequence[Tensors]) -> None:
        self._parts = parts
        self.shapes: dict[str, Tensor] = {}
        for part in parts:
            twice = sorted(self.shapes.keys() & part.shapes.keys())
            if twice:
                raise WeightsError(f"The tensor {twice[0]} is in two files; download the model again.")
            self.shapes.update(part.shapes)

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """As `Checkpoint.read`."""
        wanted = set(names)
        for part in self._parts:
            yield from part.read([name for name in part.shapes if name in wanted])


class Renamed:
    """An open checkpoint, read through recipes."""

    def __init__(self, checkpoint: Tensors, recipes: Recipes) -> None:
        self._checkpoint = checkpoint
        self._recipes = recipes
        self.shapes = made_shapes(checkpoint.shapes, recipes)

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """As `Checkpoint.read`, by our names."""
        wanted = {name: self._recipes[name] for name in names}
        ours = {recipe.parts[0]: name for name, recipe in wanted.items() if recipe.make is same}
        for part, tensor in self._checkpoint.read(ours):
            yield ours[part], tensor
        for name, recipe in wanted.items():
            if recipe.make is not same:
                found = dict(self._checkpoint.read(recipe.parts))
                yield name, recipe.make([found[part] for part in recipe.parts]).contiguous()
