"""Large pictures that others were made of, kept once each under their hash: no file can carry them.

What no picture of any outputs folder names any more goes after a while (`sweep`).
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from app.keeping.places import data_folder
from ldm_core.errors import AtelierError, FileError
from ldm_core.request.raster import Kind, Raster, file_of, read_raster

UNUSED_DAYS = 30  # that one is kept which no picture names, after it was last used
UNUSED_BYTES = 8_000_000_000  # of all of these
HOUR = 3600.0  # in which a picture may still be on its way to its file
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT = b"latent-atelier\0"
_READ = 1 << 20  # bytes of a text; the names stand at its beginning
_HASH = re.compile("[0-9a-f]{64}")
_NAME = re.compile(rb"sha256:([0-9a-f]{64})")

log = logging.getLogger(__name__)


class NotKept(Exception):
    """A picture that is not there, or is another one by now."""


def keep(raster: Raster) -> None:
    """Writes its file, whole or not at all, unless it is there.

    Raises:
        FileError: the disk is full, or the folder cannot be written.
    """
    final = _folder() / raster.sha256
    if final.is_file():
        _used(final)
        return
    part = final.with_name(f".{secrets.token_hex(8)}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(file_of(raster))
            os.replace(part, final)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(
            f"The picture that this one was made of could not be kept ({error.strerror or error}). Make room "
            "for it, or allow writing in the program's data folder."
        ) from None


def find(sha256: str, kind: Kind) -> Raster:
    """The picture of that hash.

    Raises:
        NotKept: see there.
    """
    if not _HASH.fullmatch(sha256):
        raise NotKept
    try:
        raster = read_raster((_folder() / sha256).read_bytes(), kind)
    except (OSError, AtelierError):
        raise NotKept from None
    if raster.sha256 != sha256:
        raise NotKept
    _used(_folder() / sha256)
    return raster


def sweep(pictures: Path) -> int:
    """Removes those that no picture below that folder, or one of earlier calls, names: what was not used for
    long, and the oldest where they are too many.  Returns how many."""
    try:
        states = {path: path.stat() for path in _folder().iterdir() if _HASH.fullmatch(path.name)}
    except OSError:
        return 0
    if not states:
        return 0
    files = [list(folder.rglob("*.png")) for folder in _known(pictures)]
    if not files or not all(files):  # a disk that is not there, perhaps
        return 0
    named = {name for paths in files for path in paths for name in _named_in(path)}
    unnamed = [path for path in states if path.name not in named]
    now, kept, removed = time.time(), 0, 0
    for path in sorted(unnamed, key=lambda path: -states[path].st_mtime):
        age, size = now - states[path].st_mtime, states[path].st_size
        if age > UNUSED_DAYS * 24 * HOUR or (age > HOUR and kept + size > UNUSED_BYTES):
            with suppress(OSError):
                path.unlink()
                removed += 1
        else:
            kept += size
    if removed:
        log.info("%d large originals that no picture names were removed", removed)
    return removed


def _known(pictures: Path) -> list[Path]:
    """All outputs folders that the sweep was told of; this one is noted."""
    note = _folder() / ".folders"
    try:
        known = note.read_text("utf-8").splitlines() if note.exists() else []
        here = str(pictures.resolve())
        if here not in known:
            known.append(here)
            note.write_text("\n".join(known), "utf-8")
    except (OSError, ValueError):
        return []
    return [Path(folder) for folder in known]


def _named_in(path: Path) -> Iterator[str]:
    """The hashes of what a picture was made of, from the beginning of our text in its file."""
    try:
        with path.open("rb") as file:
            for text in _our_texts(file):
                yield from (match.decode() for match in _NAME.findall(text))
    except OSError:
        return


def _our_texts(file: IO[bytes]) -> Iterator[bytes]:
    if file.read(8) != _PNG:
        return
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        length = int.from_bytes(head[:4], "big")
        text = file.read(min(length, _READ)) if head[4:] in (b"tEXt", b"iTXt") else b""
        if text.startswith(_TEXT):
            yield text
        file.seek(length + 4 - len(text), os.SEEK_CUR)


def _used(path: Path) -> None:
    with suppress(OSError):
        os.utime(path)


def _folder() -> Path:
    return data_folder() / "originals"
