"""How fast a password can be tried.

Wrong ones are counted by address, by account, and by device: a browser that got in once has a cookie that
says so, and is not kept waiting for what others do.  After some wrong ones the next is answered only after
a time that doubles with each.  Where many people share an address that this program is told, as behind a
tunnel, nobody is refused there: the answer comes later instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FREE = 5  # wrong ones before one has to wait
FREE_OF_ACCOUNT = 50  # of all addresses together
MOST_SECONDS = 15 * 60.0
MOST_DELAY = 5.0  # seconds that an answer comes later
FORGET_SECONDS = 3600.0
KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Trier:
    """Who tries a password.

    Attributes:
        address: from which it comes.
        account: for which it is.
        device: that has entered that account before; None where it has not.
        is_hidden: whether others have the same address.
    """

    address: str
    account: str
    device: str | None = None
    is_hidden: bool = False


class Throttle:
    """Counts wrong passwords.

    Args:
        clock: tells seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}  # how many, and when the last one was

    def refused_for(self, trier: Trier) -> float:
        """Seconds until this one may try again; 0 where it may now."""
        if trier.device is not None or trier.is_hidden:
            return 0.0
        return self._wait(f"address {trier.address}", FREE, MOST_SECONDS)

    def delay(self, trier: Trier) -> float:
        """Seconds by which the answer comes later."""
        if trier.device is not None:
            return self._wait(f"device {trier.device}", FREE, MOST_DELAY)
        of_account = self._wait(f"account {trier.account}", FREE_OF_ACCOUNT, MOST_DELAY)
        of_address = self._wait(f"address {trier.address}", FREE, MOST_DELAY) if trier.is_hidden else 0.0
        return max(of_account, of_address)

    def wrong(self, trier: Trier) -> None:
        """Notes a wrong password."""
        if trier.device is not None:
            keys = [f"device {trier.device}"]
        else:
            keys = [f"address {trier.address}", f"account {trier.account}"]
        now = self._clock()
        if len(self._wrong) > KEPT:
            self._wrong = {key: value for key, value in self._wrong.items() if now - value[1] < MOST_SECONDS}
        for key in keys:
            self._wrong[key] = self._count(key) + 1, now

    def right(self, trier: Trier) -> None:
        """Notes that the password was right.  An address is not forgiven: whoever has one account could try
        those of others between."""
        self._wrong.pop(f"device {trier.device}", None)

    def _count(self, key: str) -> int:
        count, at = self._wrong.get(key, (0, 0.0))
        return count if self._clock() - at < FORGET_SECONDS else 0

    def _wait(self, key: str, free: int, most: float) -> float:
        count = self._count(key)
        if count < free:
            return 0.0
        until = self._wrong[key][1] + min(60.0 * 2 ** min(count - free, 20), most)
        return max(0.0, until - self._clock())
