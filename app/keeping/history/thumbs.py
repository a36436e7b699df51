"""Small copies of pictures, each under the hash of the picture's file: a copy never becomes stale."""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from pathlib import Path

from PIL import Image

from app.keeping.history.facts import read_regular
from ldm_core.errors import FileError
from ldm_core.pictures.reading import read_picture
from ldm_core.request.raster import Pixels

SIDE = 256  # pixels of the longer side
QUALITY = 80


class Thumbs:
    """WebP files in a folder, which can be emptied at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        return self.folder / digest[:2] / f"{digest}.webp"

    def make(self, digest: str, pixels: Pixels) -> bytes:
        """Writes and returns the small copy of a picture's pixels, which may be transparent."""
        data = small_copy(pixels)
        with suppress(OSError):  # it is made again when somebody looks
            path = self.path(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
            part.write_bytes(data)
            os.replace(part, path)
        return data

    def of(self, digest: str, file: Path) -> bytes:
        """The small copy, which is made where there is none.

        Raises:
            FileError: the picture cannot be read.
        """
        try:
            return self.path(digest).read_bytes()
        except OSError:
            pass
        try:
            return self.make(digest, read_picture(read_regular(file)[0]).rgba)
        except (OSError, ValueError) as error:
            raise FileError("No small copy of this picture could be made.") from error

    def forget(self, digest: str) -> None:
        """Removes a small copy."""
        with suppress(OSError):
            self.path(digest).unlink(missing_ok=True)


def small_copy(pixels: Pixels) -> bytes:
    """A WebP of a picture of any size."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=QUALITY, method=2)
    return file.getvalue()
