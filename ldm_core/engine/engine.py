"""The engine: one thread that answers what the running jobs' samplers ask for.

A turn takes what the next job asks for, adds what other jobs ask for in the same shape of the same model,
gets all answers in one network call, and sends each back into its sampler.  Jobs take turns step by step,
fairly (`shares`), so a new job starts at the next step, and stopping one is not answering it any more.
Models are loaded in a thread beside it, and a job whose model is not there yet, or that is paused, has no
turn.

    with Engine(ModelLibrary()) as engine:
        job = engine.submit(TextToImage(prompt="a lake at dusk"))
        for event in job.events():
            ...
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import TracebackType

import torch

from ldm_core.diffusion.parameterization import Prediction
from ldm_core.engine.answers import answers
from ldm_core.engine.events import Again, Cancelled, Done, Failed, Fetching, Paused, Queued, Resumed, Started
from ldm_core.engine.job import Job
from ldm_core.engine.loader import Loaded, Loader
from ldm_core.engine.looks import Look, decoded
from ldm_core.engine.plans import after_fault, extended
from ldm_core.engine.record import Record
from ldm_core.engine.run import Image, Making, Run
from ldm_core.engine.shares import MAX_RUNNING, Shares
from ldm_core.engine.waiting import Waits, until_start
from ldm_core.errors import AtelierError, EngineError, QueueFull
from ldm_core.library.models import ModelLibrary
from ldm_core.library.tokens import Report
from ldm_core.network.device import (
    Part,
    choose,
    described,
    is_out_of_memory,
    memory_for,
    release_memory,
)
from ldm_core.network.memory import keep_freed_blocks
from ldm_core.request import FLOAT32, Request, branched, lineage, single
from ldm_core.request.extensions import Extensions
from ldm_core.request.raster import Pixels
from ldm_core.tasks import Moment, check, prepare

__all__ = ["MAX_RUNNING", "Engine", "Figures", "Job"]

log = logging.getLogger(__name__)


_Needed = tuple[Extensions, bool]  # what a model is loaded with, and whether in float32


@dataclass(frozen=True, slots=True)
class Figures:
    """What an engine has done so far and has to do.

    Attributes:
        steps, step_seconds: of pictures, and what their network calls took.
        errors: jobs that failed, by the name of the error.
    """

    running: int
    waiting: int
    steps: int
    step_seconds: float
    errors: Mapping[str, int]


class Engine:
    """Runs jobs one step at a time in a thread of its own.

    Args:
        library: where models come from.
        device, dtype: see `device.choose`.
        max_queue: jobs of one share that may wait beside its running ones.
        max_batch: pictures in one network call; by default what suits the device.
        share_of: the share (`shares`) from which an owner's jobs are given turns; by default each has one.

    Raises:
        EngineError: there is no such device or number format.
    """

    def __init__(
        self,
        library: ModelLibrary,
        *,
        device: str | None = None,
        dtype: str | None = None,
        max_queue: int = 32,
        max_batch: int | None = None,
        share_of: Callable[[str], str] = str,
    ) -> None:
        self.library = library
        self.device = choose(device, dtype)
        if self.device.name == "cpu":
            keep_freed_blocks()
        self.max_queue = max_queue
        self.max_batch = max_batch or self.device.max_batch
        self._share_of = share_of
        self._wake = threading.Condition(threading.RLock())
        # Guarded by _wake:
        self._closed = False
        self._queued: deque[Record] = deque()
        self._running: deque[Record] = deque()  # of one share the job at the left has the next turn
        self._shares = Shares()
        self._waits = Waits()
        self._looks: deque[Look] = deque()
        self._changing: dict[Record, Future[Loaded]] = {}  # the models of what jobs are to go on with
        # Of the worker alone:
        # Of the running jobs that have not begun, for what each of their requests needs of the model:
        self._loading: dict[Record, dict[_Needed, Future[Loaded]]] = {}
        # Changed by the worker alone; `_tell_places` and `figures` look into them in other threads:
        self._runs: dict[Record, Run] = {}  # of those that have
        self._steps, self._step_seconds = 0, 0.0
        self._errors: Counter[str] = Counter()
        self._loader = Loader(library, self.device, self._notify)
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request, owner: str = "") -> Job:
        """Queues a request; returns at once.

        Raises:
            RequestError: the request does not suit its model.
            ModelError: there is no such model, or its description is wrong.
            QueueFull: too many jobs of the owner's share wait already.
            EngineError: the engine is closed.
        """
        if not request.model:
            request = replace(request, model=self.library.best(request.task))
        return self._queue(request, owner, ())

    def branch(self, job: Job, image: int, step: int, request: Request, owner: str = "") -> Job:
        """Queues a request that goes on from a picture of another job as it was before a step.

        What lies before is not made again.  The pictures' own requests say of which picture they are a
        branch, so they make the whole again.  With another seed half of the noise is drawn anew there.

        Args:
            step: 0-based, one of the job's trajectory; at 0 nothing is taken over.

        Raises:
            RequestError: it changes what has to stay at a branch, or does not suit its model.
            EngineError: that moment was not kept; also as `submit`.
        """
        request = branched(request, step, job.request_of(image))
        if request.branch is None:
            return self.submit(request, owner)
        job.moment(image, step)
        before = [moment for moment in job.trajectory(image) if moment.step <= step]
        return self._queue(request, owner, before)

    def look(self, job: Job, image: int, step: int) -> Pixels:
        """The picture as it was predicted before a step, decoded; waits for its turn.

        Raises:
            EngineError: that moment was not kept, the decoder failed, or the engine is closed.
            ModelError: the model is gone.
        """
        moment, request = job.moment(image, step), job.request_of(image)
        loading = self._load(request)
        look = Look(job._record, request, job.passes(image), moment, loading, Future())
        with self._wake:
            self._require_open()
            self._looks.append(look)
            self._wake.notify_all()
        return look.seen.result()

    def figures(self) -> Figures:
        """What it has done and has to do."""
        with self._wake:
            running, waiting = len(self._running), len(self._queued)
            return Figures(running, waiting, self._steps, self._step_seconds, dict(self._errors))

    def _load(self, request: Request, report: Report = lambda _: None) -> Future[Loaded]:
        """The model that a request needs."""
        extensions, in_float32 = _needed(request)
        return self._loader.request(request.model, extensions, report, in_float32=in_float32)

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError("The engine is closed; start Latent Atelier again.")

    def _queue(self, request: Request, owner: str, before: Sequence[Moment]) -> Job:
        check(request, self.library.info(request.model))
        self.library.require_extensions(request)
        record = Record(request, owner, before, self._share_of(owner))
        with self._wake:
            self._require_open()
            of_share = [other.share == record.share for other in (*self._queued, *self._running)]
            if sum(of_share) >= MAX_RUNNING + self.max_queue:
                waiting = sum(of_share[: len(self._queued)])
                raise QueueFull(f"{waiting} jobs are waiting already; try again when some are done.")
            self._queued.append(record)
            self._tell_places()
            self._wake.notify_all()
        return Job(record, self)

    def close(self, timeout: float = 10.0) -> None:
        """Cancels all jobs and ends the thread; waits for the current step up to `timeout` seconds."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._loader.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cancel(self, record: Record) -> None:
        """As `Job.cancel`: a waiting job ends here and now, a running one before its next step in `_turn`."""
        record.cancelled.set()
        with self._wake:
            if record in self._queued:
                self._end(record, Cancelled())
            self._wake.notify_all()

    def pause(self, record: Record) -> None:
        """As `Job.pause`."""
        if not record.paused.is_set():
            record.paused.set()
            record.tell(Paused())

    def resume(self, record: Record, request: Request | None) -> None:
        """As `Job.resume`."""
        if request is not None:
            before = record.request
            request = replace(request, batch_size=before.batch_size, branch=before.branch, plan=before.plan)
            check(branched(request, 1, single(before, 0)), self.library.info(request.model))
            self.library.require_extensions(request)
        with self._wake:
            if record.ended:
                return
            if request is not None:
                record.change = request
                self._changing[record] = self._load(request)
            record.paused.clear()
            record.tell(Resumed(request or record.request))
            self._wake.notify_all()

    def _end(self, record: Record, event: Done | Failed | Cancelled) -> None:
        with self._wake:
            if record in self._queued:
                self._queued.remove(record)
                self._tell_places()
            if record in self._running:
                self._running.remove(record)
            record.change = None
            self._changing.pop(record, None)
        self._runs.pop(record, None)
        self._loading.pop(record, None)
        record.tell(event)

    def _notify(self) -> None:
        """Wakes the worker: a model is there."""
        with self._wake:
            self._wake.notify_all()

    def _tell_places(self) -> None:
        """Tells each waiting job how many start before it, where that is new."""
        line = self._shares.line(self._queued, self._running)
        if not any(waiting.position != position for position, waiting in enumerate(line)):
            return
        active = [record for record in self._running if not record.paused.is_set()]
        work = [self._waits.work(record, self._runs.get(record)) for record in (*active, *line)]
        for position, waiting in enumerate(line):
            if waiting.position != position:
                waiting.position = position
                before = [seconds for seconds in work[: len(active) + position] if seconds is not None]
                is_known = len(before) == len(active) + position
                seconds = until_start(before[: len(active)], before[len(active) :]) if is_known else None
                waiting.tell(Queued(position, seconds))

    # From here on in the worker thread alone.

    def _work(self) -> None:
        while self._wait_for_work():
            try:
                self._turn()
            except Exception:  # a fault of the engine itself: end the jobs rather than the thread
                log.exception("a turn failed")
                for record in tuple(self._running):
                    self._end(record, Failed(EngineError("The engine met an unexpected fault; see its log.")))
        for record in (*self._running, *self._queued):
            self._end(record, Cancelled())
        for look in self._looks:
            look.seen.set_exception(EngineError("The engine was closed."))

    def _wait_for_work(self) -> bool:
        """Admits waiting jobs; False once the engine is closed."""
        with self._wake:
            while not (self._closed or self._has_work()):
                self._wake.wait()
            while not self._closed and (record := self._next()) is not None:
                self._shares.begin(record.share, self._running)
                self._queued.remove(record)
                self._running.appendleft(record)  # its first step is the next one
                record.tell(Started())
                self._tell_places()
            return not self._closed

    def _has_work(self) -> bool:
        """Whether a job can start or have a turn, or a moment be looked at."""
        if self._next() is not None or any(look.loading.done() for look in self._looks):
            return True
        return any(
            record.cancelled.is_set() or (not record.paused.is_set() and self._is_loaded(record))
            for record in self._running
        )

    def _next(self) -> Record | None:
        """The waiting job that can start."""
        return self._shares.next(self._queued, self._running)

    def _is_loaded(self, record: Record) -> bool:
        """Whether what it was found to need is there."""
        waits = [] if record in self._runs else list(self._loading.get(record, {}).values())
        with self._wake:
            if record in self._changing:
                waits.append(self._changing[record])
        return all(loading.done() for loading in waits)

    def _turn(self) -> None:
        """One network call for the next job and those that can share it."""
        for record in [record for record in self._running if record.cancelled.is_set()]:
            self._end(record, Cancelled())
        self._look_once()
        images = self._gather()
        began = time.monotonic()
        self._steps += len(images)
        answered: dict[Run, list[tuple[Image, Prediction]]] = {}
        for image, answer in zip(images, self._answers(images), strict=True):
            if isinstance(answer, Exception):
                running = image.run
                if self._runs.get(running.record) is running:  # no other of its pictures failed before
                    self._meet(running.record, answer, "steps")
            else:
                answered.setdefault(image.run, []).append((image, answer))
        took = time.monotonic() - began
        self._step_seconds += took
        if images:
            request = images[0].run.record.request
            with self._wake:
                self._waits.took(request.model, len(images) * math.prod(request.size), took)
        for running in tuple(self._runs.values()):
            if running.record.paused.is_set():
                continue
            part: Part = "steps"
            try:
                running.advance(answered.get(running, ()))
                part = "decoding"
                running.decode_finished()
            except Exception as error:
                self._meet(running.record, error, part)
            else:
                if running.is_done and not running.record.cancelled.is_set():
                    self._end(running.record, Done(time.monotonic() - running.began))

    def _gather(self) -> list[Image]:
        """The pictures to answer now: the next job's, and others of the same shape while there is room.

        The jobs they belong to go to the end of the row, and their shares are charged.
        """
        images: list[Image] = []
        for record in self._shares.in_turn(self._running):
            room = self.max_batch - len(images)
            waits = (images and record not in self._runs) or not self._is_loaded(record)
            if record.paused.is_set() or room == 0 or waits:
                continue  # a job without its model waits for a turn of its own
            try:
                self._change(record)
                running = self._runs.get(record) or self._begin(record)
                if running is None or record.cancelled.is_set():  # being loaded, or stopped meanwhile
                    continue
                images += [i for i in running.active(room) if not images or i.shape == images[0].shape]
            except Exception as error:
                self._meet(record, error, "inputs")
        for served in {image.run.record: None for image in images}:
            self._running.remove(served)
            self._running.append(served)
        for image in images:
            self._shares.charge(image.run.record.share, image.ask.x[0, 0].numel())
        return images

    def _begin(self, record: Record) -> Run | None:
        """Reads the inputs, once the model is loaded; None before."""
        name = record.request.model
        requests, steered = lineage(record.request, record.first), record.steered
        if record not in self._loading:
            by_need = {_needed(request): request for request in (*requests, *sum(steered.values(), ()))}
            self._loading[record] = {
                needed: self._load(request, lambda text: record.tell(Fetching(text)))
                for needed, request in by_need.items()
            }
        if not self._is_loaded(record):
            return None
        with memory_for("loading"):
            loaded = {each: loading.result() for each, loading in self._loading.pop(record).items()}
        began = time.monotonic()
        info = self.library.info(name)

        def prepared(requests: Sequence[Request]) -> list[Making]:
            models = [loaded[_needed(request)][0].by_plan(request.plan) for request in requests]
            return [(model, prepare(one, model, info)) for one, model in zip(requests, models, strict=True)]

        others = {index: prepared(own) for index, own in steered.items()}
        measured = loaded[_needed(record.request)][1]
        self._runs[record] = Run(record, prepared(requests), others, measured, began)
        return self._runs[record]

    def _change(self, record: Record) -> None:
        """Lets a job go on by another request where one was asked for."""
        with self._wake:
            request, record.change = record.change, None
            loading = self._changing.pop(record, None)
        if request is None or loading is None:
            return
        # As they became meanwhile:
        request = replace(request, branch=record.request.branch, plan=record.request.plan)
        running = self._runs.get(record)
        if running is None:
            self._loading.pop(record, None)
            record.replace(request)
        else:
            with memory_for("loading"):
                model = loading.result()[0].by_plan(request.plan)
            running.change(request, model, prepare(request, model, self.library.info(request.model)))

    def _look_once(self) -> None:
        """Decodes one moment that somebody wants to see."""
        with self._wake:
            look = next((look for look in self._looks if look.loading.done()), None)
            if look is None:
                return
            self._looks.remove(look)
        try:
            look.seen.set_result(decoded(look, self.library.info(look.request.model)))
        except Exception as error:
            if not isinstance(error, AtelierError):
                log.error("a look at job %s failed", look.record.id[:6], exc_info=error)
            look.seen.set_exception(described(error, look.request.size))

    def _answers(self, images: Sequence[Image]) -> Sequence[Prediction | Exception]:
        """What is predicted for each picture; an error is given to the picture that caused it alone."""
        if not images:
            return []
        try:
            model = images[0].model
            return answers(model, [(image.ask, image.conditioning) for image in images])
        except Exception as error:
            if len(images) == 1:
                return [error]
            parts = 2 if is_out_of_memory(error) else len(images)
        # Outside of the handler, which holds on to the failed call's tensors.
        each = -(-len(images) // parts)
        return [one for i in range(0, len(images), each) for one in self._answers(images[i : i + each])]

    def _meet(self, record: Record, error: Exception, part: Part) -> None:
        """After a fault the job goes on by another plan, or ends where none helps."""
        plan = record.request.plan
        word = after_fault(error, part, plan, self._dtype_of(record))
        if word is None or record.cancelled.is_set():
            self._fail(record, error)
            return
        log.warning("a job is made in another way: %s", word, extra={"engine_job": record.id[:8]})
        # Its frames, and those of what it came from, hold tensors.
        error.__cause__ = error.__context__ = None
        error.with_traceback(None)
        release_memory(self.device)
        running = self._runs.get(record)
        if word == part == "decoding" and running is not None:  # all latents are at hand
            self._decode_by(record, running, extended(plan, word))
            return
        self._runs.pop(record, None)  # it begins again at its next turn
        record.anew(extended(plan, word))
        if word == FLOAT32:
            text = f"Once more, in float32: {self.device.dtype_name} was not enough for this picture…"
        else:
            text = "Once more, in smaller pieces: memory ran out…"
        record.tell(Again(text))

    def _decode_by(self, record: Record, running: Run, plan: tuple[str, ...]) -> None:
        """Decodes finished latents, which are kept, by another plan."""
        record.by_plan(plan)
        try:
            model = running.model.by_plan(plan)
            running.finish_by(model, prepare(record.request, model, self.library.info(record.request.model)))
        except Exception as error:
            self._meet(record, error, "inputs")

    def _dtype_of(self, record: Record) -> torch.dtype:
        return torch.float32 if FLOAT32 in (record.request.plan or ()) else self.device.dtype

    def _fail(self, record: Record, error: Exception) -> None:
        if not isinstance(error, AtelierError):
            log.error("a job failed", extra={"engine_job": record.id[:8]}, exc_info=error)
        failure = described(error, record.request.size)
        # The frames of a failed step hold its tensors, and the error lives as long as the job.
        failure.__cause__ = failure.__context__ = None
        self._errors[type(failure).__name__] += 1
        self._end(record, Failed(failure.with_traceback(None)))
        release_memory(self.device)


def _needed(request: Request) -> _Needed:
    """Of its model."""
    return request.extensions, FLOAT32 in (request.plan or ())
