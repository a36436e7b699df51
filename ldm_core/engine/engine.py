"""The engine: one thread that answers what the running jobs' samplers ask for.

A turn takes what the next job asks for, adds what other jobs ask for in the same shape of the same model,
gets all answers in one network call, and sends each back into its sampler.  Jobs take turns step by step,
so a new job starts at the next step, and stopping one is not answering it any more.  Models are loaded in a
thread beside it, and a job whose model is not there yet, or that is paused, has no turn.

    with Engine(ModelLibrary()) as engine:
        job = engine.submit(TextToImage(prompt="a lake at dusk"))
        for event in job.events():
            ...
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import TracebackType

import torch

from ldm_core.diffusion.parameterization import Prediction
from ldm_core.engine.answers import answers
from ldm_core.engine.events import Cancelled, Done, Failed, Fetching, Queued, Resumed, Started
from ldm_core.engine.job import Job
from ldm_core.engine.loader import Loaded, Loader
from ldm_core.engine.run import Image, Run
from ldm_core.errors import AtelierError, EngineError, QueueFull
from ldm_core.library.models import ModelLibrary
from ldm_core.network.device import choose, described, release_memory
from ldm_core.network.memory import keep_freed_blocks
from ldm_core.network.tiling import run
from ldm_core.request import Request, branched, lineage, single
from ldm_core.request.raster import Pixels
from ldm_core.tasks import Moment, check, prepare

__all__ = ["MAX_RUNNING", "Engine", "Job"]

MAX_RUNNING = 4  # jobs that take turns; more would only make each of them slower

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A moment that somebody wants to see."""

    job: Job
    request: Request  # of that picture alone
    between: Sequence[Pixels]  # what the passes before made of which it is
    moment: Moment
    loading: Future[Loaded]
    seen: Future[Pixels]


class Engine:
    """Runs jobs one step at a time in a thread of its own.

    Args:
        library: where models come from.
        device, dtype: see `device.choose`.
        max_queue: jobs that may wait beside the running ones.
        max_batch: pictures in one network call; by default what suits the device.

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
    ) -> None:
        self.library = library
        self.device = choose(device, dtype)
        if self.device.name == "cpu":
            keep_freed_blocks()
        self.max_queue = max_queue
        self.max_batch = max_batch or self.device.max_batch
        self._wake = threading.Condition(threading.RLock())
        # Guarded by _wake:
        self._closed = False
        self._queued: deque[Job] = deque()
        self._running: deque[Job] = deque()  # the job at the left has the next turn
        self._changes: dict[Job, Request] = {}  # what jobs are to go on with
        self._looks: deque[_Look] = deque()
        # Of the worker alone:
        self._loading: dict[Job, Future[Loaded]] = {}  # of the running jobs that have not begun
        self._runs: dict[Job, Run] = {}  # of those that have
        self._loader = Loader(library, self.device, self._notify)
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request, owner: str = "") -> Job:
        """Queues a request; returns at once.

        Raises:
            RequestError: the request does not suit its model.
            ModelError: there is no such model, or its description is wrong.
            QueueFull: too many jobs wait already.
            EngineError: the engine is closed.
        """
        if not request.model:
            request = replace(request, model=self.library.best(request.task))
        return self._queue(request, owner, ())

    def branch(self, job: Job, image: int, step: int, request: Request, owner: str = "") -> Job:
        """Queues a request that goes on from where a picture of another job stood before a step.

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
        loading = self._loader.request(request.model)
        look = _Look(job, request, job.between(image), moment, loading, Future())
        with self._wake:
            self._require_open()
            self._looks.append(look)
            self._wake.notify_all()
        return look.seen.result()

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError("The engine is closed; start Latent Atelier again.")

    def _queue(self, request: Request, owner: str, before: Sequence[Moment]) -> Job:
        check(request, self.library.info(request.model))
        job = Job(request, owner, self, before)
        with self._wake:
            self._require_open()
            if len(self._queued) + len(self._running) >= MAX_RUNNING + self.max_queue:
                raise QueueFull(
                    f"{len(self._queued)} jobs are waiting already; try again when some are done."
                )
            self._queued.append(job)
            job.tell(Queued(len(self._queued) - 1))
            self._wake.notify_all()
        return job

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

    def cancel(self, job: Job) -> None:
        """As `Job.cancel`: a waiting job ends here and now, a running one before its next step in `_turn`."""
        with self._wake:
            if job in self._queued:
                self._end(job, Cancelled())
            self._wake.notify_all()

    def resume(self, job: Job, request: Request | None) -> None:
        """As `Job.resume`."""
        if request is not None:
            before = job.request
            request = replace(request, batch_size=before.batch_size, branch=before.branch)
            check(branched(request, 1, single(job.request, 0)), self.library.info(request.model))
        with self._wake:
            if job.ended:
                return
            if request is not None:
                self._changes[job] = request
            job.unpause()
            job.tell(Resumed(request or job.request))
            self._wake.notify_all()

    def _end(self, job: Job, event: Done | Failed | Cancelled) -> None:
        with self._wake:
            if job in self._queued:
                self._queued.remove(job)
                self._tell_places()
            if job in self._running:
                self._running.remove(job)
            self._changes.pop(job, None)
        self._runs.pop(job, None)
        self._loading.pop(job, None)
        job.tell(event)

    def _notify(self) -> None:
        """Wakes the worker: a model is there."""
        with self._wake:
            self._wake.notify_all()

    def _tell_places(self) -> None:
        for position, waiting in enumerate(self._queued):
            waiting.tell(Queued(position))

    # From here on in the worker thread alone.

    def _work(self) -> None:
        while self._wait_for_work():
            try:
                self._turn()
            except Exception:  # a fault of the engine itself: end the jobs rather than the thread
                log.exception("a turn failed")
                for job in tuple(self._running):
                    self._end(job, Failed(EngineError("The engine met an unexpected fault; see its log.")))
        for job in (*self._running, *self._queued):
            self._end(job, Cancelled())
        for look in self._looks:
            look.seen.set_exception(EngineError("The engine was closed."))

    def _wait_for_work(self) -> bool:
        """Admits waiting jobs; False once the engine is closed."""
        with self._wake:
            while not (self._closed or self._has_work()):
                self._wake.wait()
            while self._has_room() and not self._closed:
                job = self._queued.popleft()
                self._running.appendleft(job)  # its first step is the next one
                job.tell(Started())
                self._tell_places()
            return not self._closed

    def _has_work(self) -> bool:
        """Whether a job can start or have a turn, or a moment be looked at."""
        if self._has_room() or any(look.loading.done() for look in self._looks):
            return True
        return any(job.cancelled or (not job.paused and self._is_loaded(job)) for job in self._running)

    def _has_room(self) -> bool:
        """Whether a waiting job can start."""
        return bool(self._queued) and sum(not job.paused for job in self._running) < MAX_RUNNING

    def _is_loaded(self, job: Job) -> bool:
        loading = self._loading.get(job)
        return job in self._runs or loading is None or loading.done()

    def _turn(self) -> None:
        """One network call for the next job and those that can share it."""
        for job in [job for job in self._running if job.cancelled]:
            self._end(job, Cancelled())
        self._look_once()
        images = self._gather()
        answered: dict[Run, list[tuple[Image, Prediction]]] = {}
        for image, answer in zip(images, self._answers(images), strict=True):
            if isinstance(answer, Exception):
                self._fail(image.run.job, answer)
            else:
                answered.setdefault(image.run, []).append((image, answer))
        for running in [one for one in self._runs.values() if not one.job.paused]:
            try:
                running.advance(answered.get(running, ()))
                running.decode_finished()
            except Exception as error:
                self._fail(running.job, error)
            else:
                if running.is_done and not running.job.cancelled:
                    self._end(running.job, Done(time.monotonic() - running.began))

    def _gather(self) -> list[Image]:
        """The pictures to answer now: the next job's, and others of the same shape while there is room.

        The jobs they belong to go to the end of the row.
        """
        images: list[Image] = []
        for job in tuple(self._running):
            room = self.max_batch - len(images)
            if job.paused or room == 0 or (images and job not in self._runs):
                continue  # a job without its model waits for a turn of its own
            try:
                self._change(job)
                running = self._runs.get(job) or self._begin(job)
                if running is None or job.cancelled:  # its model is being loaded; it was stopped meanwhile
                    continue
                images += [i for i in running.active(room) if not images or i.shape == images[0].shape]
            except Exception as error:
                self._fail(job, error)
        for served in {image.run.job: None for image in images}:
            self._running.remove(served)
            self._running.append(served)
        return images

    def _begin(self, job: Job) -> Run | None:
        """Reads the inputs, once the model is loaded; None before."""
        if job not in self._loading:
            self._loading[job] = self._loader.request(
                job.request.model, lambda text: job.tell(Fetching(text))
            )
        loading = self._loading[job]
        if not loading.done():
            return None
        model, measured = loading.result()
        del self._loading[job]
        began = time.monotonic()
        info = self.library.info(job.request.model)
        requests = lineage(job.request) if job.origin is None else (job.request,)
        works = [prepare(request, model, info) for request in requests]
        self._runs[job] = Run(job, works, model, measured, began)
        return self._runs[job]

    def _change(self, job: Job) -> None:
        """Lets a job go on by another request where one was given."""
        with self._wake:
            request, running = self._changes.pop(job, None), self._runs.get(job)
        if request is None:
            return
        if running is None:
            job.begins_with(request)
        else:
            running.change(request, prepare(request, running.model, self.library.info(request.model)))

    def _look_once(self) -> None:
        """Decodes one moment that somebody wants to see."""
        with self._wake:
            look = next((one for one in self._looks if one.loading.done()), None)
            if look is None:
                return
            self._looks.remove(look)
        try:
            model, measured = look.loading.result()
            work = prepare(look.request, model, self.library.info(look.request.model))
            for pixels in look.between:
                work = work.then(pixels) or work
            look.job.shown_by(measured.preview, work.shown)
            look.seen.set_result(run(work.finish(look.moment.seen.to(model.device, torch.float32))))
        except Exception as error:
            if not isinstance(error, AtelierError):
                log.error("a look at job %s failed", look.job.id[:6], exc_info=error)
            look.seen.set_exception(described(error, look.request.size))

    def _answers(self, images: Sequence[Image]) -> Sequence[Prediction | Exception]:
        """What is predicted for each picture; an error is given to the picture that caused it alone."""
        if not images:
            return []
        try:
            model = images[0].run.model
            return answers(model, [(image.ask, image.conditioning) for image in images])
        except Exception as error:
            if len(images) == 1:
                return [error]
        return [self._answers([image])[0] for image in images]

    def _fail(self, job: Job, error: Exception) -> None:
        if not isinstance(error, AtelierError):
            log.error("job %s failed", job.id[:6], exc_info=error)
        told = described(error, job.request.size)
        # The frames of a failed step hold its tensors, and the error lives as long as the job.
        told.__cause__ = told.__context__ = None
        self._end(job, Failed(told.with_traceback(None)))
        release_memory(self.device)
