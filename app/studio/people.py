"""Who works here: a person's pictures and jobs, and what each of their pages looks at.

A page comes and goes; what is made is the person's.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from app.keeping.library import OWNER
from app.studio.frames import Finished
from app.studio.run import Run
from ldm_core.request import Remove, Request

SKETCH = "sketch"  # the id of a page's sketch
KEPT_PICTURES = 48  # of a person, in memory
KEPT_BYTES = 1_000_000_000  # of their files
KEPT_RUNS = 8
KEPT_PAGES = 16  # that are closed, for they may come back
NEWS_SECONDS, NOTE_SECONDS = 4.0, 10.0  # that a message is seen while a picture is made

_turns = itertools.count(1)

Kind = Literal["news", "busy", "note", "failed", "hint"]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What is said on the picture.

    Attributes:
        at: id of the control that is at fault.
        time: when it was said, by `time.monotonic`.
    """

    text: str
    kind: Kind = "news"
    at: str | None = None
    time: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.time < (NEWS_SECONDS if self.kind == "news" else NOTE_SECONDS)


@dataclass(frozen=True, slots=True)
class Selection:
    """The one thing that a page shows: a finished picture, or a job where `picture` is None.

    `run` is also the job that has just made the picture, as long as nothing else was chosen.
    """

    run: Run | None = None
    picture: Finished | None = None


class Person:
    """The owner, or somebody who was let in.

    Attributes:
        endless: the last job is made again and again, each time with another seed.
        last: the requests of the last job that was begun.
        ended: how many times all work came to its end, the seconds that it took, and how it ended.
        version: counts what changed.
        left: when the last page was closed, by `time.monotonic`; None while one is open.
    """

    def __init__(self, id: str, older: Callable[[str], Finished | None] = lambda _: None) -> None:
        self.id = id
        self.endless = False
        self.last: tuple[Request, ...] = ()
        self.ended: tuple[int, float, str] = (0, 0.0, "")
        self.version = 0
        self.left: float | None = time.monotonic()
        self.runner: threading.Thread | None = None
        self._older = older
        self._lock = threading.RLock()
        self._pictures: OrderedDict[str, Finished] = OrderedDict()  # oldest first
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._pages: dict[str, Page] = {}

    @property
    def is_guest(self) -> bool:
        return self.id != OWNER

    def changed(self) -> None:
        """Tells the pages that there is something new."""
        with self._lock:
            self.version += 1

    # Pictures -----------------------------------------------------------------------------------------

    def add(self, picture: Finished) -> None:
        """A picture is finished; the oldest may have to go."""
        with self._lock:
            self._pictures[picture.id] = picture
            while len(self._pictures) > KEPT_PICTURES or (len(self._pictures) > 1 and self._too_large()):
                self._pictures.popitem(last=False)
            self.version += 1

    def saved(self, picture: Finished) -> None:
        """A picture that could not be saved when it was made is now."""
        with self._lock:
            if picture.id in self._pictures:
                self._pictures[picture.id] = picture
            for run in self._runs.values():
                run.pictures[:] = [picture if one.id == picture.id else one for one in run.pictures]
            self.version += 1

    def _too_large(self) -> bool:
        return sum(len(picture.png) for picture in self._pictures.values()) > KEPT_BYTES

    def picture(self, id: str) -> Finished | None:
        """The finished picture of that id, if it is this person's."""
        with self._lock:
            found = self._pictures.get(id)
        return found or self._older(id)

    def pictures(self) -> list[Finished]:
        """Newest first."""
        with self._lock:
            return list(reversed(self._pictures.values()))

    # Jobs ---------------------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        with self._lock:
            self._runs[run.id] = run
            while len(self._runs) > KEPT_RUNS:
                self._runs.popitem(last=False)
            if not any(isinstance(request, Remove) for request in run.requests):
                self.last = run.requests  # a removal made again would be the same
            self.version += 1

    def run(self, id: str) -> Run | None:
        with self._lock:
            return self._runs.get(id)

    @property
    def latest(self) -> Run | None:
        """The job that was begun last."""
        with self._lock:
            return next(reversed(self._runs.values()), None)

    @property
    def running(self) -> Run | None:
        """The job that is made now."""
        run = self.latest
        return run if run is not None and run.ended is None else None

    # Pages --------------------------------------------------------------------------------------------

    def page(self, name: str) -> Page:
        """The page of that name; a new one follows what is made."""
        with self._lock:
            if name not in self._pages:
                self._pages[name] = Page(self)
                closed = [name for name, page in self._pages.items() if not page.turn]
                for gone in closed[:-KEPT_PAGES]:
                    del self._pages[gone]
            return self._pages[name]

    def seen(self, name: str, beat: int) -> None:
        """The page of that name, if there is one, has drawn the word of that number."""
        with self._lock:
            if name in self._pages:
                self._pages[name].seen = beat

    def sketches(self) -> list[Run]:
        """Those that are drawn now."""
        with self._lock:
            found = [page.sketch for page in self._pages.values()]
        return [run for run in found if run is not None and run.ended is None]

    def counted(self) -> None:
        """A page was opened or closed."""
        with self._lock:
            is_open = any(page.turn for page in self._pages.values())
            self.left = None if is_open else self.left or time.monotonic()


class Page:
    """What one page looks at.

    Attributes:
        chosen: id of a picture or job; None follows what is made.
        sketch: the last one that was drawn on this page.
        message: said to this page alone.
        turn: number of the connection over which it is told; 0 where there is none.
        seen: number of the last word over that connection that it has shown.
    """

    def __init__(self, person: Person) -> None:
        self.person = person
        self.chosen: str | None = None
        self.sketch: Run | None = None
        self.message: Line | None = None
        self.turn = self.seen = 0

    def attach(self) -> int:
        """The page listens; returns the number of its connection, which takes the place of an earlier one."""
        self.turn, self.seen = next(_turns), 0
        self.person.counted()
        return self.turn

    def leave(self, turn: int) -> None:
        """That connection has ended.  Where it was the page's last its sketch ends as well, nothing else."""
        if self.turn != turn:
            return
        self.turn = 0
        if self.sketch is not None:
            self.sketch.cancel()
        self.person.counted()

    def say(self, text: str, kind: Kind = "news", at: str | None = None) -> None:
        """A sentence to this page alone."""
        self.message = Line(text, kind, at) if text else None
        self.person.changed()

    def follow(self) -> None:
        """Shows what is made from now on."""
        self.chosen = self.message = None
        self.person.changed()

    def choose(self, id: str) -> bool:
        """Shows a picture or job; returns whether it is there."""
        if self.person.picture(id) is None and self.person.run(id) is None:
            return False
        # Who looks at the newest one looks at the next one as well.
        self.chosen = self.message = None
        shown = self.selection()
        if id not in (shown.picture and shown.picture.id, shown.run and shown.run.id):
            self.chosen = id
        self.person.changed()
        return True

    def selection(self) -> Selection:
        """The one thing that is shown."""
        if self.chosen is not None:
            picture = self.person.picture(self.chosen)
            if picture is not None:
                return Selection(None, picture)
            run = self.person.run(self.chosen)
            if run is not None:
                return _of(run)
        runs = [run for run in (self.person.latest, self.sketch) if run is not None]
        if runs:
            return _of(max(runs, key=lambda run: run.began))
        return Selection(None, next(iter(self.person.pictures()), None))

    @property
    def picture(self) -> Finished | None:
        """The finished picture that is shown."""
        return self.selection().picture

    @property
    def run(self) -> Run | None:
        """What Stop stops: the job that is shown, else the one that is made; the sketch before both."""
        sketch, shown = self.sketch, self.selection().run
        if sketch is not None and sketch.ended is None:
            return sketch
        return shown if shown is not None and shown.ended is None else self.person.running


def _of(run: Run) -> Selection:
    """A job that finished is its last picture."""
    done = run.ended is not None and run.ended.finished
    return Selection(run, run.pictures[-1] if done and run.pictures else None)
