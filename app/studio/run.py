"""A job that is made: how far it is, what it shows, what it has made so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.studio.frames import Ended, Finished, Frame, Live, Steps, in_words, jpeg_of
from ldm_core.request import Request
from ldm_core.request.raster import Pixels

if TYPE_CHECKING:
    from ldm_core.engine.job import Job

THUMB_SIDE = 96  # of a preview in the list of jobs


@dataclass(slots=True, eq=False)
class Run:
    """One job, written by the thread that runs it and read by the pages.

    Args:
        id: of its item in the queue.
        sketch: it is not saved, and gives way to the next one.

    Attributes:
        job: of the engine, for the request that is made now.
        stop: set when it is to end.
        text: what is going on.
        done: how much of it is done, 0..1.
        preview: what is seen of the picture that is made now; None before its first step.
        steps: of that picture.
        pictures: finished ones.
        ended: how it ended.
        began, changed: when it began, and when `text` was last said, by `time.monotonic`.
    """

    id: str
    requests: tuple[Request, ...]
    sketch: bool = False
    origin: tuple[str, int] | None = None
    job: Job | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    text: str = "Starting…"
    done: float | None = None
    preview: tuple[Pixels, Request] | None = None
    steps: Steps | None = None
    paused: bool = False
    pictures: list[Finished] = field(default_factory=list)
    ended: Ended | None = None
    began: float = field(default_factory=time.monotonic)
    changed: float = field(default_factory=time.monotonic)
    _jpegs: dict[int, tuple[Pixels, bytes]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The pictures that it makes."""
        return sum(request.batch_size for request in self.requests)

    @property
    def request(self) -> Request:
        """Of the picture that is made now."""
        return self.requests[0] if self.job is None else self.job.request

    def cancel(self) -> None:
        """Stops it before its next step."""
        self.stop.set()
        if self.job is not None:
            self.job.cancel()

    def say(self, text: str) -> None:
        self.text, self.changed = text, time.monotonic()

    def take(self, frame: Frame) -> None:
        """Notes what is told of it."""
        if isinstance(frame, Finished):
            self.pictures.append(frame)
            self.preview = None
            self.steps = frame.steps
            return
        if isinstance(frame, Live):
            self.done, self.paused = frame.done, frame.paused
            self.preview = self.preview if frame.preview is None else (frame.preview, self.request)
            self.steps = frame.steps or self.steps
        elif isinstance(frame, Ended):
            self.paused, self.ended = False, frame
        self.say(frame.text)

    def jpeg(self, side: int) -> bytes | None:
        """The preview, made only when somebody looks."""
        seen = self.preview
        if seen is None:
            return None
        kept = self._jpegs.get(side)
        if kept is None or kept[0] is not seen[0]:
            kept = self._jpegs[side] = (seen[0], jpeg_of(*seen, side))
        return kept[1]


def in_turn(requests: Sequence[Request], frames: Iterator[Iterator[Frame]]) -> Iterator[Frame]:
    """The frames of several requests, one after the other, as of one; when one does not finish, all end."""
    began, count = time.monotonic(), len(requests)
    for i, each in enumerate(frames):
        for frame in each:
            if count > 1 and isinstance(frame, Live):
                done, text = (i + frame.done) / count, f"{i + 1} of {count} · {frame.text}"
                frame = replace(frame, done=done, text=text)
            if count > 1 and isinstance(frame, Ended) and frame.finished:
                if i + 1 < count:
                    continue
                frame = replace(frame, text=f"Finished in {in_words(time.monotonic() - began)}")
            yield frame
            if isinstance(frame, Ended) and not frame.finished:
                return
