"""A finished picture as a file to give away: in another format, with more or less of what it carries."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal

from PIL import Image

from app.keeping import metadata
from app.keeping.outgoing import Outgoing, photograph, source_of
from ldm_core.pictures.reading import file_pixels, read_picture
from ldm_core.pictures.rights import kept_exif, xmp_of
from ldm_core.pictures.writing import Content, Format
from ldm_core.request import Request
from ldm_core.request.raster import Raster

Carries = Literal["everything", "settings", "nothing"]


def is_made_of_pictures(request: Request) -> bool:
    """Whether a picture's own file carries others, such as a photograph that was filled."""
    return any(isinstance(getattr(request, field.name), Raster) for field in fields(request))


def download(
    png: bytes,
    request: Request,
    model_sha256: str | None,
    format: Format = "PNG",
    *,
    carries: Carries = "everything",
    quality: int = 90,
    place: bool = False,
) -> bytes:
    """The file of a picture.

    Args:
        png: as it lies on the disk.
        carries: everything: the settings, the pictures that it was made of and what a photograph says of
            itself; the settings alone; or nothing but the colours' profile.  A model made it, in any case.
        quality: 1 to 100, of all but PNG.
        place: whether what a photograph says of itself includes where it was taken.
    """
    if format == "PNG" and carries == "everything" and not place:
        return png
    original = photograph(request) if carries == "everything" else None
    exif = Image.Exif() if original is None else kept_exif(original, place=place)
    picture = read_picture(png)
    content = Content(file_pixels(picture), picture.profile)
    made = Outgoing(content, exif, xmp_of(source_of(request), original, place=place))
    ours = carries == "everything" or (carries == "settings" and not is_made_of_pictures(request))
    return metadata.written(
        made,
        metadata.to_ours(request, model_sha256) if ours else "",
        metadata.to_parameters(request, model_sha256) if carries != "nothing" else "",
        format,
        quality=quality,
    )
