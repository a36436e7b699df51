"""Files that browsers uploaded: no other path that they name is ever opened."""

from __future__ import annotations

from pathlib import Path

from gradio.utils import get_upload_folder

from ldm_core.errors import FileError

MAX_PATH = 4096  # characters


def uploads() -> Path:
    """The folder in which all uploads lie."""
    return Path(get_upload_folder()).resolve()


def is_upload(path: str) -> bool:
    """Whether a path lies among the uploads."""
    return len(path) <= MAX_PATH and "\0" not in path and Path(path).resolve().is_relative_to(uploads())


def uploaded_file(payload: object, folder: Path | None = None) -> Path:
    """The file that the browser uploaded.

    Args:
        payload: what gradio calls a file, or anything else.
        folder: where it has to lie; `uploads()` if left out.

    Raises:
        FileError: it has not arrived, is gone, or lies elsewhere.
    """
    path = payload.get("path") if isinstance(payload, dict) else None
    if not isinstance(path, str) or "\0" in path or len(path) > MAX_PATH:
        raise FileError("The picture did not reach the program; open it again.")
    file = Path(path).resolve()
    if not file.is_relative_to(uploads() if folder is None else folder.resolve()) or not file.is_file():
        raise FileError("The picture is no longer at hand; open it again.")
    return file
