"""Between the pages and the engine: starts jobs, relays their events, saves what is finished.

The engine, and with it torch, is imported in the background after the page is up.  Each browser tab is a
session with at most one running job; it sees only its own pictures.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.keeping import metadata
from app.keeping.library import Library
from app.keeping.outgoing import without_facts
from app.keeping.places import prompts_folder
from app.prompts.words import Words
from app.studio.frames import Ended, Finished, Frame, Steps, Waiting, copy_of, thumb_of
from app.studio.grids import Grids
from app.studio.paces import Paces
from app.studio.relay import Relay
from app.studio.session import SKETCH, Session
from app.studio.timelines import Timelines, key_of
from ldm_core.engine.events import Picture
from ldm_core.errors import AtelierError, EngineError, FileError
from ldm_core.library.models import ModelLibrary
from ldm_core.request import DEFAULT_MODEL, Request, SuperResolution, rebased

if TYPE_CHECKING:
    from app.keeping.history import Entry, History
    from app.keeping.presets import Presets
    from app.keeping.shelf import Shelf
    from app.prompts.history import PromptHistory
    from ldm_core.engine.engine import Engine, Job

__all__ = ["Session", "Studio"]

log = logging.getLogger(__name__)

HASH_SECONDS = 10.0  # between two looks for models without a hash
START_SECONDS = 60.0  # longer than the engine takes to start


class Studio:
    """One engine for all sessions.

    Args:
        models: where models are found.
        library: where finished pictures go; None saves nothing.
        device: as `Engine` takes it; None lets the engine choose.
        shelf: adds and removes models; None where others than this computer's owner can reach the page.
        history: of the pictures in the library; None where there is none.
        presets, prompts: the owner's settings and last prompts; None where guests can reach the page.
    """

    def __init__(
        self,
        models: ModelLibrary,
        library: Library | None,
        device: str | None = None,
        shelf: Shelf | None = None,
        *,
        has_guests: bool = False,
        history: History | None = None,
        presets: Presets | None = None,
        prompts: PromptHistory | None = None,
    ) -> None:
        self.models = models
        self.has_guests = has_guests  # then nothing is kept of what their photographs say of themselves
        self.shelf = shelf
        self.presets = presets
        self.prompts = prompts
        self.grids = Grids()
        if library is not None:
            library.on_saved = self.grids.saved
        self.words = Words(prompts_folder(), models.entries)
        self.timelines = Timelines(self.engine)
        self.paces = Paces(self.engine, models)
        self.history = history
        self._library = library
        self._device = device
        self._engine: Engine | None = None
        self._problem: AtelierError | None = None
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)  # a job of a session
        self._sessions: dict[str, Session] = {}

    # Starting and ending -----------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Imports the engine, loads the default model and lets it take one step.  Runs in its own thread."""
        try:
            from ldm_core.engine.engine import Engine

            self._engine = Engine(self.models, device=self._device)
            self.models.scan()
            names = self.models.names("text-to-image")
            if names:
                first = DEFAULT_MODEL if DEFAULT_MODEL in names else names[0]
                # The libraries prepare themselves at their first call; nobody should wait for that.
                self._engine.submit(replace(self.models.info(first).defaults, steps=1)).pictures()
                self._ready.set()
                self.models.sha256(first)
        except AtelierError as error:
            self._problem = error
        except Exception as error:
            self._problem = EngineError(
                f"The engine could not start ({type(error).__name__}). Run launch.py doctor."
            )
            raise
        finally:
            if self._library is not None:
                self._library.sweep()
            self._ready.set()

    def hash_models(self) -> None:
        """Computes hashes as models come, until the studio is closed.  Runs in its own thread."""
        while not self._closed.is_set():
            self.models.hash_all(self._closed)
            self._closed.wait(HASH_SECONDS)

    @property
    def is_ready(self) -> bool:
        """Whether a picture can start at once."""
        return self._ready.is_set()

    @property
    def problem(self) -> str:
        """Why the engine cannot work; empty where it can."""
        return str(self._problem) if self._problem else ""

    @property
    def device(self) -> str:
        """The device in use, in words; empty while that is not known."""
        if self._engine is None:
            return ""
        device = self._engine.device
        return f"{device.title} · {device.name} · {device.dtype_name}"

    def engine(self) -> Engine:
        """The engine, once it is up.

        Raises:
            AtelierError: it could not start, or is not up yet.
        """
        if self._engine is None:
            raise self._problem or EngineError("The engine is not up yet; try again in a moment.")
        return self._engine

    def close(self) -> None:
        """Stops all jobs."""
        self._closed.set()
        if self.shelf is not None:
            self.shelf.close()
        for name in list(self._sessions):
            self.stop(name)
        if self._engine is not None:
            self._engine.close()
        if self.history is not None:
            self.history.close()

    # Sessions ----------------------------------------------------------------------------------------

    def session(self, name: str) -> Session:
        """What the tab of that name did; a new one did nothing."""
        with self._lock:
            return self._sessions.setdefault(name, Session())

    def stop(self, name: str) -> bool:
        """Stops the session's job before its next step.  Returns whether there was one."""
        session = self.session(name)
        session.stop.set()
        with self._lock:
            job = session.job
        if job is not None:
            job.cancel()
        return session.running

    def pause(self, name: str) -> None:
        """Halts the session's job after the step under way."""
        job = self.session(name).job
        if job is not None:
            job.pause()

    def resume(self, name: str, requests: Sequence[Request]) -> None:
        """Lets the session's job go on from where it is, by another request where that says something else.

        Args:
            requests: that the form stands for now; the one nearest to what the job makes counts.

        Raises:
            RequestError: it does not suit the pictures that are being made.
        """
        job = self.session(name).job
        if job is None:
            return
        before = job.request
        fixed = [
            replace(rebased(request, before), batch_size=before.batch_size, branch=before.branch)
            for request in requests
        ]
        nearest = max(fixed, key=lambda request: _agreement(request, before))
        job.resume(None if nearest == before else nearest)

    def leave(self, name: str) -> None:
        """The tab is closed: its job stops and its pictures are forgotten here (the files stay)."""
        self.stop(name)
        self.timelines.forget(name)
        with self._lock:
            self._sessions.pop(name, None)

    # Making pictures ---------------------------------------------------------------------------------

    def paint(self, name: str, request: Request, *, sketch: bool = False) -> Iterator[Frame]:
        """Runs a request for a session.  Closing the iterator stops the job.

        A sketch is not saved, and stops when the next job comes; then nothing more is said of it.
        Yields nothing where the session's last job still runs and is no sketch.
        """
        if self.has_guests:
            request = without_facts(request)
        return self._run(name, request, lambda: self.engine().submit(request, owner=name), sketch=sketch)

    def branch(self, name: str, key: str, step: int, request: Request) -> Iterator[Frame]:
        """Runs a request from a step of an earlier picture on, for its session; a running job stops.

        What cannot change within one picture is taken from that.

        Raises:
            AtelierError: the steps are gone, or the request does not suit them.
        """
        job, image = self.timelines.find(key)
        request = rebased(request, job.request_of(image))

        def start() -> Job:
            return self.engine().branch(job, image, step, request, owner=name)

        return self._run(name, request, start, over=True)

    def _run(
        self,
        name: str,
        request: Request,
        start: Callable[[], Job],
        *,
        sketch: bool = False,
        over: bool = False,
    ) -> Iterator[Frame]:
        """Relays a session's job until another takes its turn."""
        session = self.session(name)
        turn = self._begin(session, request, sketch, over)
        if turn is None:
            return
        try:
            for frame in self._start(session, request, start):
                if session.turn != turn:
                    return
                yield frame
        except AtelierError as error:
            yield Ended(str(error), error)
        finally:
            with self._ended:
                job, session.job, session.running = session.job, None, False
                self._ended.notify_all()
            if job is not None:
                job.cancel()  # no effect on one that ended

    def _begin(self, session: Session, request: Request, sketch: bool, over: bool) -> int | None:
        """The number of the session's new job; None where another has precedence.

        Args:
            over: stops a running job, whatever it is.
        """
        with self._ended:
            if session.running and not session.sketch and not over:
                return None
            session.turn = turn = session.turn + 1
            session.sketch = sketch
            while session.running and session.turn == turn:
                session.stop.set()
                if session.job is not None:
                    session.job.cancel()
                self._ended.wait(0.05)
            if session.turn != turn:
                return None
            session.begin(request)
            return turn

    def _start(self, session: Session, request: Request, start: Callable[[], Job]) -> Iterator[Frame]:
        if not self._ready.is_set():
            yield Waiting("Loading the model…")
        while not self._ready.wait(0.1):
            if session.stop.is_set():
                yield Ended("Stopped")
                return
        job = start()
        with self._lock:
            session.job = job
        self.timelines.keep(job)
        if session.stop.is_set():
            job.cancel()
        relay = Relay(session, job, lambda event: self._finish(session, job, event))
        yield from relay.frames()
        if relay.seconds is not None and isinstance(job.request, SuperResolution):
            self.paces.took(job.request, relay.seconds)
        self.timelines.keep(job)  # by now it is known how much there is to keep

    def _finish(self, session: Session, job: Job, event: Picture) -> Finished:
        """Saves a picture and remembers it for the session."""
        request = event.request
        png = metadata.encode_png(
            event.pixels, request, self.model_hash(request.model), facts=not self.has_guests
        )
        path, problem = None, ""
        if self._library is not None and not session.sketch:
            try:
                path = self._library.save(png, event.request)
            except FileError as error:
                problem = str(error)
        entry = None if path is None else self._remember(path, png, event)
        name = path.name if path else f"{event.request.seed}.png"
        id, steps = SKETCH, None
        if not session.sketch:
            id = uuid.uuid4().hex
            if moments := job.trajectory(event.index):
                steps = Steps(key_of(job, event.index), moments[-1].step, moments[-1].step)
        thumb, copy = thumb_of(event.pixels), copy_of(event.pixels)
        picture = Finished(
            id, png, name, path, problem, thumb, event.request, steps, copy, entry.id if entry else None
        )
        with self._lock:
            session.add(picture)
        return picture

    def _remember(self, path: Path, png: bytes, event: Picture) -> Entry | None:
        """A saved picture's place in the history; a fault there is no reason to lose sight of the picture."""
        try:
            return None if self.history is None else self.history.add(path, png, event.pixels, event.request)
        except AtelierError as error:
            log.warning("%s The picture itself is saved: %s", error, path.name)
            return None

    def make(self, request: Request) -> list[Finished]:
        """Runs a request to its end, for callers that do not watch.

        Raises:
            AtelierError: the job failed or was stopped.
        """
        name = f"api-{uuid.uuid4().hex}"
        try:
            frames = list(self.paint(name, request))
        finally:
            self.leave(name)
        last = frames[-1] if frames else None
        pictures = [frame for frame in frames if isinstance(frame, Finished)]
        if isinstance(last, Ended) and last.failed:
            raise EngineError(last.text)
        if len(pictures) < request.batch_size:
            raise EngineError("The job was stopped.")
        return pictures

    # Facts about models ------------------------------------------------------------------------------

    def told_of(self, model: str, *prompts: str) -> str:
        """What a person is told of prompts (`ModelLibrary.told_of`); waits for an engine that is starting."""
        if not any(map(str.strip, prompts)) or not self._ready.wait(START_SECONDS) or self._engine is None:
            return ""
        return self.models.told_of(model, *prompts)

    def model_hash(self, model: str) -> str | None:
        """SHA-256 of a model's weights; None where it cannot be told."""
        try:
            return self.models.sha256(model)
        except (AtelierError, OSError):
            return None


def _agreement(one: Request, other: Request) -> int:
    """In how many fields two requests of a task agree."""
    return sum(getattr(one, field.name) == getattr(other, field.name) for field in fields(one))
