"""How long a job waits, from what the jobs before it take."""

from __future__ import annotations

from collections.abc import Sequence

from ldm_core.engine.record import Record
from ldm_core.engine.run import Run
from ldm_core.engine.shares import MAX_RUNNING

_NEWEST = 0.2  # the weight of the newest network call


class Waits:
    """Seconds a pixel and step of each model, as far as something was made with it.  Guarded by the engine's
    lock."""

    def __init__(self) -> None:
        self._paces: dict[str, float] = {}

    def took(self, model: str, pixels: int, seconds: float) -> None:
        """A network call answered one step of so many pixels."""
        pace = seconds / pixels
        self._paces[model] = pace + (1 - _NEWEST) * (self._paces.get(model, pace) - pace)

    def work(self, record: Record, run: Run | None) -> float | None:
        """Seconds that a job takes alone from now on; None where nothing was made with its model."""
        request = record.request
        steps = request.batch_size * request.num_steps(request.steps) if run is None else run.steps_left
        width, height = request.size
        pace = self._paces.get(request.model)
        return None if pace is None else pace * steps * width * height


def until_start(running: Sequence[float], ahead: Sequence[float], places: int = MAX_RUNNING) -> float:
    """Seconds until a job has a place.

    Args:
        running: what each of the running jobs takes alone; they take equal turns.
        ahead: the same of those that start before, in order.
    """
    left, waited = list(running), 0.0
    for work in (*ahead, 0.0):
        if len(left) >= places:
            shortest = min(left)
            waited += shortest * len(left)
            left.remove(shortest)
            left = [one - shortest for one in left]
        left.append(work)
    return waited
