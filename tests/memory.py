"""How much memory this process takes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

import pytest

STATM = Path("/proc/self/statm")


def resident() -> int:
    """Bytes of this process."""
    return int(STATM.read_text().split()[1]) * 4096


class Peak:
    """Watches what is taken beyond what was there, while it is entered; `bytes` is the most so far."""

    def __init__(self) -> None:
        if not STATM.exists():
            pytest.skip("only Linux tells how much memory a process has")
        self.bytes = 0
        self._before = resident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._ended.is_set():
            self.bytes = max(self.bytes, resident() - self._before)
            time.sleep(0.005)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
