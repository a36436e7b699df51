"""Filling a hole from the picture itself, without a model.

PatchMatch: A Randomized Correspondence Algorithm for Structural Image Editing, Barnes et al. 2009 (the
library `pypatchmatch`); An Image Inpainting Technique Based on the Fast Marching Method, Telea 2004 (OpenCV).
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ldm_core.errors import EngineError

Colours = NDArray[np.uint8]  # (h, w, 3)
Hole = NDArray[np.bool_]  # (h, w)

TELEA_RADIUS = 5  # pixels
_PATCH_RADIUS = 3  # pixels; larger patches take longer and blur
_SEED = 0
_one_at_a_time = threading.Lock()  # the library has one seed for the whole process


def can_match() -> bool:
    """Whether the library is installed; it has no wheel for some computers."""
    return importlib.util.find_spec("patchmatch") is not None


def patches(colours: Colours, hole: Hole) -> Colours:
    """The hole made of patches that are elsewhere in the picture: textures go on in it.

    Raises:
        EngineError: the library is not there, or nothing of the picture is left to take patches from.
    """
    if not can_match():
        raise EngineError(
            "PatchMatch is not installed here: pip install pypatchmatch, or choose the edge's colours."
        )
    if hole.all():
        raise EngineError("The mask covers everything, so there is nothing to fill it from.")
    import patchmatch

    with _one_at_a_time:
        patchmatch.set_random_seed(_SEED)
        return np.asarray(patchmatch.inpaint(colours, hole, patch_size=_PATCH_RADIUS), np.uint8)


def edge_colours(colours: Colours, hole: Hole) -> Colours:
    """The colours of the hole's edge drawn inwards: good for scratches, blurred in anything larger."""
    import cv2

    marked = hole.astype(np.uint8)
    return np.asarray(cv2.inpaint(colours, marked, TELEA_RADIUS, cv2.INPAINT_TELEA), np.uint8)


METHODS: Mapping[str, Callable[[Colours, Hole], Colours]] = {"patches": patches, "telea": edge_colours}


def filled(colours: Colours, hole: Hole, fill: str, most: int) -> Colours:
    """The hole filled by one of `METHODS`; beyond `most` pixels it is filled in a smaller copy, and enlarged.

    Raises:
        EngineError: see `patches`; memory ran out.
    """
    import cv2

    height, width = hole.shape
    shrink = (most / (height * width)) ** 0.5
    try:
        if fill != "patches" or shrink >= 1:
            return METHODS[fill](np.ascontiguousarray(colours), np.ascontiguousarray(hole))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = cv2.resize(np.ascontiguousarray(colours), size, interpolation=cv2.INTER_AREA)
        covered = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        large = cv2.resize(patches(np.asarray(small, np.uint8), covered), (width, height))
        return np.where(hole[..., None], large, colours).astype(np.uint8)
    except (MemoryError, cv2.error) as error:
        said = f"Memory ran out at {width} x {height} pixels; paint over less at a time."
        raise EngineError(said) from error
