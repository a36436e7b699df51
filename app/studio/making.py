"""Makes one request after the other on the engine, and saves what is finished."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.keeping import metadata
from app.keeping.library import Library
from app.studio.frames import Ended, Finished, Frame, Steps, Waiting, copy_of, in_words, thumb_of
from app.studio.paces import Paces
from app.studio.people import SKETCH
from app.studio.relay import Relay
from app.studio.run import Run
from app.studio.timelines import Timelines, key_of
from app.studio.unsaved import Held, Unsaved
from ldm_core.engine.events import PictureDone
from ldm_core.errors import AtelierError, FileError, QueueFull
from ldm_core.request import Remove, Request

if TYPE_CHECKING:
    from app.keeping.history import Entry, History
    from ldm_core.engine.engine import Engine, Job

log = logging.getLogger(__name__)

BUSY_SECONDS = 0.5  # between two tries while others have all places of the engine


class Making:
    """What a job needs to be made.

    Args:
        engine: gives the engine, once it is up.
        ready: set once it is up, or will not come.
        hash_of: SHA-256 of a model.
        library: where finished pictures go; None saves nothing.
        history: of the pictures there.
        saved: is told of a person's picture that could be saved later than it was made.
        facts: whether what a photograph says of itself is kept.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        ready: threading.Event,
        hash_of: Callable[[str], str | None],
        timelines: Timelines,
        paces: Paces,
        library: Library | None,
        history: History | None,
        saved: Callable[[str, Finished], None],
        *,
        facts: bool,
    ) -> None:
        self._engine = engine
        self._ready = ready
        self._hash_of = hash_of
        self._timelines = timelines
        self._paces = paces
        self._library = library
        self._history = history
        self._saved = saved
        self._facts = facts
        self.unsaved = Unsaved(self._save_later)

    def frames(self, run: Run, request: Request, owner: str) -> Iterator[Frame]:
        """Everything that is told of one request of a job.  Closing the iterator stops it."""
        try:
            yield from self._frames(run, request, owner)
        except AtelierError as error:
            yield Ended(str(error), error)
        finally:
            if run.job is not None:
                run.job.cancel()  # no effect on one that ended

    def _frames(self, run: Run, request: Request, owner: str) -> Iterator[Frame]:
        if self._library is not None and not run.sketch:
            self._library.require_room()
        if isinstance(request, Remove):
            yield from self._remove(run, request, owner)
            return
        if not self._ready.is_set():
            yield Waiting("Loading the model…")
        while not self._ready.wait(0.1):
            if run.stop.is_set():
                yield Ended("Stopped")
                return
        while (job := self._started(run, request, owner)) is None:
            yield Waiting("Waiting: many are at work here")
            if run.stop.wait(BUSY_SECONDS):
                yield Ended("Stopped")
                return
        run.job = job
        self._timelines.keep(job)
        if run.stop.is_set():
            job.cancel()
        relay = Relay(job, lambda event: self._finish(run, owner, event, job), run.sketch)
        yield from relay.frames()
        if relay.seconds is not None:
            self._paces.took(job.request, relay.seconds)
        self._timelines.keep(job)  # by now it is known how much there is to keep

    def _remove(self, run: Run, request: Remove, owner: str) -> Iterator[Frame]:
        """What needs no model and no turn of the engine."""
        from ldm_core.tasks.removal import removed  # brings torch, which the page must not wait for

        yield Waiting("Filling…")
        began = time.monotonic()
        pixels = None if run.stop.is_set() else removed(request)
        if pixels is None or run.stop.is_set():
            yield Ended("Stopped")
            return
        yield self._finish(run, owner, PictureDone(0, pixels, request))
        yield Ended(f"Finished in {in_words(time.monotonic() - began)}", finished=True)

    def _started(self, run: Run, request: Request, owner: str) -> Job | None:
        """The engine's job; None where it has no place for one just now."""
        engine = self._engine()
        try:
            if run.origin is not None:
                key, step = run.origin
                try:
                    before, image = self._timelines.find(key, owner)
                except AtelierError:  # no longer at hand: the request makes the whole
                    return engine.submit(request, owner=owner)
                return engine.branch(before, image, step, request, owner=owner)
            return engine.submit(request, owner=owner)
        except QueueFull:
            return None

    def _finish(self, run: Run, owner: str, event: PictureDone, job: Job | None = None) -> Finished:
        """Saves a picture; `job` has its steps."""
        request = event.request
        png = metadata.encode_png(event.pixels, request, self._hash_of(request.model), facts=self._facts)
        path, problem = None, ""
        if self._library is not None and not run.sketch:
            try:
                path = self._library.save(png, request, owner)
            except FileError as error:
                problem = str(error)
        entry = None if path is None else self._remember(path, png, event)
        name = path.name if path else f"{request.seed}.png"
        id, steps = SKETCH, None
        if not run.sketch:
            id = uuid.uuid4().hex if entry is None else str(entry.id)
            if job is not None and (moments := job.trajectory(event.index)):
                steps = Steps(key_of(job, event.index), moments[-1].step, moments[-1].step)
        thumb, copy = thumb_of(event.pixels), copy_of(event.pixels)
        url = "" if entry is None else entry.url
        finished = Finished(id, png, name, path, problem, thumb, request, steps, copy, run.id, url)
        if problem:
            self.unsaved.add(Held(owner, finished, event))
        return finished

    def _save_later(self, held: Held) -> None:
        """Saves a picture that could not be saved when it was made.

        Raises:
            FileError: it cannot be saved yet.
        """
        made = held.picture
        if self._library is None:
            return
        path = self._library.save(made.png, made.request, held.owner)
        self._remember(path, made.png, held.event)
        self._saved(held.owner, replace(made, path=path, name=path.name, problem=""))

    def _remember(self, path: Path, png: bytes, event: PictureDone) -> Entry | None:
        """A saved picture's place in the history; a fault there is no reason to lose sight of the picture."""
        try:
            if self._history is None:
                return None
            return self._history.add(path, png, event.pixels, event.request)
        except AtelierError as error:
            log.warning("%s The picture itself is saved: %s", error, path.name)
            return None
