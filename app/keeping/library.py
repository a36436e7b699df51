"""Keeps finished pictures as files, each whole or not there at all.

A picture becomes `FOLDER/2026-11-21/00042-SEED-words-of-the-prompt.png`.  It is first written as
`.00042.part`, which only one process can create and which thereby reserves the number; then flushed to the
disk, then renamed.  A crash leaves at most such a `.part` file; `sweep` removes those whose writer is gone.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Callable
from datetime import date
from pathlib import Path

from ldm_core.errors import FileError
from ldm_core.request import Request

ROOM_BYTES = 50_000_000  # that have to be free before a picture is made
SLUG_BYTES = 80  # of the prompt in a file name; the whole name stays far below 200
OWNER = "owner"  # of this computer: the person whose pictures lie in the folder itself
GUESTS = "guests"  # the folder in which every other person has one
_PART = re.compile(r"\.\d{5,}\.part")


def slug(prompt: str) -> str:
    """Words of a prompt that are safe in a file name on every system: letters, digits and single dashes."""
    text = unicodedata.normalize("NFC", prompt[:400]).lower()
    # Letters, marks and digits of any script; everything else, direction overrides included, becomes a dash.
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "-" for c in text)
    short = re.sub("-+", "-", kept).encode("utf-8", "ignore")[:SLUG_BYTES].decode("utf-8", "ignore")
    return short.strip("-")


class Library:
    """A folder of pictures.

    Args:
        folder: made when the first picture is saved.
        dated: whether each day gets a folder of its own inside.
    """

    def __init__(self, folder: Path, *, dated: bool = True) -> None:
        self.folder = folder
        self.on_saved: Callable[[Path, bytes, Request], None] | None = None  # hears of every new picture
        self._dated = dated

    def save(self, png: bytes, request: Request, person: str = OWNER) -> Path:
        """Writes a picture under a new name; an existing file is never touched.

        Args:
            png: the file's content.
            request: gives the seed and the words in its name.
            person: whose it is; every guest has a folder, so that the files alone tell.

        Raises:
            FileError: the disk is full, or the folder cannot be written or is gone.
        """
        try:
            whose = self.folder if person == OWNER else self.folder / GUESTS / person
            folder = whose / date.today().isoformat() if self._dated else whose
            folder.mkdir(parents=True, exist_ok=True)
            number, part, held = _reserve(folder)
            words = slug(request.prompt)
            final = folder / f"{number:05d}-{request.seed}{'-' if words else ''}{words}.png"
            try:
                try:
                    _fill(held, png)
                    if os.name != "nt":
                        os.rename(part, final)  # while the lock is held
                finally:
                    os.close(held)
                if os.name == "nt":
                    os.rename(part, final)
            finally:
                part.unlink(missing_ok=True)  # there only where writing failed
            _sync_folder(folder)
        except OSError as error:
            raise FileError(
                f"The picture could not be saved ({error.strerror or error}). "
                "Make room for it, or allow writing in the outputs folder."
            ) from None
        if self.on_saved is not None:
            self.on_saved(final, png, request)
        return final

    def require_room(self) -> None:
        """That pictures can be saved, before one is made.

        Raises:
            FileError: the folder cannot be written, or its disk is full.
        """
        try:
            # The folder, or the one in which it would be made.
            there = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
            with tempfile.TemporaryFile(dir=there):
                free = shutil.disk_usage(there).free
        except OSError as error:
            raise FileError(
                f"Pictures cannot be saved in the outputs folder ({error.strerror or error}). "
                "Allow writing there, or choose another folder with --outputs."
            ) from None
        if free < ROOM_BYTES:
            raise FileError(
                f"The disk of the outputs folder is full ({free / 1e6:.0f} MB left). "
                "Make room, or choose another folder with --outputs."
            )

    def sweep(self) -> int:
        """Removes what interrupted writers left; returns how many files that were."""
        removed = 0
        try:
            inside = ("*", f"{GUESTS}/*", f"{GUESTS}/*/*")
            folders = [
                self.folder,
                *(folder for pattern in inside for folder in self.folder.glob(pattern) if folder.is_dir()),
            ]
        except OSError:
            return 0
        for folder in folders:
            for part in folder.glob(".*.part"):
                if _PART.fullmatch(part.name) and not part.is_symlink():
                    removed += _remove_if_abandoned(part)
        return removed


def _reserve(folder: Path) -> tuple[int, Path, int]:
    """A number that no picture in the folder has, with the locked and open `.part` file that holds it."""
    number = max((_number(name) for name in os.listdir(folder)), default=0)
    while True:
        number += 1
        part = folder / f".{number:05d}.part"
        try:
            held = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666)
        except FileExistsError:  # another writer holds it, or one that died left it
            continue
        # The number is ours only if no sweep removed the file before it was locked, and no other writer
        # finished with this number since the folder was listed.
        alive = _lock(held) and os.fstat(held).st_nlink > 0
        if alive and not any(_number(name) == number for name in os.listdir(folder)):
            return number, part, held
        os.close(held)
        part.unlink(missing_ok=True)


def _fill(held: int, content: bytes) -> None:
    """Writes everything and waits until the disk has it."""
    view = memoryview(content)
    while view:
        view = view[os.write(held, view) :]
    os.fsync(held)


def _number(name: str) -> int:
    """The number that a picture's file name begins with; 0 where it is another file."""
    match = re.match(r"(\d{5,9})-", name)
    return int(match[1]) if match else 0


def _lock(held: int) -> bool:
    """Takes the file's lock without waiting.  Windows needs none: there an open file cannot be removed."""
    if os.name == "nt":
        return True
    import fcntl

    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (
            errno.EWOULDBLOCK,
            errno.EACCES,
        )  # a file system without locks: no sweep race
    return True


def _remove_if_abandoned(part: Path) -> bool:
    """Removes a `.part` file unless a living process holds it."""
    try:
        held = os.open(part, os.O_RDWR)
        try:
            if not _lock(held):
                return False
            if os.name != "nt":
                part.unlink()
        finally:
            os.close(held)
        if os.name == "nt":
            part.unlink()
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Makes the new name itself durable; Windows offers no such call."""
    if os.name == "nt":
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
