"""What is on a canvas, as Python has it, and the JSON in which it travels.  assets/canvas speaks the same.

A label map travels as runs of equal ids, three bytes each (the id, and the run's length as 16 bits, little
endian), or as it is where that is shorter.  So it arrives exactly, and nothing that arrives can unpack to
more than the size it states.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from app.widgets.palettes import Palette
from app.widgets.shown import SHOWN_SIDE, backdrop_of, read_upload
from app.widgets.uploads import uploaded_file
from ldm_core.errors import FileError, RequestError
from ldm_core.request import reduced
from ldm_core.request.raster import NOTHING, Raster
from ldm_core.request.rules import Boxes, LabelledBox, refuse

Mode = Literal["mask", "classes", "boxes"]
Labels = NDArray[np.uint8]
Json = dict[str, object]

MAX_SIDE = SHOWN_SIDE  # pixels
BOXES = Boxes(1000)
MAX_CLASSES = 255  # the id 255 says that nothing is painted
MAX_NAME = 80
MAX_ID = 40  # characters of a box's
MAX_FEATHER = 256
PAINTED = 255  # in a mask: to be filled
_LONGEST_RUN = 0xFFFF


@dataclass(frozen=True, slots=True)
class Outline:
    """A frame drawn around a part of the page, or around more than the page; an empty one is not seen.

    Pixels of the page.  `left` and `top` may be negative.
    """

    left: int = 0
    top: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class CanvasSetup:
    """What follows from the chosen model and the tab's other controls; None stays as it is.

    Args:
        palette: the model's classes.  What is painted in a class that it has too, by name, stays.
        cell: side of a latent's cell in pixels (4 or 8).
        max_boxes: how many boxes the model takes.
        outline: what will be made, where that is not the page.
    """

    palette: Palette | None = None
    cell: int | None = None
    max_boxes: int | None = None
    outline: Outline | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CanvasValue:
    """What is on a canvas.

    Given to a canvas, what is None stays as it is; at another size the canvas begins anew.
    Undo takes it back.

    Args:
        image: the picture underneath as it is shown, (height, width, 3) RGB.
        labels: (height, width).  For a mask 255 is to be filled and 0 is kept; for classes the class id, 255
            where nothing is painted.  None for boxes.
        classes: names of the ids in `labels`.
        boxes: None unless the canvas is one for boxes.
        box_ids: of each box, which it keeps when others go; given to a canvas without them, boxes are new.
        feather: width of the mask's soft edge in pixels; `labels` itself is sharp.
        outline: the frame that is shown; only a `CanvasSetup` changes it.
        setup: given to a canvas only: what the rest is painted with.
        source: the picture underneath, which may be larger than what is shown, and hold more.
    """

    width: int
    height: int
    image: NDArray[np.uint8] | None = None
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    boxes: tuple[LabelledBox, ...] | None = None
    box_ids: tuple[str, ...] = ()
    feather: int | None = None
    outline: Outline = Outline()
    setup: CanvasSetup | None = None
    source: Raster | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn; a picture alone is nothing drawn."""
        if self.labels is None:
            return not self.boxes
        nothing = NOTHING if self.classes else 0
        return bool((self.labels == nothing).all())


# From the browser ----------------------------------------------------------------------------------------


def parse_value(payload: object, uploads: Path) -> CanvasValue | None:
    """What a browser sent, checked; None where no canvas was there, or none that was looked at yet.

    Args:
        payload: anything at all.
        uploads: the folder in which the picture has to lie.

    Raises:
        RequestError: a field is missing or wrong.
        FileError: the picture has not arrived, is gone or cannot be read.
    """
    if payload is None:
        return None
    if not isinstance(payload, dict):
        raise RequestError("canvas", payload, "what the page's canvas sends")
    if payload.get("from") == "python":  # no browser took it up: its tab was never opened
        return None
    mode = payload.get("mode")
    if mode not in get_args(Mode):
        raise RequestError("canvas mode", mode, "one of mask, classes, boxes")
    width = _whole("canvas width", payload.get("width"), 1, MAX_SIDE)
    height = _whole("canvas height", payload.get("height"), 1, MAX_SIDE)
    classes = _classes(payload.get("classes", [])) if mode == "classes" else ()
    labels = None
    if mode != "boxes":
        labels = _labels(payload, width, height, len(classes) if mode == "classes" else None)
    source = _source(payload.get("picture"), uploads, width, height)
    boxes, ids = _boxes(payload.get("boxes")) if mode == "boxes" else (None, ())
    return CanvasValue(
        width=width,
        height=height,
        image=None if source is None else backdrop_of(source),
        source=source,
        labels=labels,
        classes=classes,
        boxes=boxes,
        box_ids=ids,
        feather=_whole("feather", payload.get("feather", 0), 0, MAX_FEATHER),
        outline=_outline(payload.get("outline")),
    )


def _whole(field: str, got: object, low: int, high: int) -> int:
    if not isinstance(got, int) or isinstance(got, bool) or not low <= got <= high:
        raise RequestError(field, got, f"a whole number from {low} to {high}")
    return got


def _outline(got: object) -> Outline:
    if got is None:
        return Outline()
    if not isinstance(got, dict):
        raise RequestError("outline", got, "an object with left, top, width and height")
    sides = (got.get(name) for name in ("left", "top", "width", "height"))
    return Outline(*(_whole("outline", side, -4 * MAX_SIDE, 4 * MAX_SIDE) for side in sides))


def _name(field: str, got: object) -> str:
    if not isinstance(got, str) or not 0 < len(got) <= MAX_NAME:
        raise RequestError(field, got, f"a name of up to {MAX_NAME} letters")
    return got


def _classes(got: object) -> tuple[str, ...]:
    if not isinstance(got, list) or not 0 < len(got) <= MAX_CLASSES:
        raise RequestError("classes", got, f"a list of 1 to {MAX_CLASSES} names")
    return tuple(_name("a class", name) for name in got)


def _labels(payload: Mapping[str, object], width: int, height: int, num_classes: int | None) -> Labels:
    """(height, width) ids; `num_classes` is None for a mask."""
    size = width * height
    text, packing = payload.get("labels"), payload.get("packing")
    # Neither packing is ever longer than the pixels themselves.
    if not isinstance(text, str) or len(text) > 4 * (size // 3 + 1):
        raise RequestError("labels", text, f"base64 text of at most {size} bytes")
    try:
        data = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        raise RequestError("labels", text, "base64 text") from None
    if packing not in ("runs", "raw") or (packing == "runs" and data.size % 3):
        raise RequestError("packing", packing, "raw, or runs of three bytes each")
    if packing == "runs":
        ids, low, high = data.reshape(-1, 3).T
        lengths = low.astype(np.int64) + (high.astype(np.int64) << 8)
    else:
        ids, lengths = data, None
    found = data.size if lengths is None else int(lengths.sum())
    if found != size:
        raise RequestError("labels", f"{found} pixels", f"{size} pixels")
    _check_ids(ids, num_classes)
    return (ids if lengths is None else np.repeat(ids, lengths)).reshape(height, width)


def _check_ids(ids: NDArray[np.uint8], num_classes: int | None) -> None:
    used = np.zeros(256, bool)
    used[ids] = True
    if num_classes is None:
        wrong = [value for value in np.flatnonzero(used).tolist() if value not in (0, PAINTED)]
        allowed = "0 or 255"
    else:
        wrong = [value for value in np.flatnonzero(used).tolist() if num_classes <= value != NOTHING]
        allowed = f"a class id from 0 to {num_classes - 1}, or 255 for nothing"
    if wrong:
        raise RequestError("a pixel of labels", wrong[0], allowed)


def _boxes(got: object) -> tuple[tuple[LabelledBox, ...], tuple[str, ...]]:
    """The boxes, and their ids."""
    entries, ids = got, []
    if isinstance(got, list):
        entries = [dict(entry) if isinstance(entry, dict) else entry for entry in got]
        for number, entry in enumerate(entries):
            own = entry.pop("id", None) if isinstance(entry, dict) else None
            ids.append(own[:MAX_ID] if isinstance(own, str) else str(number))
    boxes = BOXES.read(entries)
    if boxes is None:
        refuse("boxes", got, BOXES.allowed)
    return boxes, tuple(ids)


def _source(got: object, uploads: Path, width: int, height: int) -> Raster | None:
    """The uploaded picture, which the canvas shows in its size."""
    if got is None:
        return None
    if not isinstance(got, dict):
        raise RequestError("picture", got, "an uploaded picture")
    if got.get("state") == "sending":
        raise FileError("The picture is still on its way to the program; try again in a moment.")
    source = read_upload(uploaded_file(got, uploads))
    if reduced((source.width, source.height), MAX_SIDE) != (width, height):
        raise FileError(
            f"The picture has {source.width} x {source.height} pixels and the canvas {width} x {height}; "
            "open the picture on it again."
        )
    return source


# To the browser ------------------------------------------------------------------------------------------


def value_payload(value: CanvasValue, picture: Json | None, *, initial: bool = False) -> Json:
    """What a browser takes.

    Args:
        picture: where it can fetch `value.image`.
        initial: what is kept in the browser from before a reload goes first.

    Raises:
        RequestError: the size is not allowed, or `image` or `labels` have another one.
    """
    width = _whole("canvas width", value.width, 1, MAX_SIDE)
    height = _whole("canvas height", value.height, 1, MAX_SIDE)
    for name, array in (("image", value.image), ("labels", value.labels)):
        if array is not None and array.shape[:2] != (height, width):
            raise RequestError(f"shape of {name}", array.shape, f"({height}, {width}), the canvas's size")
    boxes = None
    if value.boxes is not None:
        ids = value.box_ids or new_box_ids(len(value.boxes))
        boxes = [{**box.to_json(), "id": own} for own, box in zip(ids, value.boxes, strict=True)]
    packing, labels = (None, None) if value.labels is None else pack(value.labels)
    return {
        "from": "python",
        "initial": initial,
        "width": width,
        "height": height,
        "packing": packing,
        "labels": labels,
        "boxes": boxes,
        "picture": picture,
        "feather": value.feather,
        **({} if value.setup is None else setup_payload(value.setup)),
    }


def new_box_ids(count: int) -> tuple[str, ...]:
    """Ids that no other boxes have."""
    common = secrets.token_hex(4)
    return tuple(f"{common}-{i}" for i in range(count))


def setup_payload(setup: CanvasSetup) -> Json:
    """What a browser takes."""
    changes = {
        "palette": None if setup.palette is None else palette_payload(setup.palette),
        "cells": setup.cell,
        "maxBoxes": setup.max_boxes,
        "outline": None if setup.outline is None else asdict(setup.outline),
    }
    return {"from": "python", "setup": {name: value for name, value in changes.items() if value is not None}}


def palette_payload(palette: Palette) -> list[Json]:
    """The palette as JSON."""
    return [{"name": swatch.name, "colour": swatch.colour, "stuff": list(swatch.stuff)} for swatch in palette]


def pack(labels: Labels) -> tuple[str, str]:
    """The packing, "runs" or "raw", and the label map so packed, as base64 text."""
    flat = np.ascontiguousarray(labels, np.uint8).ravel()
    starts = np.r_[0, np.flatnonzero(np.diff(flat)) + 1]
    lengths = np.diff(np.r_[starts, flat.size])
    pieces = -(-lengths // _LONGEST_RUN)
    sizes = np.full(int(pieces.sum()), _LONGEST_RUN)
    sizes[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST_RUN
    if 3 * sizes.size > flat.size:
        return "raw", base64.b64encode(flat.tobytes()).decode()
    runs = np.stack([np.repeat(flat[starts], pieces), sizes & 0xFF, sizes >> 8], axis=1).astype(np.uint8)
    return "runs", base64.b64encode(runs.tobytes()).decode()
