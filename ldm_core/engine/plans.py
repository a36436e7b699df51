"""How a picture is made again that could not be made as usual: in smaller pieces, or in float32.

Either changes its bytes, so its request says so (`Request.plan`) and makes the same picture again.
"""

from __future__ import annotations

import torch

from ldm_core.errors import NotFinite
from ldm_core.network.device import Part, ShortOfMemory, is_out_of_memory
from ldm_core.request import FLOAT32, PLANS

# What goes in small pieces when memory runs out there.
_PIECES: dict[Part, tuple[str, ...]] = {
    "loading": (),
    "inputs": ("inputs",),
    "steps": ("steps",),
    "decoding": ("decoding",),
}


def after_fault(error: Exception, part: Part, plan: tuple[str, ...] | None, dtype: torch.dtype) -> str | None:
    """What to add to a plan that failed; None where nothing helps.

    Args:
        part: of the work, where the error came; unless it says itself of which it is.
        dtype: in which the networks ran.
    """
    words: tuple[str, ...] = ()
    if isinstance(error, NotFinite) and dtype != torch.float32:
        words = (FLOAT32,)
    elif is_out_of_memory(error):
        words = _PIECES[error.part if isinstance(error, ShortOfMemory) else part]
    return next((word for word in words if word not in (plan or ())), None)


def extended(plan: tuple[str, ...] | None, word: str) -> tuple[str, ...]:
    """The plan with one word more."""
    return tuple(each for each in PLANS if each == word or each in (plan or ()))
