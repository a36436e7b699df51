"""What the history knows of a picture: from the request that made it, or from its file alone."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.keeping import metadata
from app.keeping.library import GUESTS, OWNER
from ldm_core.errors import AtelierError, FileError
from ldm_core.pictures.reading import identified
from ldm_core.request import ClassToImage, Request

OWN = ".atelier"  # the folder of the program's own files
TRASH = f"{OWN}/trash"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """What a picture's settings say, as far as somebody would look for it."""

    task: str = ""
    model: str = ""
    prompt: str = ""  # or the name of its class
    negative: str = ""
    adapters: tuple[str, ...] = ()
    seed: str = ""  # too large for SQLite's integers
    sampler: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A picture's file and what it says.

    Attributes:
        path: relative to the outputs folder, with slashes.
        size: in bytes.
        digest: SHA-256 of the file.
        created: seconds since 1970.
    """

    path: str
    size: int
    mtime_ns: int
    digest: str
    width: int
    height: int
    said: Said

    @property
    def created(self) -> float:
        return self.mtime_ns / 1e9


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture in the history; fields as of `Facts` and `Said`."""

    id: int
    path: str
    size: int
    digest: str
    person: str
    created: float
    width: int
    height: int
    task: str
    model: str
    prompt: str
    seed: str
    starred: bool
    trashed: float | None  # when

    @property
    def name(self) -> str:
        """Of the file."""
        return PurePosixPath(self.path).name

    @property
    def url(self) -> str:
        """Where the page finds the file; another file has another one."""
        return f"history/file/{self.id}/{self.digest[:16]}"


def said_of(request: Request) -> Said:
    """What a request says."""
    words = ", ".join(filter(None, (request.prompt, *(one.prompt for one in request.regions or ()))))
    if isinstance(request, ClassToImage):
        words = " → ".join(filter(None, (request.class_name, request.class_to))) or words
    return Said(
        request.task,
        request.model,
        words,
        request.negative_prompt,
        tuple(use.name for use in request.adapters or ()),
        str(request.seed),
        request.sampler,
    )


def facts_of_saved(folder: Path, path: Path, png: bytes, size: tuple[int, int], request: Request) -> Facts:
    """Of a picture that was saved just now: nothing is read but its file's time.

    Raises:
        OSError: the file is gone.
    """
    found = path.stat()
    digest = hashlib.sha256(png).hexdigest()
    relative = path.relative_to(folder).as_posix()
    return Facts(relative, found.st_size, found.st_mtime_ns, digest, *size, said_of(request))


def facts_of_file(folder: Path, relative: str) -> Facts:
    """Of any file.

    Raises:
        FileError: it is no picture, too large, gone, or a link.
    """
    data, found = read_regular(folder / relative)
    with identified(data, "The picture") as picture:
        width, height = picture.size
    digest = hashlib.sha256(data).hexdigest()
    return Facts(relative, found.st_size, found.st_mtime_ns, digest, width, height, _said_in(data))


def read_regular(path: Path) -> tuple[bytes, os.stat_result]:
    """Content of a file that is no link, pipe or device, and is not too large.

    Raises:
        FileError: it is one, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        held = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for its writer
        with os.fdopen(held, "rb") as file:
            found = os.fstat(held)
            if not stat.S_ISREG(found.st_mode):
                raise FileError("This is no file.")
            if found.st_size > metadata.MAX_FILE:
                raise FileError(f"The file is larger than {metadata.MAX_FILE // 2**20} MB.")
            return file.read(), found
    except OSError as error:
        raise FileError(f"The file cannot be read: {error.strerror or error}.") from None


def _said_in(data: bytes) -> Said:
    try:
        settings = metadata.read_settings(data)
    except AtelierError:  # none, or such as this program does not take: the picture is one all the same
        return Said()
    except Exception:  # a fault of ours must not hide the other pictures
        log.exception("the settings of a picture could not be read")
        return Said()
    said = said_of(settings.request)
    unknown = Said()  # what the picture does not tell itself is no fact of it
    fields_set = settings.fields_set
    return Said(
        said.task,
        said.model if "model" in fields_set else unknown.model,
        said.prompt,
        said.negative,
        said.adapters or tuple(lora.name for lora in settings.loras),
        said.seed if "seed" in fields_set else unknown.seed,
        said.sampler if "sampler" in fields_set else unknown.sampler,
    )


def person_of(path: str) -> str:
    """Whose picture lies there: guests have folders of their own."""
    parts = original_path(path).split("/")
    return parts[1] if len(parts) > 2 and parts[0] == GUESTS else OWNER


def original_path(path: str) -> str:
    """Where a file in the trash came from; of another its path."""
    return path.removeprefix(f"{TRASH}/")


def is_trashed(path: str) -> bool:
    return path.startswith(f"{TRASH}/")


def folded(text: str) -> str:
    """A text as it is compared: without case, and with one form for each character."""
    return unicodedata.normalize("NFKC", text).casefold()
