"""Deleted pictures lie in a folder of their own until the trash is emptied.

A file keeps its path there, below `.atelier/trash`; so the files alone tell what was deleted, and from where.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from app.keeping.database import Database
from app.keeping.history.facts import TRASH, original_path
from app.keeping.history.rows import changed, chunks, marks, moved
from app.keeping.history.thumbs import Thumbs
from ldm_core.errors import FileError


class Trash:
    """The trash of all people; nobody reaches another's.

    Args:
        folder: of all pictures.
    """

    def __init__(self, folder: Path, database: Database, thumbs: Thumbs) -> None:
        self._folder = folder
        self._database = database
        self._thumbs = thumbs

    def put(self, person: str, ids: Sequence[int]) -> list[int]:
        """Moves pictures into the trash; returns which.  Where one cannot be moved the others are.

        Raises:
            FileError: none could be.
        """
        return self._move(person, ids, trashed=False, into=lambda path: f"{TRASH}/{path}")

    def restore(self, person: str, ids: Sequence[int]) -> list[int]:
        """Moves pictures out of the trash, to where they were; as `put`."""
        return self._move(person, ids, trashed=True, into=original_path)

    def _move(
        self, person: str, ids: Sequence[int], *, trashed: bool, into: Callable[[str], str]
    ) -> list[int]:
        done: list[int] = []
        problem = ""
        for some in self._found(person, ids, trashed=trashed):
            lying: list[tuple[int, str]] = []
            for id, path, _ in some:
                try:
                    lying.append((id, _move(self._folder, path, into(path))))
                except OSError as error:
                    problem = f"{Path(path).name} cannot be moved: {error.strerror or error}."
            with self._database.writing() as rows:  # what a crash leaves undone, the next scan does
                for id, path in lying:
                    moved(rows, id, path)
                changed(rows)
            done += [id for id, _ in lying]
        if problem and not done:
            raise FileError(problem)
        return done

    def delete(self, person: str, ids: Sequence[int] | None = None) -> int:
        """Deletes pictures in the trash for good, all where none are named; returns how many."""
        count = 0
        for some in self._found(person, ids, trashed=True):
            for id, path, digest in some:
                try:
                    (self._folder / path).unlink(missing_ok=True)
                except OSError as error:
                    raise FileError(
                        f"{Path(path).name} cannot be deleted: {error.strerror or error}."
                    ) from None
                with self._database.writing() as rows:
                    rows.execute("DELETE FROM pictures WHERE id = ?", [id])
                    kept = rows.execute("SELECT 1 FROM pictures WHERE digest = ?", [digest]).fetchone()
                    changed(rows)
                if kept is None:
                    self._thumbs.forget(digest)
                count += 1
                _tidy(self._folder / path, self._folder / TRASH)
        return count

    def _found(
        self, person: str, ids: Sequence[int] | None, *, trashed: bool
    ) -> Iterator[list[tuple[int, str, str]]]:
        """Id, path and digest of the person's pictures among them that are, or are not, in the trash."""
        condition = f"person = ? AND gone IS NULL AND trashed IS {'NOT ' if trashed else ''}NULL"
        for some in [None] if ids is None else chunks(ids):
            among = "" if some is None else f" AND id IN ({marks(some)})"
            with self._database.reading() as rows:
                found = rows.execute(
                    f"SELECT id, path, digest FROM pictures WHERE {condition}{among}", [person, *(some or ())]
                ).fetchall()
            yield [(row["id"], row["path"], row["digest"]) for row in found]


def _move(folder: Path, path: str, target: str) -> str:
    """Moves a file to a path where none lies, if need be under another name; returns the path."""
    place = folder / target
    place.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        free = place if number == 1 else place.with_stem(f"{place.stem}-{number}")
        if os.path.lexists(free):
            continue
        os.rename(folder / path, free)
        return free.relative_to(folder).as_posix()
    raise FileExistsError(f"There are too many files called {place.name}")


def _tidy(path: Path, trash: Path) -> None:
    """Removes the folders of a deleted file that are empty now."""
    with suppress(OSError):
        for folder in path.parents:
            if folder == trash or not folder.is_relative_to(trash):
                return
            folder.rmdir()
