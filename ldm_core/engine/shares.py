"""Whose job has the next turn, where several people use one engine.

Each share, a person or several who count as one, is charged what its jobs are given: cells of the latent in
one step.  The next turn belongs to the share that was given least, and so does the next place.  Who comes
back after a rest begins level with the others: what was not used is not saved up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ldm_core.engine.record import Record

MAX_RUNNING = 4  # jobs that take turns; more would only make each of them slower
MAX_SHARES = 16  # so many shares have a job that takes turns, even where others hold those places


class Shares:
    """What each share was given.  Guarded by the engine's lock."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}

    def in_turn(self, running: Sequence[Record]) -> list[Record]:
        """The running jobs, the one with the next turn first; of one share in the order given."""
        return sorted(running, key=lambda record: self._spent.get(record.share, 0.0))

    def charge(self, share: str, cells: int) -> None:
        """One step was given to a picture of so many cells."""
        self._spent[share] = self._spent.get(share, 0.0) + cells

    def line(self, waiting: Sequence[Record], running: Sequence[Record]) -> list[Record]:
        """The waiting jobs as they will start: each share's next one, then each one's second ..."""
        held = Counter(record.share for record in running)
        ranks: dict[Record, tuple[int, float]] = {}
        for record in waiting:
            ranks[record] = held[record.share], self._spent.get(record.share, 0.0)
            held[record.share] += 1
        return sorted(waiting, key=lambda record: ranks[record])

    def next(self, waiting: Sequence[Record], running: Sequence[Record]) -> Record | None:
        """The waiting job that has a place now.  Paused jobs hold none."""
        active = [record for record in running if not record.paused.is_set()]
        line = self.line(waiting, active)
        if not line:
            return None
        is_new = all(record.share != line[0].share for record in active)
        return line[0] if len(active) < (MAX_SHARES if is_new else MAX_RUNNING) else None

    def begin(self, share: str, running: Sequence[Record]) -> None:
        """A job of that share starts beside those running."""
        others = {record.share for record in running}
        if not others:
            self._spent.clear()
        elif share not in others:
            least = min(self._spent.get(other, 0.0) for other in others)
            self._spent[share] = max(self._spent.get(share, 0.0), least)
