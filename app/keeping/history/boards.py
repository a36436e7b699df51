"""Stars, and boards: what somebody keeps together."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from app.keeping.database import Database
from app.keeping.history.rows import changed, chunks, marks
from ldm_core.errors import RequestError

MAX_NAME = 80  # characters
MAX_BOARDS = 1000  # of a person


@dataclass(frozen=True, slots=True)
class Board:
    """`count` pictures under a name."""

    id: int
    name: str
    count: int


class Boards:
    """Stars and boards of all people; nobody reaches another's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, person: str) -> list[Board]:
        """The person's boards by name."""
        with self._database.reading() as rows:
            found = rows.execute(
                "SELECT boards.id, name, COUNT(pictures.id) FROM boards "
                "LEFT JOIN on_boards ON board = boards.id LEFT JOIN pictures "
                "ON pictures.id = picture AND trashed IS NULL AND gone IS NULL "
                "WHERE boards.person = ? GROUP BY boards.id ORDER BY name COLLATE NOCASE",
                [person],
            )
            return [Board(*row) for row in found]

    def make(self, person: str, name: str) -> int:
        """The id of the person's board of that name, which is made where there is none.

        Raises:
            RequestError: the name is empty or too long, or there are too many boards.
        """
        name = _checked(name)
        with self._database.writing() as rows:
            found = rows.execute("SELECT id FROM boards WHERE person = ? AND name = ?", [person, name])
            if (row := found.fetchone()) is not None:
                return int(row["id"])
            (count,) = rows.execute("SELECT COUNT(*) FROM boards WHERE person = ?", [person]).fetchone()
            if count >= MAX_BOARDS:
                raise RequestError("board", name, f"one of at most {MAX_BOARDS}; remove one first")
            changed(rows)
            made = rows.execute("INSERT INTO boards (person, name) VALUES (?, ?)", [person, name])
            return int(made.lastrowid or 0)

    def rename(self, person: str, board: int, name: str) -> None:
        """Gives a board another name.

        Raises:
            RequestError: the name is empty, too long or another board's.
        """
        name = _checked(name)
        try:
            with self._database.writing() as rows:
                rows.execute("UPDATE boards SET name = ? WHERE id = ? AND person = ?", [name, board, person])
                changed(rows)
        except sqlite3.IntegrityError:
            raise RequestError("board", name, "a name that no other board has") from None

    def remove(self, person: str, board: int) -> None:
        """Removes a board; its pictures stay."""
        with self._database.writing() as rows:
            rows.execute("DELETE FROM boards WHERE id = ? AND person = ?", [board, person])
            changed(rows)

    def put(self, person: str, board: int, ids: Sequence[int], *, on: bool = True) -> None:
        """Puts pictures on a board, or takes them off it."""
        with self._database.writing() as rows:
            for some in chunks(ids):
                if on:
                    rows.execute(
                        "INSERT OR IGNORE INTO on_boards SELECT boards.id, pictures.id FROM boards, pictures "
                        f"WHERE boards.id = ? AND boards.person = ? AND pictures.id IN ({marks(some)}) "
                        "AND pictures.person = boards.person",
                        [board, person, *some],
                    )
                else:
                    rows.execute(
                        f"DELETE FROM on_boards WHERE board = ? AND picture IN ({marks(some)}) "
                        "AND board IN (SELECT id FROM boards WHERE person = ?)",
                        [board, *some, person],
                    )
            changed(rows)

    def star(self, person: str, ids: Sequence[int], *, on: bool = True) -> None:
        """Stars pictures, or takes their stars."""
        with self._database.writing() as rows:
            for some in chunks(ids):
                rows.execute(
                    f"UPDATE pictures SET starred = ? WHERE person = ? AND id IN ({marks(some)})",
                    [on, person, *some],
                )
            changed(rows)


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise RequestError("board", name, f"a name of 1 to {MAX_NAME} characters")
    return name
