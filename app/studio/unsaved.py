"""Pictures that could not be saved, as the disk was full or the folder gone: kept until they can be."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.studio.frames import Finished
from ldm_core.engine.events import PictureDone
from ldm_core.errors import FileError

AGAIN_SECONDS = 10.0  # between two tries
KEPT_BYTES = 1_000_000_000  # of their files; beyond, the oldest are given up

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A picture, whose it is, and what its history needs."""

    owner: str
    picture: Finished
    event: PictureDone


class Unsaved:
    """Tries again, in a thread of its own, as long as there is something to save.

    Args:
        save: saves one and tells its person.
    """

    def __init__(self, save: Callable[[Held], None]) -> None:
        self._save = save
        self._lock = threading.Lock()
        self._waiting: list[Held] = []
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def add(self, held: Held) -> None:
        with self._lock:
            self._waiting.append(held)
            while sum(len(one.picture.png) for one in self._waiting) > KEPT_BYTES and len(self._waiting) > 1:
                log.error("a picture that could not be saved was given up: too many wait")
                del self._waiting[0]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="unsaved", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Tries once more."""
        self._closed.set()
        self.again()

    def again(self) -> None:
        """Tries now; what cannot be saved waits on."""
        with self._lock:
            for held in list(self._waiting):
                try:
                    self._save(held)
                except FileError:
                    return
                except Exception:
                    log.exception("a picture that could not be saved before cannot be saved now")
                    return
                self._waiting.remove(held)

    def _work(self) -> None:
        while not self._closed.wait(AGAIN_SECONDS):
            self.again()
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
