"""The list of a person's jobs, and the line over which a page hears of everything."""

from __future__ import annotations

from typing import TypedDict

from app.widgets.scripts import Scripted


class Row(TypedDict):
    """One job.

    Attributes:
        words: what it makes.
        text: its place, how far it is or how it ended.
        src: a small picture; "" where there is none yet.
    """

    id: str
    state: str
    words: str
    text: str
    src: str


class Listed(TypedDict):
    """What a `QueueList` shows.

    Attributes:
        open: jobs that run or wait.
        ended: counts how many times all work came to its end; then how long it took, and what is said of it.
        note: that a person should know of their queue.
    """

    rows: list[Row]
    open: int
    paused: bool
    endless: bool
    ended: tuple[int, float, str]
    note: str


NOTHING: Listed = {
    "rows": [], "open": 0, "paused": False, "endless": False, "ended": (0, 0.0, ""), "note": ""
}  # fmt: skip


class QueueList(Scripted):
    """Shows `Listed`.  Fires `act` with `do` and `id`, `to` or `on` of the event's data."""

    script = "queue.js"
    empty = NOTHING


class Beat(TypedDict):
    """One word to a page.

    Attributes:
        number: of this word, from 1.
        page: whom it is for, as `app.web.seen` is told of it.
    """

    number: int
    page: str


class Link(Scripted):
    """Fires `attach` when the page is there and whenever it has heard nothing for a while.

    Its value, a `Beat`, is to change every few seconds while it is heard.
    """

    script = "link.js"
