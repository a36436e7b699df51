"""A checkpoint as if its tensors had our names and layout.

The paper's models need none of this: our modules' attribute names are their keys.  Of the family that grew
from it some parts come under other names, or cut in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ldm_core.formats.reading import Checkpoint

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


def made_shapes(shapes: Mapping[str, Tensor], recipes: Recipes) -> dict[str, Tensor]:
    """Our tensors without their values."""
    return {name: recipe.make([shapes[part] for part in recipe.parts]) for name, recipe in recipes.items()}


class Renamed:
    """An open checkpoint, read through recipes."""

    def __init__(self, checkpoint: Checkpoint, recipes: Recipes) -> None:
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
