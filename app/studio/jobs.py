"""Between the pages and the engine: who works here, what they have made, and what is known of the models.

The engine, and with it torch, is imported in the background after the page is up.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from app.keeping import originals
from app.keeping.library import OWNER, Library
from app.keeping.outgoing import without_facts
from app.keeping.places import prompts_folder
from app.prompts.words import Words
from app.studio.frames import Finished, Frame
from app.studio.grids import Grids
from app.studio.limits import Limits
from app.studio.making import Making
from app.studio.paces import Paces
from app.studio.past import Past
from app.studio.people import Page, Person
from app.studio.presence import Presence
from app.studio.queue import Queue
from app.studio.run import Run, in_turn
from app.studio.running import GUEST_RUNS, GUEST_WAITS, Jobs
from app.studio.timelines import Timelines
from ldm_core.errors import AtelierError, EngineError, ModelError
from ldm_core.library.models import ModelLibrary
from ldm_core.prompts import AUTO
from ldm_core.request import DEFAULT_MODEL, Request

if TYPE_CHECKING:
    from app.keeping.history import History
    from app.keeping.presets import Presets
    from app.keeping.shelf import Shelf
    from app.prompts.history import PromptHistory
    from ldm_core.conditioners.prompt_length import PromptLength
    from ldm_core.engine.engine import Engine

__all__ = ["Studio"]

HASH_SECONDS = 10.0  # between two looks for models without a hash
START_SECONDS = 60.0  # longer than the engine takes to start
LOOK_SECONDS = 5.0  # between two looks for guests who are gone

log = logging.getLogger(__name__)


class Studio:
    """One engine for all persons.

    Args:
        models: where models are found.
        library: where finished pictures go, and the queue is kept; None keeps nothing.
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
        self.grids = Grids(facts=not has_guests)
        if library is not None:
            library.on_saved = self.grids.saved
        self.words = Words(prompts_folder(), models.entries)
        self.timelines = Timelines(self.engine)
        self.paces = Paces(self.engine, models)
        self.history = history
        self._past = None if history is None else Past(history)
        self._library = library
        self._device = device
        self._engine: Engine | None = None
        self._problem: AtelierError | None = None
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.RLock()
        self._people: dict[str, Person] = {}
        self._making = Making(
            self.engine,
            self._ready,
            self.model_hash,
            self.timelines,
            self.paces,
            library,
            history,
            lambda owner, picture: self.person(owner).saved(picture),
            facts=not has_guests,
        )
        queue = Queue(None if library is None else library.folder / ".atelier")
        self.limits = Limits(lambda: [(item.person, item.requests) for item in queue.open_items()])
        self.presence = Presence()
        self.jobs = Jobs(queue, self.timelines, self.frames, self._require, facts=not has_guests)

    # Starting and ending -----------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Imports the engine, loads the default model and lets it take one step; then goes on with what an
        earlier run of the program left waiting.  Runs in its own thread."""
        self.jobs.queue.open()
        if self.jobs.queue.notice:
            log.warning(self.jobs.queue.notice)
        try:
            from ldm_core.engine.engine import Engine

            self._engine = Engine(self.models, device=self._device, share_of=self.limits.share_of)
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
                originals.sweep(self._library.folder)
            self._ready.set()
            for id in self.jobs.queue.people():
                self.jobs.go_on(self.person(id))

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
        """Stops all jobs; those of the queue are there again when the program starts anew."""
        self._closed.set()
        if self.shelf is not None:
            self.shelf.close()
        with self._lock:
            people = list(self._people.values())
        self.jobs.close(people)
        self._making.unsaved.close()
        if self._engine is not None:
            self._engine.close()
        if self.history is not None:
            self.history.close()

    # People and their pages --------------------------------------------------------------------------

    def person(self, id: str) -> Person:
        """Who has that id; a new one has done nothing yet."""
        with self._lock:
            if id not in self._people:
                past = self._past
                older = (lambda _: None) if past is None else (lambda key: past.find(id, key))
                self._people[id] = Person(id, older)
            return self._people[id]

    def page(self, person: str, name: str) -> Page:
        """A person's page; a new one follows what is made."""
        with self._lock:  # so that nobody who comes back is forgotten
            return self.person(person).page(name)

    def seen(self, person: str, name: str, beat: int) -> None:
        """A page has drawn the word of that number; of pages that are not there nothing is kept."""
        with self._lock:
            if person in self._people:
                self._people[person].seen(name, beat)

    def watch_guests(self) -> None:
        """Ends what guests left behind, until the studio is closed.  Runs in its own thread."""
        while not self._closed.wait(LOOK_SECONDS):
            self.tidy(time.monotonic())

    def tidy(self, now: float) -> None:
        """Ends the jobs of guests who are gone for long, and forgets them."""
        with self._lock:
            for person in list(self._people.values()):
                gone = now - person.left if person.is_guest and person.left is not None else 0.0
                if gone > GUEST_RUNS:
                    person.endless = False
                    if person.running is not None:
                        person.running.cancel()
                if gone > GUEST_WAITS:
                    self.jobs.queue.drop(person.id)
                    self.timelines.forget(person.id)
                    if person.running is None:
                        del self._people[person.id]

    # Making ------------------------------------------------------------------------------------------

    def frames(self, run: Run, owner: str) -> Iterator[Frame]:
        """Everything that is told of a job.  Closing the iterator stops it."""
        each = (self._making.frames(run, request, owner) for request in run.requests)
        return in_turn(run.requests, each)

    def paint(self, request: Request, person: str = OWNER) -> Iterator[Frame]:
        """Runs a request beside the queue, for programs.  Closing the iterator stops it."""
        if self.has_guests:
            request = without_facts(request)
        yield from self.frames(Run(uuid.uuid4().hex, (request,)), person)

    def make(self, request: Request, person: str = OWNER) -> list[Finished]:
        """Runs a request to its end, for callers that do not watch.

        Raises:
            AtelierError: the job failed or was stopped.
        """
        return self.make_run(Run(uuid.uuid4().hex, (request,)), person)

    def require_room(self) -> None:
        """That a finished picture could be saved.

        Raises:
            FileError: it could not.
        """
        if self._library is not None:
            self._library.require_room()

    def _require(self, person: str, requests: Sequence[Request]) -> None:
        """That one more job of a person may wait, and be saved.

        Raises:
            QueueFull, FileError: why not.
        """
        self.require_room()
        self.limits.require(person, requests)

    def make_run(self, run: Run, person: str) -> list[Finished]:
        """As `make`, for a run that somebody else may stop."""
        if self.has_guests:
            run.requests = tuple(without_facts(request) for request in run.requests)
        for frame in self.frames(run, person):
            run.take(frame)
        if run.ended is not None and run.ended.failed:
            raise EngineError(run.ended.text)
        if len(run.pictures) < run.count:
            raise EngineError("The job was stopped.")
        return run.pictures

    # Facts about models ------------------------------------------------------------------------------

    def prompt_notes(self, model: str, *prompts: str, syntax: str = AUTO, clip_skip: int = 0) -> str:
        """`ModelLibrary.prompt_notes`; waits for an engine that is starting."""
        nothing = not clip_skip and not any(map(str.strip, prompts))
        if nothing or not self._ready.wait(START_SECONDS) or self._engine is None:
            return ""
        return self.models.prompt_notes(model, *prompts, syntax=syntax, clip_skip=clip_skip)

    def prompt_length(
        self, model: str, prompt: str, syntax: str = AUTO, *, negative: bool = False
    ) -> PromptLength | None:
        """`ModelLibrary.prompt_length`; None of an empty one, or where the model cannot be read.

        Raises:
            PromptError: it cannot be read.
        """
        if not prompt.strip() or not self._ready.wait(START_SECONDS) or self._engine is None:
            return None
        try:
            return self.models.prompt_length(model, prompt, syntax, negative=negative)
        except (ModelError, OSError):
            return None

    def model_hash(self, model: str) -> str | None:
        """SHA-256 of a model's weights; None where it cannot be told."""
        try:
            return self.models.sha256(model)
        except (AtelierError, OSError):
            return None
