"""A small database in one file, for several threads and several running programs at once.

SQLite with a write-ahead log: readers never wait, writers take turns.  The file carries the number of its
last migration (`user_version`).  A file that cannot be read, or that a newer version of this program wrote,
is kept under another name and a new one is begun; `notice` then says so.

    database = Database(folder / "history.sqlite", MIGRATIONS)
    with database.writing() as rows:
        rows.execute("INSERT INTO pictures (path) VALUES (?)", [path])
    with database.reading() as rows:
        paths = [row["path"] for row in rows.execute("SELECT path FROM pictures")]
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ldm_core.errors import FileError

BUSY_SECONDS = 10.0  # a writer waits for another program's


class Database:
    """The database in a file, which is made where it is not there.

    Args:
        path: its folder is made too.
        migrations: SQL scripts; the first makes the tables, each further one changes them.  A script that was
            released is never edited.

    Raises:
        FileError: the file can be neither opened nor made.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self.path = path
        self.notice = ""  # a sentence where the file that was there could not be used
        self.aside: Path | None = None  # where that file is now
        self._migrations = tuple(migrations)
        self._idle: list[sqlite3.Connection] = []  # for reading
        self._turn = threading.RLock()  # of this program's writers
        self._closed = False
        with _as_file_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                self._writer = self._opened()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Rows as they are now; nothing can be changed through it.

        Raises:
            FileError: the database cannot be read.
        """
        with _as_file_error(self.path):
            self._require_open()
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connection()
                connection.execute("PRAGMA query_only = ON")
            try:
                yield connection
            finally:
                self._idle.append(connection)
                if self._closed:
                    self._close_idle()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: everything in it happens, or nothing where an exception leaves it.

        Raises:
            FileError: the database cannot be written.
        """
        with _as_file_error(self.path), self._turn:
            self._require_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Closes the file; it can be closed twice."""
        self._closed = True
        with self._turn:
            self._writer.close()
        self._close_idle()

    def _require_open(self) -> None:
        if self._closed:
            raise FileError(f"{self.path.name} is closed: the program ends.")

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError):  # another thread was faster
                self._idle.pop().close()

    # Opening ------------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """The connection for writing, to a file that is whole and of this version."""
        try:
            return self._prepared()
        except sqlite3.OperationalError:  # no right, no room, no file: nothing that a new file would mend
            raise
        except sqlite3.DatabaseError:
            self._set_aside("damaged", "could not be read")
        except _NewerError:
            self._set_aside("newer", "was written by a newer version of this program")
        return self._prepared()

    def _prepared(self) -> sqlite3.Connection:
        connection = self._connection()
        try:
            connection.execute("PRAGMA journal_mode = WAL")  # where the file system allows it
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(self._migrations):
            raise _NewerError
        for number, script in enumerate(self._migrations[version:], version + 1):
            connection.execute("BEGIN IMMEDIATE")
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")

    def _set_aside(self, kind: str, reason: str) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}"
        self.aside = self.path.with_name(f"{self.path.stem}.{kind}-{stamp}{self.path.suffix}")
        for tail in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{self.path}{tail}", f"{self.aside}{tail}")
        self.notice = f"{self.path.name} {reason}. It is kept as {self.aside.name}, and a new one was begun."

    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        return connection


class _NewerError(Exception):
    """The file's version is above ours."""


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would end the transaction."""
    statement = ""
    for part in script.split(";"):
        statement += part
        if sqlite3.complete_statement(f"{statement};"):
            yield statement
            statement = ""
        else:
            statement += ";"  # inside of a trigger or a text


@contextmanager
def _as_file_error(path: Path) -> Iterator[None]:
    """Faults of the file as sentences; faults of our own statements stay what they are."""
    try:
        yield
    except sqlite3.OperationalError as error:
        advice = "Close what else uses it, make room, or allow writing in its folder."
        raise FileError(f"{path.name} cannot be used just now ({error}). {advice}") from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise FileError(
            f"{path.name} is damaged ({error}). Start the program again: it will begin a new one."
        ) from error
    except OSError as error:
        raise FileError(f"{path.name} cannot be used: {error.strerror or error}.") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One program at a time opens the file, for it may have to be moved away."""
    with open(path.with_name(f"{path.name}.lock"), "ab") as held:
        with suppress(OSError):  # a file system without locks
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(held.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]
            else:
                import fcntl

                fcntl.flock(held, fcntl.LOCK_EX)
        yield
