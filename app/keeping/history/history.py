"""All pictures that were made, as rows beside their files in the outputs folder."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.keeping.database import Database
from app.keeping.history import scan
from app.keeping.history.boards import Board, Boards
from app.keeping.history.facts import OWN, Entry, facts_of_saved
from app.keeping.history.query import Query, order_of, sql_of
from app.keeping.history.rows import COLUMNS, MIGRATIONS, changed, chunks, entry_of, marks, put
from app.keeping.history.thumbs import Thumbs
from app.keeping.history.trash import Trash
from ldm_core.errors import FileError
from ldm_core.request import Request
from ldm_core.request.raster import Pixels

FILE = "history.sqlite"
MAX_CHOICES = 500  # of models or LoRAs to choose from

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to choose from, each with the number of its pictures, the most frequent first."""

    tasks: list[tuple[str, int]]
    models: list[tuple[str, int]]
    adapters: list[tuple[str, int]]
    boards: list[Board]
    pictures: int
    starred: int
    trashed: int


class History:
    """The pictures in a folder.

    Args:
        folder: the outputs folder; the database and small copies are kept in `.atelier` inside.

    Raises:
        FileError: the database can be neither opened nor made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        hidden = self.folder / OWN
        self._database = Database(hidden / FILE, MIGRATIONS)
        self.notice = self._database.notice
        self.thumbs = Thumbs(hidden / "thumbs")
        self.boards = Boards(self._database)
        self.trash = Trash(self.folder, self._database, self.thumbs)
        self.reading: tuple[int, int] | None = None  # how many of how many files a scan has read
        self._scanning = threading.Lock()

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    # Pictures -----------------------------------------------------------------------------------------

    def add(self, path: Path, png: bytes, pixels: Pixels, request: Request) -> Entry:
        """Remembers a picture that was saved just now, and makes its small copy.

        Args:
            path: of its file, in the outputs folder; whose it is follows from that.
            png: the file's content.

        Raises:
            FileError: it could not be written down; the next scan finds the file.
        """
        try:
            height, width = pixels.shape[:2]
            facts = facts_of_saved(self.folder, path.absolute(), png, (width, height), request)
        except (OSError, ValueError) as error:
            raise FileError(f"{path.name} is not in the outputs folder any more.") from error
        with self._database.writing() as rows:
            id = put(rows, facts)
            changed(rows)
        self.thumbs.make(facts.digest, pixels)
        (entry,) = self.entries([id])
        return entry

    def get(self, id: int, person: str | None = None) -> Entry | None:
        """A picture; None where there is none, or it is another person's."""
        return next(iter(self.entries([id], person)), None)

    def at(self, path: Path) -> Entry | None:
        """The picture in that file."""
        with suppress(ValueError), self._database.reading() as rows:
            relative = path.absolute().relative_to(self.folder).as_posix()
            row = rows.execute(f"SELECT {COLUMNS} FROM pictures WHERE path = ?", [relative]).fetchone()
            return None if row is None else entry_of(row)
        return None

    def newest(self, person: str, count: int) -> list[Entry]:
        """The person's newest pictures, the newest first."""
        return self.entries(self.search(person, Query(), count), person)

    def search(self, person: str | None, query: Query, count: int | None = None) -> list[int]:
        """Ids of the pictures that are looked for, in order.  Without a person, of all."""
        condition, values = sql_of(query, person)
        limit = "" if count is None else f" LIMIT {int(count)}"
        with self._database.reading() as rows:
            found = rows.execute(
                f"SELECT id FROM pictures WHERE {condition} ORDER BY {order_of(query)}{limit}", values
            )
            return [row[0] for row in found]

    def entries(self, ids: Sequence[int], person: str | None = None) -> list[Entry]:
        """The pictures of these ids in their order; those that are gone, or another's, are left out."""
        found: dict[int, Entry] = {}
        whose, values = ("", []) if person is None else (" AND person = ?", [person])
        with self._database.reading() as rows:
            for some in chunks(ids):
                for row in rows.execute(
                    f"SELECT {COLUMNS} FROM pictures WHERE gone IS NULL AND id IN ({marks(some)}){whose}",
                    [*some, *values],
                ):
                    found[row["id"]] = entry_of(row)
        return [found[id] for id in ids if id in found]

    def boards_of(self, id: int) -> list[int]:
        """Ids of the boards that a picture is on."""
        with self._database.reading() as rows:
            return [row[0] for row in rows.execute("SELECT board FROM on_boards WHERE picture = ?", [id])]

    def file(self, entry: Entry) -> Path:
        """Where a picture lies."""
        return self.folder / entry.path

    # What there is ------------------------------------------------------------------------------------

    def choices(self, person: str) -> Choices:
        """What the person's pictures can be searched by."""
        with self._database.reading() as rows:
            here = "FROM pictures WHERE person = ? AND gone IS NULL"

            def counted(name: str) -> list[tuple[str, int]]:
                return _pairs(
                    rows,
                    f"SELECT {name}, COUNT(*) AS n {here} AND trashed IS NULL AND {name} != '' "
                    f"GROUP BY {name} ORDER BY n DESC LIMIT {MAX_CHOICES}",
                    person,
                )

            adapters = _pairs(
                rows,
                "SELECT name, COUNT(*) AS n FROM adapters WHERE picture IN "
                f"(SELECT id {here} AND trashed IS NULL) GROUP BY name ORDER BY n DESC LIMIT {MAX_CHOICES}",
                person,
            )
            pictures, starred, trashed = rows.execute(
                "SELECT COALESCE(SUM(trashed IS NULL), 0), COALESCE(SUM(starred AND trashed IS NULL), 0), "
                f"COALESCE(SUM(trashed IS NOT NULL), 0) {here}",
                [person],
            ).fetchone()
            tasks, models = counted("task"), counted("model")
        return Choices(tasks, models, adapters, self.boards.of(person), pictures, starred, trashed)

    def revision(self) -> int:
        """A number that grows with every change, by whichever program."""
        with self._database.reading() as rows:
            (number,) = rows.execute("SELECT number FROM revision").fetchone()
            return int(number)

    # Files --------------------------------------------------------------------------------------------

    def look(self, *, thorough: bool = False, afresh: bool = False) -> scan.Changes:
        """Notices what changed in the folder; at once nothing where another thread is looking.

        Args: as of `scan.scan`.

        Raises:
            FileError: the database cannot be used.
        """
        if not self._scanning.acquire(blocking=afresh):
            return scan.Changes()
        try:
            return scan.scan(
                self.folder, self._database, thorough=thorough, afresh=afresh, tell=self._tell_reading
            )
        finally:
            self.reading = None
            self._scanning.release()

    def start(self) -> None:
        """The look at a start: what was saved but not written down is found; whatever happens goes on."""
        try:
            self.look(thorough=True)
            if self._database.aside is not None:
                self._rescue(self._database.aside)
        except FileError as error:
            log.warning("%s", error)

    def rebuild(self) -> scan.Changes:
        """Reads every file again, and forgets those that are gone; stars and boards stay.

        Raises:
            FileError: the database cannot be used.
        """
        changes = self.look(afresh=True)
        with self._database.writing() as rows:
            rows.execute("DELETE FROM pictures WHERE gone IS NOT NULL")
            rows.execute("INSERT INTO found (found) VALUES ('rebuild')")
            changed(rows)
        return changes

    def _tell_reading(self, done: int, total: int) -> None:
        self.reading = (done, total)

    def _rescue(self, old: Path) -> None:
        """Takes over stars and boards from a database that could not be used, as far as it can be read."""
        starred: list[str] = []
        boards: list[tuple[str, str, str]] = []
        with suppress(sqlite3.Error):
            source = sqlite3.connect(f"{old.as_uri()}?mode=ro", uri=True)
            try:
                _each(source, "SELECT digest FROM pictures WHERE starred", lambda row: starred.append(row[0]))
                _each(
                    source,
                    "SELECT boards.person, boards.name, digest FROM on_boards "
                    "JOIN boards ON boards.id = board JOIN pictures ON pictures.id = picture",
                    lambda row: boards.append((row[0], row[1], row[2])),
                )
            finally:
                source.close()
        with self._database.writing() as rows:
            digests = [(digest,) for digest in starred]
            rows.executemany("UPDATE pictures SET starred = 1 WHERE digest = ?", digests)
            for person, name, digest in boards:
                rows.execute("INSERT OR IGNORE INTO boards (person, name) VALUES (?, ?)", [person, name])
                rows.execute(
                    "INSERT OR IGNORE INTO on_boards SELECT boards.id, pictures.id FROM boards, pictures "
                    "WHERE boards.person = ? AND boards.name = ? AND digest = ? "
                    "AND pictures.person = boards.person",
                    [person, name, digest],
                )
            changed(rows)


def _pairs(rows: sqlite3.Connection, statement: str, person: str) -> list[tuple[str, int]]:
    return [(row[0], row[1]) for row in rows.execute(statement, [person])]


def _each(source: sqlite3.Connection, statement: str, take: Callable[[sqlite3.Row], None]) -> None:
    """Takes rows until the first that cannot be read."""
    with suppress(sqlite3.Error, TypeError):
        for row in source.execute(statement):
            take(row)
