"""What a job tells, as frames for its page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.studio.frames import (
    Ended,
    Finished,
    Frame,
    Live,
    Steps,
    Waiting,
    fraction,
    held,
    in_words,
    place,
    progress,
)
from app.studio.timelines import key_of
from ldm_core.engine.events import (
    Again,
    Cancelled,
    Done,
    Event,
    Failed,
    Fetching,
    Paused,
    PictureDone,
    Queued,
    Started,
    Step,
    Tiles,
)

if TYPE_CHECKING:
    from ldm_core.engine.job import Job

PREVIEWS_PER_SECOND = 10


@dataclass(slots=True, eq=False)
class Relay:
    """One job of the engine on its way to a page.

    Attributes:
        finish: saves a picture.
        sketch: it is not kept, and has no steps to look back at.
        seconds: that the job took; None where it did not make all of its pictures in one go.
    """

    job: Job
    finish: Callable[[PictureDone], Finished]
    sketch: bool = False
    seconds: float | None = None
    _finished: int = 0
    _paused: bool = False
    _newest: Step | None = None  # not shown yet
    _latest: Step | None = None  # shown last
    _queued: Queued | None = None  # as long as the job waits
    _queued_at: float = 0.0
    _said: str = ""  # of the wait

    def frames(self) -> Iterator[Frame]:
        """Everything that is told, of the previews the newest only, about ten a second."""
        pause = 1 / PREVIEWS_PER_SECOND
        last = 0.0
        for event in self.job.events(pause / 2):
            frame = self._still_waiting() if event is None else self._frame(event)
            if frame is not None:
                yield frame
            if isinstance(frame, Ended):
                return  # a step that was not shown yet is of no interest any more
            if self._newest is not None and time.monotonic() - last >= pause:
                yield self._live(self._newest)
                self._newest, self._latest, last = None, self._newest, time.monotonic()

    def _frame(self, event: Event) -> Frame | None:
        """What is said of an event at once."""
        match event:
            case Step():
                # Steps of a batch may alternate: the stage follows the first unfinished picture.
                if event.image == self._finished and (self._newest is None or event.preview is not None):
                    self._newest = event
            case Tiles() if event.image == self._finished and self._newest is None:
                return self._live(event)
            case Paused():
                self._newest, self._paused = self._newest or self._latest, True
            case PictureDone():
                self._newest, self._finished = None, self._finished + 1
                return self.finish(event)
            case Queued():
                self._queued, self._queued_at, self._said = event, time.monotonic(), ""
                return self._still_waiting()
            case Started():
                self._queued = None
                return Waiting("Starting…")
            case Fetching() | Again():
                self._newest = self._latest = None
                return Waiting(event.text)
            case Done():
                if not self._paused and self.job.request.branch is None:
                    self.seconds = event.seconds
                return Ended(f"Finished in {in_words(event.seconds)}", finished=True)
            case Cancelled():
                return Ended("Stopped")
            case Failed():
                return Ended(str(event.error), event.error)
        return None

    def _still_waiting(self) -> Waiting | None:
        """How long the job waits still, where that is another word than before."""
        if self._queued is None:
            return None
        seconds = self._queued.seconds
        left = None if seconds is None else seconds - (time.monotonic() - self._queued_at)
        said = place(self._queued.position, left)
        if said == self._said:
            return None
        self._said = said
        return Waiting(said)

    def _live(self, step: Step | Tiles) -> Live:
        seen = None if isinstance(step, Tiles) else step.preview
        text = (held if self.job.paused else progress)(step)
        steps = (
            None
            if self.sketch or not step.step
            else Steps(key_of(self.job, step.image), step.step, step.num_steps)
        )
        return Live(seen, fraction(step, self._finished), text, steps, self.job.paused)
