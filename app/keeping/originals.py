"""Large pictures that others were made of, kept once each under their hash: no file can carry them."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from app.keeping.places import data_folder
from ldm_core.errors import AtelierError, FileError
from ldm_core.request.raster import Kind, Raster, file_of, read_raster


class NotKept(Exception):
    """A picture that is not there, or is another one by now."""


def keep(raster: Raster) -> None:
    """Writes its file, whole or not at all, unless it is there.

    Raises:
        FileError: the disk is full, or the folder cannot be written.
    """
    final = _folder() / raster.sha256
    if final.is_file():
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
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise NotKept
    try:
        raster = read_raster((_folder() / sha256).read_bytes(), kind)
    except (OSError, AtelierError):
        raise NotKept from None
    if raster.sha256 != sha256:
        raise NotKept
    return raster


def _folder() -> Path:
    return data_folder() / "originals"
