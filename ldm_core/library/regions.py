"""Where the regions of a request lie, and what a person is told of them.  Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ldm_core.errors import PromptError
from ldm_core.library.class_names import class_id, label_names
from ldm_core.model_spec import ModelSpec
from ldm_core.request import LayoutToImage, Request, Semantic
from ldm_core.request.regions import RegionPrompt
from ldm_core.request.rules import LabelledBox

Mask = NDArray[np.float32]  # (H, W) of the whole picture, 0 .. 1


def masks_of(request: Request, spec: ModelSpec) -> Iterator[Mask]:
    """Of each region, one after the other, as they may be large.

    Of boxes that overlap the smaller one lies on top, of equal ones the later.

    Raises:
        RequestError: the model has no such class.
    """
    boxes = _boxes_on_top(request) if isinstance(request, LayoutToImage) else None
    return (_mask(region, request, spec, boxes) for region in request.regions or ())


def _mask(region: RegionPrompt, request: Request, spec: ModelSpec, boxes: NDArray[np.int16] | None) -> Mask:
    if region.mask is not None:
        return stretched(region.mask.pixels.astype(np.float32) / np.float32(255), request.size)
    if region.box is not None and boxes is not None:
        return (boxes == region.box).astype(np.float32)
    assert region.label is not None and isinstance(request, Semantic)
    names = label_names(spec)
    index = class_id("regions", region.label, names, len(names))
    return (request.label_map.pixels == index).astype(np.float32)


def stretched(mask: Mask, size: tuple[int, int]) -> Mask:
    """In another width and height."""
    if mask.shape[::-1] == size:
        return mask
    import cv2

    smaller = size[0] * size[1] < mask.size
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(mask), size, interpolation=method).astype(np.float32)


def _boxes_on_top(request: LayoutToImage) -> NDArray[np.int16]:
    """(H, W), the number of the box that is seen in each pixel, -1 of none."""
    width, height = request.size
    seen = np.full((height, width), -1, np.int16)
    for number in sorted(range(len(request.boxes)), key=lambda i: -_area(request.boxes[i])):
        box = request.boxes[number]
        left, right = (round(width * x) for x in (box.x, box.x + box.width))
        top, bottom = (round(height * y) for y in (box.y, box.y + box.height))
        seen[top:bottom, left:right] = number
    return seen


def _area(box: LabelledBox) -> float:
    return box.width * box.height


def check_regions(request: Request, spec: ModelSpec, title: str) -> None:
    """
    Raises:
        RequestError: the model draws no regions by prompts, or needs some; it has no such class.
    """
    regions, places = request.regions, {"label_map": "label maps", "boxes": "boxes"}
    if regions is None:
        for name, called in places.items():
            if hasattr(request, name) and spec.taking(name) is None:
                raise PromptError(
                    "regions",
                    f"{title} reads no {called} by itself: give at least one part a prompt of its own.",
                )
        return
    if not spec.takes_regions:
        raise PromptError("regions", f"{title} draws no regions by prompts of their own; leave them out.")
    names = label_names(spec)
    labels = [region.label for region in regions if region.label is not None]
    ids = [class_id("regions", label, names, len(names)) for label in labels]
    for place, found in enumerate(ids):
        if found in ids[:place]:
            raise PromptError("regions", f"The class {names[found]!r} has two prompts; put them into one.")


def region_notes(request: Request, spec: ModelSpec) -> list[str]:
    """A sentence about each region that is nowhere, or smaller than a cell of the latent."""
    side, notes = spec.first_stage.downsampling, []
    for region, mask in zip(request.regions or (), masks_of(request, spec), strict=True):
        area = float(mask.sum())
        if area == 0:
            notes.append(f"There is nothing of {region.called}, so its prompt has no effect.")
        elif area < side * side:
            notes.append(
                f"All of {region.called} is smaller than a cell of the latent, {side} x {side} pixels, so "
                "its prompt counts for little."
            )
    return notes
