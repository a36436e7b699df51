"""A file that only one program at a time can hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


def locked(path: Path) -> IO[bytes] | None:
    """The open file, which only one program at a time can hold; None where another does."""
    held = open(path, "ab")  # noqa: SIM115  held as long as the program runs
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(held.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        held.close()
        return None
    except OSError:  # a file system without locks
        return held
    return held
