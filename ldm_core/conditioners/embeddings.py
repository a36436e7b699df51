"""Embeddings (textual inversion): learned vectors that a prompt names.  Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ldm_core.spec import ClipTower

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """vectors: for each text encoder (n, d), equally many."""

    name: str
    vectors: tuple[Tensor, ...]

    @property
    def length(self) -> int:
        return len(self.vectors[0])


class Embeddings(Protocol):
    """Those that are at hand."""

    def names(self) -> Sequence[str]:
        """Of all of them, of whichever model."""

    def find(self, name: str, towers: Sequence[ClipTower]) -> Embedding | None:
        """One for these text encoders; None where there is none of that name, or it is another model's.

        Raises:
            ModelFileError: its file cannot be read.
        """
