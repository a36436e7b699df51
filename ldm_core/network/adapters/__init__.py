"""Adapters: small files that change a model's weights, and can be taken away again.

The model itself is never written to.  `adapted` gives a model that shares every tensor with it but the
changed ones; letting that go is all there is to unloading.  A new kind is a file with its `AdapterKind`, and
a row of `KINDS`.
"""

from __future__ import annotations

from ldm_core.network.adapters.dora import decomposed
from ldm_core.network.adapters.full import BIAS, FULL
from ldm_core.network.adapters.ia3 import IA3
from ldm_core.network.adapters.kind import AdapterKind
from ldm_core.network.adapters.loha import LOHA
from ldm_core.network.adapters.lokr import LOKR
from ldm_core.network.adapters.lora import LORA
from ldm_core.network.adapters.oft import OFT
from ldm_core.network.adapters.patching import Adapter, Applied, ModulePatch, adapted, num_bytes

__all__ = ["Adapter", "AdapterKind", "Applied", "KINDS", "ModulePatch", "adapted", "num_bytes"]

_LOW_RANK = (LORA, LOHA, *LOKR)
KINDS: tuple[AdapterKind, ...] = (
    *_LOW_RANK,
    *(decomposed(kind) for kind in _LOW_RANK),
    IA3,
    FULL,
    BIAS,
    OFT,
)
