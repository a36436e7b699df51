"""Whose job is made when: each person's one after the other, different persons' beside each other.

A job belongs to a person; the pages that look at it come and go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace

from app.keeping.outgoing import without_facts
from app.studio.frames import Ended, Finished, Frame
from app.studio.people import SKETCH, Page, Person
from app.studio.queue import Item, Queue, State
from app.studio.run import Run
from app.studio.timelines import Timelines
from ldm_core.errors import EngineError, FileError
from ldm_core.request import Request, branched, drawn_seed, rebased

# Of a guest whose last page is closed: how long what runs goes on, how long what waits is kept.
GUEST_RUNS, GUEST_WAITS = 10 * 60.0, 60 * 60.0

log = logging.getLogger(__name__)


class Jobs:
    """The jobs of all persons.

    Args:
        queue: what waits, runs and ended.
        frames: makes a job for an owner, and tells everything of it.
        require: raises where a person may have no more jobs, or they could not be saved.
        facts: whether what photographs say of themselves is kept.
    """

    def __init__(
        self,
        queue: Queue,
        timelines: Timelines,
        frames: Callable[[Run, str], Iterator[Frame]],
        require: Callable[[str, Sequence[Request]], None],
        *,
        facts: bool,
    ) -> None:
        self.queue = queue
        self._require = require
        self._timelines = timelines
        self._frames = frames
        self._facts = facts
        self._closed = threading.Event()
        self._lock = threading.RLock()

    def close(self, people: Sequence[Person]) -> None:
        """Stops all; those of the queue are there again when the program starts anew."""
        self._closed.set()
        for person in people:
            for run in (person.running, *person.sketches()):
                if run is not None:
                    run.cancel()
        for person in people:
            if person.runner is not None:
                person.runner.join(5)
        self.queue.close()

    # The queue ---------------------------------------------------------------------------------------

    def add(self, person: Person, requests: Sequence[Request]) -> Item:
        """Queues a job.

        Raises:
            QueueFull: too many wait already.
            FileError: it could not be saved.
        """
        if not self._facts:
            requests = [without_facts(request) for request in requests]
        self._require(person.id, requests)
        item = self.queue.add(person.id, requests)
        self.go_on(person)
        return item

    def branch(self, person: Person, key: str, step: int, request: Request) -> Item:
        """Queues a request that goes on from a step of an earlier picture, as the next one.  Where that
        picture is being made it takes its place.

        What cannot change within one picture is taken from that.

        Raises:
            AtelierError: the steps are gone, or the request does not suit them.
        """
        job, image = self._timelines.find(key, person.id)
        of = job.request_of(image)
        request = branched(rebased(request, of), step, of)
        self._require(person.id, [request])
        item = self.queue.add(person.id, [request], origin=(key, step), first=True)
        run = person.running
        if run is not None and run.job is job:
            run.cancel()
        self.go_on(person)
        return item

    def again(self, person: Person, id: str) -> None:
        """An interrupted job goes on; one that ended is made anew."""
        item = self.queue.find(person.id, id)
        if item is None or not item.requests:
            return
        self._require(person.id, item.requests)
        if item.state == "interrupted":
            self.queue.again(person.id, id)
        else:
            self.queue.add(person.id, item.requests)
        self.go_on(person)

    def pause_queue(self, person: Person, *, paused: bool) -> None:
        """Whether the next job waits."""
        self.queue.pause(person.id, paused=paused)
        self.go_on(person)

    def repeat(self, person: Person, *, endless: bool) -> None:
        """Whether the last job is made again and again, each time with another seed, until it is stopped."""
        person.endless = endless
        self.go_on(person)

    def cancel(self, person: Person, id: str) -> None:
        """Stops a job that runs; takes any other off the list."""
        run = person.run(id)
        if run is not None and run.ended is None:
            run.cancel()
        self.queue.drop(person.id, id)
        person.changed()

    def cancel_all(self, person: Person) -> None:
        """Nothing waits any more, and what runs stops."""
        person.endless = False
        self.queue.drop(person.id)
        if person.running is not None:
            person.running.cancel()
        person.changed()

    def move(self, person: Person, id: str, to: int) -> None:
        """Puts a waiting job where it is the `to`th that waits, from 0."""
        self.queue.move(person.id, id, to)
        person.changed()

    def open(self, person: Person) -> int:
        """How many jobs run or wait."""
        return sum(item.state in ("running", "waiting") for item in self.queue.items(person.id))

    def outline(self, person: Person) -> object:
        """Another value when the list of jobs is another one."""
        states = [(item.id, item.state) for item in self.queue.items(person.id)]
        return states, self.queue.is_paused(person.id), person.endless, person.ended

    # The job that runs -------------------------------------------------------------------------------

    def stop(self, page: Page) -> bool:
        """Stops what a page shows, or else what is made, before its next step.  Returns whether there was
        something."""
        page.person.endless = False
        run = page.run
        if run is not None:
            run.cancel()
        page.person.changed()
        return run is not None

    def pause(self, page: Page) -> None:
        """Halts what a page shows after the step under way."""
        run = page.run
        if run is not None and run.job is not None:
            run.job.pause()

    def resume(self, page: Page, requests: Sequence[Request]) -> None:
        """Lets what a page shows go on from where it is, by another request where that says something else.

        Args:
            requests: that the form stands for now; the one nearest to what the job makes counts.

        Raises:
            RequestError: it does not suit the pictures that are being made.
        """
        run = page.run
        if run is None or run.job is None:
            return
        before = run.job.request
        fixed = [
            replace(rebased(request, before), batch_size=before.batch_size, branch=before.branch)
            for request in requests
        ]
        nearest = max(fixed, key=lambda request: _agreement(request, before))
        run.job.resume(None if nearest == before else nearest)
        run.say("Going on…")
        page.person.changed()

    # Making ------------------------------------------------------------------------------------------

    def go_on(self, person: Person) -> None:
        """Makes what waits for a person, in a thread that ends when nothing does."""
        person.changed()
        with self._lock:
            if person.runner is None and not self._closed.is_set():
                thread = threading.Thread(target=self._work, args=[person], name="jobs", daemon=True)
                person.runner = thread
                thread.start()

    def _work(self, person: Person) -> None:
        """One job after the other."""
        began, said = time.monotonic(), ""
        while True:
            with self._lock:
                item = None if self._closed.is_set() else self._next(person)
                if item is None:
                    person.runner = None
                    break
            said = self._make(person, item)
        if said:
            person.ended = (person.ended[0] + 1, time.monotonic() - began, said)
        person.changed()

    def _next(self, person: Person) -> Item | None:
        """The job whose turn it is; it runs from now on."""
        item = self.queue.take(person.id)
        if item is None and person.endless and person.last and not self.queue.is_paused(person.id):
            seeds = {request.seed: drawn_seed() for request in person.last}
            again = [replace(request, seed=seeds[request.seed], branch=None) for request in person.last]
            self.queue.add(person.id, again)
            item = self.queue.take(person.id)
        return item

    def _make(self, person: Person, item: Item) -> str:
        """Makes a job of the queue; returns how it ended."""
        run = Run(item.id, item.requests, origin=item.origin)
        for sketch in person.sketches():
            sketch.cancel()
        person.begin(run)
        first, began = item.requests[0], time.monotonic()
        width, height = first.size
        told: dict[str, object] = {"job": item.id[:8], "task": first.task, "model": first.model}
        log.info("a job begins", extra=told | {"size": f"{width}x{height}", "steps": first.steps})
        self._run(person, run)
        ended = run.ended or Ended("Stopped")
        how = {"finished": ended.finished, "error": type(ended.error).__name__ if ended.error else ""}
        log.info("a job ended", extra=told | how | {"seconds": round(time.monotonic() - began, 2)})
        if self._closed.is_set() and not ended.finished:
            return ""  # it is interrupted, and will be there at the next start
        state: State = "done" if ended.finished else "failed" if ended.failed else "stopped"
        if ended.failed:
            person.endless = False
        if isinstance(ended.error, FileError):  # what waits could not be saved either
            self.queue.pause(person.id, paused=True)
        self.queue.end(item.id, state, ended.text)
        return ended.text

    def _run(self, person: Person, run: Run) -> None:
        """Makes a job to its end."""
        try:
            for frame in self._frames(run, person.id):
                run.take(frame)
                if isinstance(frame, Finished) and not run.sketch:
                    person.add(frame)
                    self.queue.progress(run.id, len(run.pictures))
                person.changed()
        except Exception as error:
            log.exception("a job could not be made")
            said = f"Something went wrong inside the program ({type(error).__name__})"
            fault = EngineError(f"{said}; the window that it was started from says what.")
            run.take(Ended(str(fault), fault))
        person.changed()

    def sketch(self, page: Page, request: Request) -> None:
        """Makes a picture that is not saved and gives way to the page's next one.  While a job of the queue
        runs nothing is sketched."""
        if page.person.running is not None or self._closed.is_set():
            return
        if page.sketch is not None:
            page.sketch.cancel()
        if not self._facts:
            request = without_facts(request)
        run = page.sketch = Run(SKETCH, (request,), sketch=True)
        page.follow()
        thread = threading.Thread(target=self._run, args=[page.person, run], name="sketch", daemon=True)
        thread.start()


def _agreement(request: Request, other: Request) -> int:
    """In how many fields two requests of a task agree."""
    return sum(getattr(request, field.name) == getattr(other, field.name) for field in fields(request))
