"""Shows a file in the system's own file manager: for the owner of this computer alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ldm_core.errors import FileError


def reveal(path: Path) -> None:
    """Opens the file manager at a file, where that can be, else at its folder.

    Raises:
        FileError: there is no file, or no file manager.
    """
    if not path.is_file():
        raise FileError(f"{path.name} is not there any more.")
    try:
        for command in commands(path):
            if shutil.which(command[0]):
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                return
    except OSError as error:
        raise FileError(f"The folder cannot be shown: {error.strerror or error}.") from None
    raise FileError(f"No file manager was found; the folder is {path.parent}.")


def commands(path: Path) -> list[list[str]]:
    """Ways to show a file here, the best first."""
    if os.name == "nt":
        return [["explorer", f"/select,{path}"]]
    if sys.platform == "darwin":
        return [["open", "-R", str(path)]]
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return []
    return [["xdg-open", str(path.parent)]]
