"""How much of the studio each guest may use at a time; the owner uses what there is.

Guests are counted by shares: those who came by one account, or from one address, are one.  Work is counted in
steps of a picture of 512 x 512, so that a large picture costs what it takes.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

from app.keeping.library import OWNER
from ldm_core.errors import QueueFull
from ldm_core.request import Remove, Request
from ldm_core.request.raster import Raster

KNOWN = 10_000  # persons of whom it is remembered which share they are of
AT_ONCE = 4  # calls of programs of one share that are made at a time
REMOVING = 5  # steps that filling a hole without a model counts as


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one share may use at a time.

    Attributes:
        jobs: that wait or run.
        work: of all of them, in steps at 512 x 512.
        pixels: of the pictures given with them.
        events: of the page and of programs, that wait or are answered.
        requests: a minute; a third as many may come at once.
        upload_bytes, upload_files: that are at hand.
    """

    jobs: float
    work: float
    pixels: float
    events: float
    requests: float
    upload_bytes: float
    upload_files: float


GUEST = Allowance(
    jobs=40,
    work=12_000,
    pixels=256e6,
    events=48,
    requests=1800,
    upload_bytes=512 * 2**20,
    upload_files=300,
)
UNLIMITED = Allowance(**{field.name: math.inf for field in fields(Allowance)})
# Of all guests together, so that there is room for the owner.
ALL_GUESTS = replace(UNLIMITED, jobs=400, events=1000, upload_bytes=8 * 2**30)

Work = tuple[str, Sequence[Request]]  # a person, and what is made for them


class Limits:
    """Who is of which share, and whether there is room for more of theirs.

    Args:
        waiting: all jobs of the queue that wait or run.
        guest: what each share of guests may use.
        clock: tells seconds.
    """

    def __init__(
        self,
        waiting: Callable[[], Iterable[Work]] = tuple,
        guest: Allowance = GUEST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.guest = guest
        self._waiting = waiting
        self._clock = clock
        self._shares: OrderedDict[str, str] = OrderedDict()
        self._calls: list[Work] = []  # of programs, beside the queue
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._spent: dict[str, tuple[float, float]] = {}  # requests that count still, and when that was so

    def meet(self, person: str, share: str) -> None:
        """Somebody came, who counts with that share from now on."""
        self._shares[person] = share
        self._shares.move_to_end(person)
        if len(self._shares) > KNOWN:
            self._shares.popitem(last=False)

    def share_of(self, person: str) -> str:
        return self._shares.get(person, person)

    def allowance(self, share: str) -> Allowance:
        return UNLIMITED if share == OWNER else self.guest

    def require(self, person: str, requests: Sequence[Request]) -> None:
        """Whether one more job of a person may wait.

        Raises:
            QueueFull: it may not; the sentence says what is too much.
        """
        share = self.share_of(person)
        allowed = self.allowance(share)
        if share == OWNER:
            return
        jobs = [work for work in (*self._waiting(), *self._calls) if self.share_of(work[0]) != OWNER]
        own = [made for who, made in jobs if self.share_of(who) == share]
        if len(own) >= allowed.jobs:
            raise QueueFull(f"{len(own)} of your jobs wait already; wait until some are made.")
        if len(jobs) >= ALL_GUESTS.jobs:
            raise QueueFull("Very many are at work here just now; try again in a few minutes.")
        all_own = [request for made in (*own, requests) for request in made]
        if sum(map(work_of, all_own)) > allowed.work:
            raise QueueFull(
                "That is more work than one guest may have waiting here; ask for fewer steps, a smaller "
                "picture or fewer pictures, or wait until your other jobs are made."
            )
        if sum(map(pixels_of, all_own)) > allowed.pixels:
            raise QueueFull(
                "The pictures given with your jobs are too large for all of them to wait; "
                "wait until some are made."
            )

    @contextmanager
    def calling(self, person: str, requests: Sequence[Request]) -> Iterator[None]:
        """A call of a program, which counts as a job until its work has ended.

        Raises:
            QueueFull: as `require`.
        """
        self.require(person, requests)
        work: Work = (person, requests)
        self._calls.append(work)
        try:
            yield
        finally:
            self._calls.remove(work)

    @property
    def calls(self) -> int:
        """Calls of programs that wait or are made."""
        return len(self._calls)

    def turn(self, person: str) -> asyncio.Semaphore:
        """To be held while a call is made."""
        return self._turns.setdefault(self.share_of(person), asyncio.Semaphore(AT_ONCE))

    def may_ask(self, share: str) -> float:
        """Counts a request; seconds until the next one is answered, 0 where this one is."""
        rate = self.allowance(share).requests / 60
        if math.isinf(rate):
            return 0.0
        now = self._clock()
        count, at = self._spent.get(share, (0.0, now))
        count = max(0.0, count - (now - at) * rate)
        if count >= rate * 20:
            return (count - rate * 20 + 1) / rate
        if len(self._spent) > KNOWN:
            self._spent.clear()
        self._spent[share] = count + 1, now
        return 0.0


def work_of(request: Request) -> float:
    """Steps of a picture of 512 x 512 that it takes."""
    width, height = request.size
    steps = REMOVING if isinstance(request, Remove) else request.steps
    return steps * request.batch_size * width * height / 512**2


def pixels_of(request: Request) -> int:
    """Of the pictures that are given with it."""
    given = [getattr(request, field.name) for field in fields(request)]
    return sum(one.width * one.height for one in given if isinstance(one, Raster))
