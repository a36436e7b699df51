"""What one browser tab did so far."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.studio.frames import Finished
from ldm_core.request import Request

if TYPE_CHECKING:
    from ldm_core.engine.job import Job

SKETCH = "sketch"  # the id of a session's sketch
KEPT_PICTURES = 48  # of a session
KEPT_BYTES = 1_000_000_000  # of their files


@dataclass(slots=True)
class Session:
    """What one browser tab did so far."""

    pictures: OrderedDict[str, Finished] = field(default_factory=OrderedDict)  # oldest first
    running: bool = False
    sketch: bool = False  # the running or last job gives way to the next
    turn: int = 0  # counts the jobs
    stop: threading.Event = field(default_factory=threading.Event)
    job: Job | None = None
    batch_size: int = 1  # of the running or last job
    shown: str | None = None  # id of the picture on the stage
    pinned: bool = False  # the person looks at a finished picture while the next one is made

    def begin(self, request: Request) -> None:
        """A new job is the session's."""
        self.running, self.job, self.pinned = True, None, False
        self.batch_size = request.batch_size
        self.stop.clear()

    def add(self, picture: Finished) -> None:
        """A picture is finished; it is the one on the stage, and the oldest may have to go."""
        self.pictures.pop(SKETCH, None)  # one at most is kept
        self.pictures[picture.id] = picture
        self.shown = picture.id
        while len(self.pictures) > KEPT_PICTURES or (len(self.pictures) > 1 and self._bytes() > KEPT_BYTES):
            self.pictures.popitem(last=False)

    def _bytes(self) -> int:
        return sum(len(picture.png) for picture in self.pictures.values())

    def newest_first(self) -> list[Finished]:
        """The pictures for the rail."""
        return list(reversed(self.pictures.values()))
