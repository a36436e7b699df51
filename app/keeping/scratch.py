"""The folder for uploads and copies of one run of the program: gone at its end, or at the next start."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.keeping.locks import locked

PREFIX = "latent-atelier-"
LOCK = "in-use.lock"


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder of this run's own; those that runs which died left behind are removed."""
    parent = parent or Path(tempfile.gettempdir())
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    held = locked(folder / LOCK)
    try:
        yield folder
    finally:
        if held is not None:
            held.close()
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> int:
    """Removes the folders of runs that died; returns how many there were."""
    removed = 0
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or not (folder / LOCK).is_file():
                continue
            held = locked(folder / LOCK)
        except OSError:  # another person's
            continue
        if held is None:
            continue
        held.close()
        shutil.rmtree(folder, ignore_errors=True)
        removed += 1
    return removed
