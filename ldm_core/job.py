"""A submitted request: what it tells, how it is stopped, what it leaves."""

from __future__ import annotations

import secrets
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldm_core.errors import EngineError
from ldm_core.events import Cancelled, Event, Failed, Picture, is_last
from ldm_core.request import Request

TRAJECTORY_BYTES = 512 * 2**20
_LONG = 60.0  # seconds to wait before looking again; a wait without end cannot be interrupted on Windows


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Where a picture stood before step `step` (0-based); `step` = num_steps is the finished latent.

    x: (1, c, h, w) float16 on the CPU.
    t: the timestep, -1 for the finished latent.
    """

    step: int
    t: float
    x: Tensor


class Job:
    """One request on its way through the engine.  All methods may be called from any thread."""

    def __init__(self, request: Request, owner: str, on_cancel: Callable[[Job], None]) -> None:
        self.id = secrets.token_urlsafe(16)  # not to be guessed: whoever knows it may watch and stop the job
        self.request = request
        self.owner = owner
        self._on_cancel = on_cancel
        self._log: list[Event] = []
        self._changed = threading.Condition()
        self._cancelled = threading.Event()
        self._trajectories: list[list[Moment]] = [[] for _ in range(request.batch_size)]

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
        self._on_cancel(self)

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

        Every moment is kept up to 512 MB a job, every second, third ... one beyond.
        """
        return list(self._trajectories[image])

    # For the engine.

    def tell(self, event: Event) -> None:
        """Adds an event, unless the job has ended."""
        with self._changed:
            if not self._log or not is_last(self._log[-1]):
                self._log.append(event)
                self._changed.notify_all()

    def keep(self, image: int, step: int, num_steps: int, t: float, x: Tensor) -> None:
        """Adds a moment to a picture's trajectory."""
        all_bytes = 2 * x.numel() * num_steps * self.request.batch_size
        stride = -(-all_bytes // TRAJECTORY_BYTES)
        if step % stride == 0 or step == num_steps:
            moment = Moment(step, t, x.detach().to("cpu", torch.float16, copy=True))
            self._trajectories[image].append(moment)


class Pace:
    """Predicts how long a job still takes from how long its last steps took."""

    def __init__(self, decode_seconds: float) -> None:
        self._steps: deque[float] = deque(maxlen=9)
        self._decode_seconds = decode_seconds
        self._last = time.monotonic()

    def stepped(self, count: int) -> None:
        """`count` steps were made since the last call; other jobs' turns in between count as well."""
        now = time.monotonic()
        self._steps.append((now - self._last) / count)
        self._last = now

    def decoded(self, seconds: float) -> None:
        self._decode_seconds = seconds
        self._last = time.monotonic()

    def seconds_left(self, steps: int, decodes: int) -> float:
        """For that many steps and pictures to decode.  The median forgives a slow first step."""
        step = statistics.median(self._steps) if self._steps else 0.0
        return step * steps + self._decode_seconds * decodes
