"""From a label map to labelled boxes, one around each region, and back."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.keeping import metadata
from app.widgets.palettes import Palette, class_names, palette_of, translated
from ldm_core.errors import AtelierError, FileError
from ldm_core.pictures.reading import read_bytes
from ldm_core.request import LayoutToImage, Semantic
from ldm_core.request.raster import NOTHING, read_raster
from ldm_core.request.rules import LabelledBox

SMALLEST = 0.002  # of the picture; what is smaller is a crumb of a rough edge
OPAQUE = 128  # of 255

Labels = NDArray[np.uint8]


def boxes_of(labels: Labels, names: Sequence[str], most: int) -> tuple[LabelledBox, ...]:
    """The boxes around the connected regions of each class, the largest regions first.

    Args:
        labels: (height, width), indices of `names`; others are nothing.
        most: how many boxes at most.
    """
    import cv2  # takes a while, which the page must not wait for

    height, width = labels.shape
    found: list[tuple[int, LabelledBox]] = []
    for index in np.intersect1d(labels, np.arange(len(names))):
        _, _, stats, _ = cv2.connectedComponentsWithStats((labels == index).astype(np.uint8))
        for x, y, w, h, area in stats[1:].tolist():  # the first is everything else
            if area >= SMALLEST * width * height:
                box = LabelledBox(names[index], x / width, y / height, w / width, h / height)
                found.append((area, box))
    found.sort(key=lambda row: -row[0])
    return tuple(box for _, box in found[:most])


def boxes_in(request: LayoutToImage, names: Sequence[str]) -> tuple[LabelledBox, ...]:
    """A request's boxes; `names` has the classes that it may give by their ids."""
    return tuple(
        LabelledBox(_name(box.label, names), box.x, box.y, box.width, box.height) for box in request.boxes
    )


def _name(label: str | int, names: Sequence[str]) -> str:
    return names[label] if isinstance(label, int) and label < len(names) else str(label)


def filled(boxes: Sequence[LabelledBox], names: Sequence[str], width: int, height: int) -> Labels:
    """(height, width) indices of `names`: boxes filled with their class, the smallest on top."""
    labels = np.full((height, width), NOTHING, np.uint8)
    for box in sorted(boxes, key=lambda box: -box.width * box.height):
        if box.label in names:
            left, right = (round(width * x) for x in (box.x, box.x + box.width))
            top, bottom = (round(height * y) for y in (box.y, box.y + box.height))
            labels[top:bottom, left:right] = names.index(box.label)
    return labels


def map_of(path: Path, classes: Palette, colours: Palette) -> Labels:
    """A file's label map, (height, width) indices of `classes`, 255 where it shows none of them.

    A picture that was painted here, a PNG of class ids (the bundled classes', else COCO-Stuff's), or any
    picture in the colours of a palette: each pixel is of the nearest.

    Args:
        colours: what such a picture is painted with.

    Raises:
        FileError: it is neither.
    """
    scenes, stuff = palette_of(class_names("scenes")), palette_of(class_names("coco-stuff"))
    data = read_bytes(path, "The map")
    ids = _ids(data, colours)
    if ids is None:
        return translated(_by_colour(data, colours), colours, classes)
    ours = (ids[ids != NOTHING] < len(scenes)).all()
    return translated(ids, scenes if ours else stuff, classes)


def _ids(data: bytes, colours: Palette) -> Labels | None:
    """The class ids of a map that was painted here, or of a PNG of numbers; None of other files.

    A PNG with a table of colours is one of numbers, unless it was painted in the palette's own colours.
    """
    try:
        request = metadata.read_settings(data).request
    except AtelierError:
        request = None  # another program's
    if isinstance(request, Semantic):
        return request.label_map.pixels
    if not data.startswith(b"\x89PNG"):
        return None
    labels = read_raster(data, "label map")
    with Image.open(io.BytesIO(data)) as file:
        table, mode = file.getpalette("RGB") or [], file.mode
    used = [3 * index for index in np.unique(labels.pixels).tolist() if index != NOTHING]
    painted = {f"#{bytes(table[at : at + 3]).hex()}" for at in used} <= {swatch.colour for swatch in colours}
    numbers = mode in ("1", "L", "I", "I;16") or (mode == "P" and not painted)
    return labels.pixels if numbers else None


def _by_colour(data: bytes, colours: Palette) -> Labels:
    """(height, width) indices of the nearest colours; what is transparent is nothing."""
    try:
        picture = read_raster(data, "picture")
    except FileError as error:
        raise FileError(f"This is no map. {error}") from None
    rgb = picture.pixels[..., :3].astype(np.uint32)
    shown, where = np.unique(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2], return_inverse=True)
    found = np.full(len(shown), NOTHING, np.uint8)
    least = np.full(len(shown), np.inf)
    for index, swatch in enumerate(colours):
        wanted = int(swatch.colour[1:], 16)
        off = sum(((shown >> at & 255).astype(float) - (wanted >> at & 255)) ** 2 for at in (0, 8, 16))
        found[off < least], least = index, np.minimum(off, least)
    labels = found[where].reshape(rgb.shape[:2])
    if picture.pixels.shape[2] == 4:
        labels[picture.pixels[..., 3] < OPAQUE] = NOTHING
    return labels
