"""Which guests are there: they ask something, or listen to an answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.studio.limits import KNOWN


class Presence:
    """Used in one thread.

    Args:
        clock: tells seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._left: dict[str, float] = {}  # the latest at the end

    @contextmanager
    def asking(self, guest: str) -> Iterator[None]:
        """A request of theirs is open."""
        self._open[guest] += 1
        try:
            yield
        finally:
            self._open[guest] -= 1
            if not self._open[guest]:
                del self._open[guest]
                self._left.pop(guest, None)
                self._left[guest] = self._clock()
                if len(self._left) > KNOWN:
                    del self._left[next(iter(self._left))]

    def away(self, guest: str) -> float:
        """Seconds for which nothing was heard of them."""
        return 0.0 if guest in self._open else self._clock() - self._left.get(guest, self._clock())
