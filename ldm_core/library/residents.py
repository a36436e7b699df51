"""The models that stay in memory, within a budget of bytes; the least recently used leave first.

Beside whole models there are controls, and models with adapters, which share most of their tensors with the
model without any.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ldm_core.network.memory import available_memory

if TYPE_CHECKING:
    from torch import Tensor, nn

SHARE = 0.7  # of the memory that is free or held by models; the rest is for activations
_FEW = 2  # models, where the system does not tell how much memory is free


@dataclass(frozen=True, slots=True, eq=False)
class _Resident:
    model: nn.Module
    size: int  # bytes of its own
    beside: Hashable | None  # the key of the model without which it is of no use


class Residents:
    """Loaded models by key.  Safe to use from several threads.

    A model that leaves while a job still uses it is freed when that job ends.

    Args:
        budget: bytes; None is a share of what is free on the device when a model comes in.
    """

    def __init__(self, budget: int | None = None) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._models: OrderedDict[Hashable, _Resident] = OrderedDict()

    def get(self, key: Hashable) -> nn.Module | None:
        """The model, now the most recently used; None where it is not in memory."""
        with self._lock:
            if key not in self._models:
                return None
            found = self._models[key]
            self._models.move_to_end(key)
            if found.beside in self._models:
                self._models.move_to_end(found.beside)
            return found.model

    def make_room(self, num_bytes: int, device: str) -> None:
        """Lets models go until `num_bytes` more fit; a model larger than the budget comes alone."""
        with self._lock:
            held = sum(resident.size for resident in self._models.values())
            free = available_memory(device)
            if self._budget is not None:
                budget = self._budget
            elif free is not None:
                budget = int(SHARE * (free + held))
            else:
                whole = sum(resident.beside is None for resident in self._models.values())
                budget = held + num_bytes if whole < _FEW else 0
            while self._models and held + num_bytes > budget:
                held -= self._let_go(next(iter(self._models)))

    def _let_go(self, key: Hashable) -> int:
        """The bytes that are free then: its own, and those of what is beside it."""
        beside = [other for other, resident in self._models.items() if resident.beside == key]
        return self._models.pop(key).size + sum(self._models.pop(other).size for other in beside)

    def add(
        self, key: Hashable, model: nn.Module, *, beside: Hashable | None = None, most: int | None = None
    ) -> None:
        """Keeps a model that was just loaded.

        Args:
            beside: the key of a model whose tensors it may share, and with which it leaves.
            most: so many are kept beside that one; the least recently used leave.
        """
        with self._lock:
            base = self._models.get(beside)
            shared = {id(tensor) for tensor in _tensors(base.model)} if base else set()
            size = sum(t.numel() * t.element_size() for t in _tensors(model) if id(t) not in shared)
            self._models[key] = _Resident(model, size, beside)
            if most is not None:
                others = [other for other, held in self._models.items() if held.beside == beside]
                for other in others[:-most]:
                    self._let_go(other)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()
