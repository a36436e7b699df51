"""What goes into a finished picture's file beside its settings, of a photograph that it is made of."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ldm_core.pictures.reading import Picture, read_picture
from ldm_core.pictures.rights import ENHANCED, MADE, MADE_IN_PART, bare_file, kept_exif, xmp_of
from ldm_core.pictures.writing import Content, enlarged, restored
from ldm_core.request import ImageToImage, Inpaint, Outpaint, Remove, Request, SuperResolution
from ldm_core.request.raster import Raster

R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """A picture, and what its file says of it."""

    content: Content
    exif: Image.Exif
    xmp: bytes


def outgoing(
    pixels: NDArray[np.uint8], request: Request, *, facts: bool = True, place: bool = False
) -> Outgoing:
    """A finished picture as it goes into a file: what a photograph kept is as it was there.

    Args:
        pixels: as the engine gives them.
        facts: whether it keeps what a photograph that was filled, extended or enlarged says of itself.
        place: whether that includes where it was taken.
    """
    original = photograph(request)
    content = Content(pixels)
    if original is not None and isinstance(request, Inpaint | Remove):
        content = restored(pixels, original)
    if original is not None and isinstance(request, Outpaint):
        content = restored(pixels, original, request.left, request.top)
    if original is not None and isinstance(request, SuperResolution):
        content = enlarged(pixels, original)
    carried = original if facts else None
    exif = Image.Exif() if carried is None else kept_exif(carried, place=place)
    return Outgoing(content, exif, xmp_of(source_of(request), carried, place=place))


def source_of(request: Request) -> str:
    """Whether a model made all of the picture, or a part, or none: as IPTC's vocabulary says it."""
    if isinstance(request, Remove):
        return ENHANCED
    return MADE_IN_PART if isinstance(request, ImageToImage | _KEEPING) else MADE


_KEEPING = Inpaint | Outpaint | Remove | SuperResolution


def photograph(request: Request) -> Picture | None:
    """The picture that was filled, extended or enlarged, where its file holds more than pixels."""
    if not isinstance(request, _KEEPING) or request.image.file is None:
        return None
    return _read(request.image)


@functools.lru_cache(maxsize=1)
def _read(image: Raster) -> Picture | None:
    """Kept for the other pictures of a batch."""
    return None if image.file is None else read_picture(image.file)


def without_facts(request: R) -> R:
    """The request with pictures whose files say nothing but their pixels."""
    bare: dict[str, object] = {}
    for field in fields(request):
        raster = getattr(request, field.name)
        if isinstance(raster, Raster) and raster.file is not None:
            bare[field.name] = replace(raster, file=bare_file(read_picture(raster.file)))
    if request.branch is not None:
        bare["branch"] = replace(request.branch, of=without_facts(request.branch.of))
    return replace(request, **cast("Mapping[str, Any]", bare)) if bare else request
