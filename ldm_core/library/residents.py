"""The models that stay in memory, within a budget of bytes; the least recently used leave first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

from ldm_core.network.memory import available_memory

if TYPE_CHECKING:
    from ldm_core.network.latent_diffusion import LatentDiffusion

SHARE = 0.7  # of the memory that is free or held by models; the rest is for activations
_FEW = 2  # models, where the system does not tell how much memory is free


class Residents:
    """Loaded models by key.  Safe to use from several threads.

    A model that leaves while a job still uses it is freed when that job ends.

    Args:
        budget: bytes; None is a share of what is free on the device when a model comes in.
    """

    def __init__(self, budget: int | None = None) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._models: OrderedDict[Hashable, tuple[LatentDiffusion, int]] = OrderedDict()

    def get(self, key: Hashable) -> LatentDiffusion | None:
        """The model, now the most recently used; None where it is not in memory."""
        with self._lock:
            if key not in self._models:
                return None
            self._models.move_to_end(key)
            return self._models[key][0]

    def make_room(self, num_bytes: int, device: str) -> None:
        """Lets models go until `num_bytes` more fit; a model larger than the budget comes alone."""
        with self._lock:
            held = sum(size for _, size in self._models.values())
            free = available_memory(device)
            if self._budget is not None:
                budget = self._budget
            elif free is not None:
                budget = int(SHARE * (free + held))
            else:
                budget = held + num_bytes if len(self._models) < _FEW else 0
            while self._models and held + num_bytes > budget:
                _, (_, size) = self._models.popitem(last=False)
                held -= size

    def add(self, key: Hashable, model: LatentDiffusion) -> None:
        """Keeps a model that was just loaded."""
        tensors = (*model.parameters(), *model.buffers())
        with self._lock:
            self._models[key] = model, sum(t.numel() * t.element_size() for t in tensors)
