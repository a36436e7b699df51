"""Embeddings (textual inversion): learned vectors that a prompt names.  Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ldm_core.prompts import Syntax
from ldm_core.spec import ClipTower

if TYPE_CHECKING:
    from torch import Tensor


COMFYUI = "embedding:"  # before a name
INVOKEAI = re.compile(r"<([^<>]+)>")


def named_in(prompt: str, syntax: Syntax) -> tuple[str, ...]:
    """The names that a prompt says are those of embeddings, each once.  A1111's syntax has no sign for them;
    there what is written as for ComfyUI is meant so too."""
    if syntax == "invokeai":
        return tuple(dict.fromkeys(INVOKEAI.findall(prompt)))
    return tuple(dict.fromkeys(re.findall(rf"(?<!\w){COMFYUI}([^\s,():]+)", prompt)))


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
