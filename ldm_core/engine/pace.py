"""How long a job still takes."""

from __future__ import annotations

import statistics
import time
from collections import deque


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
