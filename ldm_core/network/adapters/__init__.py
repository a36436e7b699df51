"""Adapters: small files that change a model's weights, and can be taken away again.

The model itself is never written to.  `adapted` gives a model that shares every tensor with it but the
changed ones; letting that go is all there is to unloading.  A new kind is a file with its `AdapterKind`, and
a row of `KINDS`.
"""

from __future__ import annotations

from ldm_core.network.adapters.kind import AdapterKind
from ldm_core.network.adapters.lora import LORA
from ldm_core.network.adapters.patching import Adapter, Applied, ModulePatch, adapted, num_bytes

__all__ = ["Adapter", "AdapterKind", "Applied", "KINDS", "ModulePatch", "adapted", "num_bytes"]

KINDS: tuple[AdapterKind, ...] = (LORA,)
