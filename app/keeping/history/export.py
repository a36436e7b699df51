"""Many pictures as one zip, made while it is sent."""

from __future__ import annotations

import io
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from PIL import Image

from app.keeping import metadata
from app.keeping.downloads import Carries, download
from app.keeping.history.facts import Entry, original_path, read_regular
from app.keeping.history.history import History
from app.keeping.outgoing import Outgoing
from ldm_core.errors import AtelierError
from ldm_core.pictures.reading import file_pixels, read_picture
from ldm_core.pictures.writing import SUFFIXES, Content, Format

PROBLEMS = "not exported.txt"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can say


def zipped(
    history: History,
    entries: Sequence[Entry],
    model_hash: Callable[[str], str | None],
    format: Format = "PNG",
    carries: Carries = "everything",
    quality: int = 90,
) -> Iterator[bytes]:
    """The bytes of a zip, in parts; what cannot be read is named in a text inside.

    Args:
        format, carries, quality: as of `download`; with everything a file goes as it lies there, whatever
            its format.
    """
    stream = _Stream()
    problems: list[str] = []
    names: set[str] = set()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for entry in entries:
            try:
                data = _file(history, entry, model_hash, format, carries, quality)
            except AtelierError as error:
                problems.append(f"{entry.name!r}: {error}")
                continue
            name = _name(entry, SUFFIXES[format] if carries != "everything" or format != "PNG" else "", names)
            archive.writestr(_info(name, entry), data)
            yield stream.taken()
        if problems:
            archive.writestr(PROBLEMS, "\n".join(problems) + "\n")
    yield stream.taken()


def exported(
    file: bytes,
    model_hash: Callable[[str], str | None],
    format: Format,
    carries: Carries,
    quality: int = 90,
) -> bytes:
    """A picture's file as it is given away, whoever made it.

    Raises:
        AtelierError: it cannot be read.
    """
    if carries == "everything" and format == "PNG":
        return file
    try:
        request = metadata.read_settings(file).request
    except AtelierError:  # a picture without settings: its pixels alone
        picture = read_picture(file)
        bare = Outgoing(Content(file_pixels(picture), picture.profile), Image.Exif(), b"")
        return metadata.written(bare, "", "", format, quality=quality)
    return download(file, request, model_hash(request.model), format, carries=carries, quality=quality)


def _file(
    history: History,
    entry: Entry,
    model_hash: Callable[[str], str | None],
    format: Format,
    carries: Carries,
    quality: int,
) -> bytes:
    return exported(read_regular(history.file(entry))[0], model_hash, format, carries, quality)


def _name(entry: Entry, suffix: str, names: set[str]) -> str:
    """A name for every system, with its folders, that is not in the zip yet; `suffix` "" keeps the file's."""
    path = PurePosixPath(original_path(entry.path))
    plain = PurePosixPath(*(_plain(part) for part in path.parts))
    suffix = suffix or plain.suffix
    name, number = str(plain.with_suffix(suffix)), 1
    while name.casefold() in names:
        number += 1
        name = str(plain.with_name(f"{plain.stem}-{number}{suffix}"))
    names.add(name.casefold())
    return name


def _plain(part: str) -> str:
    kept = "".join("_" if c in '<>:"\\|?*' or unicodedata.category(c)[0] == "C" else c for c in part)
    return kept.strip(". ") or "_"


def _info(name: str, entry: Entry) -> zipfile.ZipInfo:
    local = time.localtime(max(0.0, entry.created))[:6]
    info = zipfile.ZipInfo(name, max(local, _EARLIEST))
    info.external_attr = 0o644 << 16
    return info


class _Stream(io.RawIOBase):
    """What a zip is written to, and taken from piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        """What was written since this was asked last."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
