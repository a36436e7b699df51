"""Finds what changed in the outputs folder without the program: files moved, deleted, changed, added.

Links are not followed and hidden folders are left alone, the trash apart.  A folder's own time changes when
something in it is made, moved or removed, so a quick look reads only the folders that changed.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.keeping.database import Database
from app.keeping.history.facts import SUFFIXES, TRASH, Facts, facts_of_file, person_of
from app.keeping.history.rows import changed, moved, put
from ldm_core.errors import AtelierError

SETTLED = 2.0  # seconds; something may be added within one tick of a file system's clock
MAX_DEPTH = 16
BATCH = 50  # files of one transaction

log = logging.getLogger(__name__)

Known = dict[str, tuple[int, int, int]]  # id, size and time of a file, by its path


@dataclass(slots=True)
class Changes:
    """What a look at the folder found, in files."""

    added: int = 0
    changed: int = 0
    moved: int = 0
    gone: int = 0
    refused: int = 0  # that are no pictures, or cannot be read

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.moved or self.gone)


@dataclass(slots=True)
class Listing:
    """Files of the folders that were read, with size and time; and the time of each folder."""

    files: dict[str, tuple[int, int]]
    folders: dict[str, int]  # 0 of one whose time may still change
    read: set[str]


def scan(
    folder: Path,
    database: Database,
    *,
    thorough: bool = False,
    afresh: bool = False,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Changes:
    """Brings the rows into agreement with the files.

    Args:
        thorough: looks at every file's size and time, not only into folders that changed.
        afresh: reads every file again.
        tell: is told how many of how many files were read.

    Raises:
        FileError: the database cannot be used.
    """
    with database.reading() as rows:
        known: Known = {
            row["path"]: (row["id"], row["size"], row["mtime_ns"])
            for row in rows.execute("SELECT path, id, size, mtime_ns FROM pictures WHERE gone IS NULL")
        }
        before = dict(rows.execute("SELECT path, mtime_ns FROM folders").fetchall())
    listing = _list(folder, {} if thorough or afresh else before)
    missed = {
        path: row[0]
        for path, row in known.items()
        if _folder_of(path) not in listing.folders
        or (_folder_of(path) in listing.read and path not in listing.files)
    }
    fresh = sorted(
        p for p, found in listing.files.items() if afresh or p not in known or known[p][1:] != found
    )
    changes = Changes()
    for number, some in enumerate(_batches(fresh)):
        tell(number * BATCH, len(fresh))
        read = [facts for path in some if (facts := _facts(folder, path)) is not None]
        changes.refused += len(some) - len(read)
        with database.writing() as rows:
            for facts in read:
                _take(rows, folder, facts, known, missed, changes)
            changed(rows)
    _miss(folder, database, missed, changes)
    if listing.folders != before:
        with database.writing() as rows:
            rows.execute("DELETE FROM folders")
            rows.executemany("INSERT INTO folders VALUES (?, ?)", list(listing.folders.items()))
    return changes


def _take(
    rows: sqlite3.Connection,
    folder: Path,
    facts: Facts,
    known: Known,
    missed: dict[str, int],
    changes: Changes,
) -> None:
    """A file that is not known as it is: another path of a picture that is missed, or new."""
    if facts.path not in known and (id := _same(rows, folder, facts, missed)) is not None:
        moved(rows, id, facts.path)
        rows.execute("UPDATE pictures SET mtime_ns = ? WHERE id = ?", [facts.mtime_ns, id])
        changes.moved += 1
        return
    if facts.path in known:
        changes.changed += 1
    else:
        changes.added += 1
    put(rows, facts)


def _same(rows: sqlite3.Connection, folder: Path, facts: Facts, missed: dict[str, int]) -> int | None:
    """The id of the same picture, where its file is missed; of the same person's only."""
    for row in rows.execute(
        "SELECT id, path, gone FROM pictures WHERE digest = ? AND person = ? ORDER BY gone IS NOT NULL, id",
        [facts.digest, person_of(facts.path)],
    ).fetchall():
        if row["gone"] is None and row["path"] not in missed:
            continue
        if row["path"] != facts.path and os.path.lexists(folder / row["path"]):
            continue
        missed.pop(row["path"], None)
        return int(row["id"])
    return None


def _miss(folder: Path, database: Database, missed: dict[str, int], changes: Changes) -> None:
    """Rows of files that are nowhere are kept, out of sight: a drive may come back."""
    if not missed:
        return
    with database.writing() as rows:
        for path, id in missed.items():
            if os.path.lexists(folder / path):  # it was put there just now
                continue
            done = rows.execute(
                "UPDATE pictures SET gone = ? WHERE id = ? AND path = ?", [time.time(), id, path]
            )
            changes.gone += done.rowcount
        changed(rows)


def _facts(folder: Path, path: str) -> Facts | None:
    try:
        return facts_of_file(folder, path)
    except AtelierError:
        return None
    except Exception:  # a fault of ours must not hide the other pictures
        log.exception("a file could not be looked at")
        return None


def _batches(paths: Sequence[str]) -> list[list[str]]:
    return [list(paths[i : i + BATCH]) for i in range(0, len(paths), BATCH)]


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


# Listing --------------------------------------------------------------------------------------------------


def _list(folder: Path, before: dict[str, int]) -> Listing:
    """Reads the folders whose time is not the one from before."""
    listing = Listing({}, {}, set())
    inside: dict[str, list[str]] = {}
    for path in before:
        if path:
            inside.setdefault(_folder_of(path), []).append(path)
    _visit(folder, "", before, inside, listing, 0)
    _visit(folder, TRASH, before, inside, listing, 0)
    return listing


def _visit(
    root: Path, path: str, before: dict[str, int], inside: dict[str, list[str]], listing: Listing, depth: int
) -> None:
    try:
        mtime_ns = os.stat(root / path, follow_symlinks=path == "").st_mtime_ns
        if before.get(path) == mtime_ns:
            listing.folders[path] = mtime_ns
            folders = inside.get(path, [])
        else:
            folders = _read(root, path, listing)
            settled = time.time() - mtime_ns / 1e9 > SETTLED
            listing.folders[path] = mtime_ns if settled else 0
            listing.read.add(path)
    except OSError:  # gone, or without the right to look
        return
    if depth < MAX_DEPTH:
        for folder in folders:
            _visit(root, folder, before, inside, listing, depth + 1)


def _read(root: Path, path: str, listing: Listing) -> list[str]:
    """Notes the files of a folder; returns the folders in it."""
    folders = []
    with os.scandir(root / path) as entries:
        for entry in entries:
            name = f"{path}/{entry.name}" if path else entry.name
            if entry.name.startswith(".") or not _is_text(entry.name):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    listing.files[name] = (found.st_size, found.st_mtime_ns)
            except OSError:
                continue
    return folders


def _is_text(name: str) -> bool:
    """Whether a name can be written down: a file system may hold any bytes."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
