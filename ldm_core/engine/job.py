"""A submitted request: what it tells, how it is stopped, what it leaves."""

from __future__ import annotations

import secrets
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from ldm_core.diffusion.samplers import Region
from ldm_core.engine.events import Cancelled, Event, Failed, Paused, Picture, is_last
from ldm_core.errors import EngineError
from ldm_core.network.preview import PreviewMap
from ldm_core.request import Request, single
from ldm_core.request.raster import Pixels
from ldm_core.tasks.base import Moment

TRAJECTORY_BYTES = 512 * 2**20
_LONG = 60.0  # seconds to wait before looking again; a wait without end cannot be interrupted on Windows


class Host(Protocol):
    """Who runs jobs."""

    def cancel(self, job: Job) -> None:
        """Ends the job before its next step; it was asked to."""

    def resume(self, job: Job, request: Request | None) -> None:
        """Gives the job turns again."""


class Job:
    """One request on its way through the engine.  All methods may be called from any thread.

    Args:
        before: how the pictures came to where they begin, the last moment being that; empty: from noise.
    """

    def __init__(self, request: Request, owner: str, host: Host, before: Sequence[Moment] = ()) -> None:
        self.id = secrets.token_urlsafe(16)  # not to be guessed: whoever knows it may watch and stop the job
        self.request = request
        self.owner = owner
        self.origin: Moment | None = before[-1] if before else None
        self._host = host
        self._log: list[Event] = []
        self._changed = threading.Condition()
        self._cancelled = threading.Event()
        self._paused = threading.Event()
        self._requests = [single(request, i) for i in range(request.batch_size)]
        self._trajectories = [list(before[:-1]) for _ in range(request.batch_size)]
        self._between: list[list[Pixels]] = [[] for _ in range(request.batch_size)]
        self._shown: tuple[PreviewMap, Region] | None = None

    @overload
    def events(self, timeout: None = None) -> Iterator[Event]: ...
    @overload
    def events(self, timeout: float) -> Iterator[Event | None]: ...
    def events(self, timeout: float | None = None) -> Iterator[Event | None]:
        """All events from the first on; blocks for the next and ends after the last.

        Each caller gets all of them, also after the job has ended.

        Args:
            timeout: seconds after which None is given instead of an event.
        """
        given = 0
        while True:
            with self._changed:
                if given == len(self._log):
                    self._changed.wait(_LONG if timeout is None else timeout)
                fresh = self._log[given:]
            if not fresh and timeout is not None:
                yield None
            for event in fresh:
                given += 1
                yield event
                if is_last(event):
                    return

    def pictures(self) -> list[NDArray[np.uint8]]:
        """Waits for the job and returns its pictures, each (H, W, 3).

        Raises:
            AtelierError: what the job failed with; EngineError where it was stopped.
        """
        pixels: dict[int, NDArray[np.uint8]] = {}
        for event in self.events():
            if isinstance(event, Picture):
                pixels[event.index] = event.pixels
            elif isinstance(event, Failed):
                raise event.error
            elif isinstance(event, Cancelled):
                raise EngineError("The job was stopped before all its pictures were finished.")
        return [pixels[index] for index in sorted(pixels)]

    def cancel(self) -> None:
        """Stops the job before its next step; at once while it is queued.  Does nothing once it has ended."""
        self._cancelled.set()
        self._host.cancel(self)

    def pause(self) -> None:
        """Halts the job after the step under way; it keeps what it has.  Does nothing once it has ended."""
        if not self._paused.is_set():
            self._paused.set()
            self.tell(Paused())

    def resume(self, request: Request | None = None) -> None:
        """Goes on after a pause, or without one, from the same x_t.

        With another request each unfinished picture becomes a branch of itself: its sampler starts anew
        there, so those of several steps (PLMS, DPM++ 2M, UniPC) begin with a step of lower order.  Without
        one it is as if there had been no pause.

        Args:
            request: of all the pictures, what they are to go on with; its batch size is not looked at.

        Raises:
            RequestError: it does not suit the model, or changes more than a branch may.
        """
        self._host.resume(self, request)

    @property
    def paused(self) -> bool:
        """Whether it was asked to halt."""
        return self._paused.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancelled.is_set()

    @property
    def ended(self) -> bool:
        """Whether its last event was told."""
        with self._changed:
            return bool(self._log) and is_last(self._log[-1])

    def trajectory(self, image: int) -> list[Moment]:
        """Where picture `image` of the batch stood before each step so far, and last its finished latent.

        Every moment is kept up to 512 MB a job, every second, third ... one beyond.  A branch begins with
        the moments of the picture that it left.  Of a picture made in several passes, each from the pixels
        of the one before, the last pass's are kept.
        """
        return list(self._trajectories[image])

    def moment(self, image: int, step: int) -> Moment:
        """One moment of a picture's trajectory.

        Raises:
            EngineError: the picture was not there, or it was not kept.
        """
        moments = self._trajectories[image] if 0 <= image < len(self._trajectories) else []
        found = next((moment for moment in tuple(moments) if moment.step == step), None)
        if found is None:
            kept = ", ".join(str(moment.step) for moment in tuple(moments)) or "none yet"
            raise EngineError(f"Step {step} of picture {image + 1} was not kept; choose one of: {kept}.")
        return found

    def previews(self, image: int) -> list[tuple[int, Pixels]]:
        """Step and quick look at what was predicted by then, for each kept moment of a picture."""
        if self._shown is None:  # its model is not loaded yet
            return []
        preview, part = self._shown
        return [(moment.step, preview(moment.seen[0], part)) for moment in self.trajectory(image)]

    def request_of(self, image: int) -> Request:
        """What makes one of its pictures alone, as it stands now."""
        return self._requests[image]

    def between(self, image: int) -> Sequence[Pixels]:
        """What the passes of a picture before the last one made; each goes on from the pixels before it."""
        return tuple(self._between[image])

    # For the engine.

    def unpause(self) -> None:
        """It may have turns."""
        self._paused.clear()

    def shown_by(self, preview: PreviewMap, part: Region) -> None:
        """Tells how a latent of its model is shown, and which part of it."""
        self._shown = preview, part

    def begins_with(self, request: Request) -> None:
        """Nothing was made yet: it is made by another request."""
        self.request = request
        self._requests = [single(request, i) for i in range(request.batch_size)]

    def goes_on_from(self, image: int, pixels: Pixels) -> None:
        """A pass of a picture is finished, and another begins with its pixels."""
        self._between[image].append(pixels)

    def goes_on(self, image: int, request: Request) -> None:
        """A picture is made by another request from here on."""
        self._requests[image] = request

    def tell(self, event: Event) -> None:
        """Adds an event, unless the job has ended."""
        with self._changed:
            if not self._log or not is_last(self._log[-1]):
                self._log.append(event)
                self._changed.notify_all()

    def keep(self, image: int, num_steps: int, moment: Moment) -> None:
        """Adds a moment to a picture's trajectory."""
        all_bytes = 2 * 2 * moment.x.numel() * num_steps * self.request.batch_size
        stride = -(-all_bytes // TRAJECTORY_BYTES)
        if moment.step % stride == 0 or moment.step == num_steps:
            self._trajectories[image].append(moment)


class Pace:
    """Predicts how long a job still takes from how long its last steps took."""

    def __init__(self, decode_seconds: float) -> None:
        self._steps: deque[float] = deque(maxlen=9)
        self._decode_seconds = decode_seconds
        self._last = time.monotonic()

    def stepped(self, count: float) -> None:
        """So many steps were made since the last call; other jobs' turns in between count as well."""
        now = time.monotonic()
        self._steps.append((now - self._last) / count)
        self._last = now

    def decoded(self, seconds: float) -> None:
        self._decode_seconds = seconds
        self._last = time.monotonic()

    def seconds_left(self, steps: float, decodes: float) -> float:
        """For that many steps and pictures to decode.  The median forgives a slow first step."""
        step = statistics.median(self._steps) if self._steps else 0.0
        return step * steps + self._decode_seconds * decodes
