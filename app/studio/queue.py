"""The jobs that wait, run and ended, of each person, in order; they outlive the program.

One program at a time keeps its queue in the outputs folder: another one that runs beside it on the same
folder has a queue of its own that ends with it, so no job is run twice.  What was running when a program
died is "interrupted": it waits to be asked for again, and what stood behind it goes on.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from app.keeping.database import Database
from app.keeping.locks import locked
from ldm_core.errors import AtelierError, FileError, QueueFull
from ldm_core.request import Request, parse_request, single, to_json

State = Literal["waiting", "running", "done", "failed", "stopped", "interrupted"]

MAX_WAITING = 500  # of one person
KEPT_ENDED = 20  # of one person, to be repeated

MIGRATIONS = (
    """
    CREATE TABLE items (
        id TEXT PRIMARY KEY,
        person TEXT NOT NULL,
        requests TEXT NOT NULL,
        state TEXT NOT NULL,
        place INTEGER NOT NULL,
        finished INTEGER NOT NULL,
        said TEXT NOT NULL,
        added REAL NOT NULL,
        ended REAL
    );
    CREATE TABLE paused (person TEXT PRIMARY KEY);
    """,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """What one press of Generate asks for.

    Attributes:
        requests: made one after the other; each may ask for several pictures.
        place: of two that wait the one with the lower place is made first.
        finished: pictures that are made.
        said: how it ended.
        added, ended: seconds since 1970.
        origin: key and step of the picture that it goes on from, as long as that is at hand.
    """

    id: str
    person: str
    requests: tuple[Request, ...]
    state: State
    place: int
    finished: int = 0
    said: str = ""
    added: float = 0.0
    ended: float | None = None
    origin: tuple[str, int] | None = None

    @property
    def count(self) -> int:
        """The pictures that it makes."""
        return sum(request.batch_size for request in self.requests)


class Queue:
    """The items of all persons.  Every method may be called from any thread.

    Args:
        folder: where it is kept; None keeps it in memory.
        clock: tells seconds since 1970.
    """

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.time) -> None:
        self.notice = ""  # why it will not outlive the program
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._items: dict[str, Item] = {}
        self._paused: set[str] = set()
        self._database: Database | None = None
        self._held: IO[bytes] | None = None  # the lock of the folder's queue

    def open(self) -> None:
        """Reads what an earlier run of the program left."""
        if self._folder is None or self._database is not None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._held = locked(self._folder / "queue.lock")
            if self._held is None:
                self.notice = (
                    "The program already runs on this outputs folder and keeps its queue there; "
                    "what waits here is gone when this one ends."
                )
                return
            database = Database(self._folder / "queue.sqlite", MIGRATIONS)
            self.notice = database.notice
        except (AtelierError, OSError) as error:
            self.notice = f"The queue is not kept: {error}"
            return
        with self._lock:
            added = self._items  # by somebody who was faster
            with database.reading() as rows:
                found = [_read(row) for row in rows.execute("SELECT * FROM items ORDER BY place")]
                self._paused |= {row["person"] for row in rows.execute("SELECT person FROM paused")}
            self._items = {item.id: item for item in found} | added
            self._database = database
            for item in [*found, *added.values()]:
                if item.state == "running" and item.id not in added:
                    self._set(replace(item, state="interrupted"))
                elif item.id in added:
                    self._insert(item)

    def close(self) -> None:
        """What runs is interrupted."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None
            if self._held is not None:
                self._held.close()
                self._held = None

    # Looking ------------------------------------------------------------------------------------------

    def items(self, person: str) -> list[Item]:
        """Those of a person: interrupted ones, what runs, what waits in order, what ended, newest last."""
        order = {"interrupted": 0, "running": 1, "waiting": 2}
        with self._lock:
            items = [item for item in self._items.values() if item.person == person]
        return sorted(items, key=lambda item: (order.get(item.state, 3), item.ended or 0, item.place))

    def find(self, person: str, id: str) -> Item | None:
        """The item of that id, if it is that person's."""
        with self._lock:
            item = self._items.get(id)
        return item if item is not None and item.person == person else None

    def waiting(self, person: str) -> list[Item]:
        return [item for item in self.items(person) if item.state == "waiting"]

    def open_items(self) -> list[Item]:
        """Everybody's that wait or run."""
        with self._lock:
            return [item for item in self._items.values() if item.state in ("waiting", "running")]

    def people(self) -> set[str]:
        """Those for whom something waits."""
        with self._lock:
            return {item.person for item in self._items.values() if item.state == "waiting"}

    def is_paused(self, person: str) -> bool:
        with self._lock:
            return person in self._paused

    # Changing -----------------------------------------------------------------------------------------

    def add(
        self,
        person: str,
        requests: Sequence[Request],
        *,
        origin: tuple[str, int] | None = None,
        first: bool = False,
    ) -> Item:
        """A new one, at the end or before all others.

        Raises:
            QueueFull: too many wait already.
        """
        with self._lock:
            places = [item.place for item in self.waiting(person)]
            if len(places) >= MAX_WAITING:
                raise QueueFull(f"{MAX_WAITING} jobs wait already; cancel some, or wait until they are made.")
            place = min(places, default=1) - 1 if first else max(places, default=0) + 1
            id, now = secrets.token_urlsafe(16), self._clock()
            item = Item(id, person, tuple(requests), "waiting", place, added=now, origin=origin)
            self._items[id] = item
            self._insert(item)
            return item

    def take(self, person: str) -> Item | None:
        """The next one, which runs from now on; None where none may."""
        with self._lock:
            waiting = [] if person in self._paused else self.waiting(person)
            if not waiting:
                return None
            return self._set(replace(waiting[0], state="running"))

    def progress(self, id: str, finished: int) -> None:
        """Notes how many pictures of a running one are made."""
        with self._lock:
            if id in self._items:
                self._set(replace(self._items[id], finished=finished))

    def end(self, id: str, state: State, said: str) -> None:
        """Notes how one ended."""
        with self._lock:
            item = self._items.get(id)
            if item is None:
                return
            self._set(replace(item, state=state, said=said, ended=self._clock()))
            ended = [past for past in self.items(item.person) if past.ended is not None]
            self._drop([past.id for past in ended[:-KEPT_ENDED]])

    def move(self, person: str, id: str, to: int) -> None:
        """Puts a waiting one where it is the `to`th that waits, from 0."""
        with self._lock:
            waiting = self.waiting(person)
            moved = next((item for item in waiting if item.id == id), None)
            if moved is None:
                return
            waiting.remove(moved)
            waiting.insert(min(max(to, 0), len(waiting)), moved)
            places = list(enumerate(waiting, 1))
            self._items |= {item.id: replace(item, place=place) for place, item in places}
            self._write(
                "UPDATE items SET place = ? WHERE id = ?", *((place, item.id) for place, item in places)
            )

    def drop(self, person: str, id: str | None = None) -> None:
        """Takes one that does not run off the list; without an id all that wait."""
        with self._lock:
            dropped = self.waiting(person) if id is None else [self.find(person, id)]
            self._drop([item.id for item in dropped if item is not None and item.state != "running"])

    def again(self, person: str, id: str) -> None:
        """An interrupted one waits again, before all others, for what is left of it."""
        with self._lock:
            item = self.find(person, id)
            if item is None or item.state != "interrupted":
                return
            self._drop([id])
            self.add(person, left(item), first=True)

    def pause(self, person: str, *, paused: bool) -> None:
        """Whether the next one is not begun."""
        with self._lock:
            if paused:
                self._paused.add(person)
                self._write("INSERT OR IGNORE INTO paused VALUES (?)", [person])
            else:
                self._paused.discard(person)
                self._write("DELETE FROM paused WHERE person = ?", [person])

    # Rows ---------------------------------------------------------------------------------------------

    def _write(self, statement: str, *rows: Sequence[object]) -> None:
        """Executes a statement for all rows or none.  Where the disk fails the queue goes on without it."""
        if self._database is None or not rows:
            return
        try:
            with self._database.writing() as connection:
                connection.executemany(statement, rows)
        except FileError as error:
            self.notice = str(error)
            log.warning("the queue was not written: %s", error)

    def _insert(self, item: Item) -> None:
        if self._database is not None:
            text = json.dumps([to_json(request) for request in item.requests])
            row = (item.id, item.person, text, item.state, item.place, item.finished, item.said)
            self._write(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, item.added, item.ended)
            )

    def _set(self, item: Item) -> Item:
        self._items[item.id] = item
        row = (item.state, item.finished, item.said, item.ended, item.id)
        self._write("UPDATE items SET state = ?, finished = ?, said = ?, ended = ? WHERE id = ?", row)
        return item

    def _drop(self, ids: Sequence[str]) -> None:
        for id in ids:
            del self._items[id]
        self._write("DELETE FROM items WHERE id = ?", *([id] for id in ids))


def left(item: Item) -> tuple[Request, ...]:
    """The requests for the pictures of an item that are not finished."""
    made, rest = item.finished, []
    for request in item.requests:
        if made <= 0:
            rest.append(request)
        elif made < request.batch_size:
            rest += [single(request, i) for i in range(made, request.batch_size)]
        made -= request.batch_size
    return tuple(rest) or item.requests


def _read(row: sqlite3.Row) -> Item:
    """A row of an earlier run; one whose requests cannot be read any more has failed."""
    state, said = row["state"], row["said"]
    try:
        requests = tuple(parse_request(request) for request in json.loads(row["requests"]))
    except (AtelierError, ValueError) as error:
        requests, state, said = (), "failed", f"This job cannot be read: {error}"
    fields = (row["finished"], said, row["added"], row["ended"])
    return Item(row["id"], row["person"], requests, state, row["place"], *fields)
