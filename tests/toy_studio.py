"""The studio with an engine that draws nothing, for what does not need pictures: it starts in a moment."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from app.keeping.history import History
from app.keeping.library import OWNER, Library
from app.studio.jobs import Studio
from ldm_core.engine.events import Cancelled, Done, Event, PictureDone, Started
from ldm_core.errors import QueueFull
from ldm_core.library.models import ModelLibrary
from ldm_core.request import Request, TextToImage, single

PICTURE_SECONDS = 0.01


class ToyJob:
    """One picture after the other, all of them grey."""

    def __init__(self, request: Request, owner: str) -> None:
        self.id = uuid.uuid4().hex
        self.request = request
        self.owner = owner
        self.nbytes = 0
        self.paused = False
        self._stopped = threading.Event()

    def cancel(self) -> None:
        self._stopped.set()

    def trajectory(self, _image: int) -> list[object]:
        return []

    def events(self, _timeout: float | None = None) -> Iterator[Event | None]:
        yield Started()
        for index in range(self.request.batch_size):
            if self._stopped.wait(PICTURE_SECONDS):
                yield Cancelled()
                return
            width, height = self.request.size
            pixels = np.full((height, width, 3), 128, np.uint8)
            yield PictureDone(index, pixels, single(self.request, index))
        yield Done(0.1)


class ToyEngine:
    """An engine, as far as the studio asks anything of one."""

    def submit(self, request: Request, owner: str = "") -> ToyJob:
        if request.prompt == "too many":
            raise QueueFull("Too many pictures are waiting.")
        return ToyJob(request, owner)

    def close(self) -> None:
        pass


def toy_studio(folder: Path) -> Studio:
    """Without models; its queue, files and history are real."""
    history = History(folder)
    studio = Studio(ModelLibrary([folder / "models"]), Library(folder), history=history)
    studio._engine = ToyEngine()  # type: ignore[assignment]
    studio.model_hash = lambda _: None  # type: ignore[method-assign]
    studio._making._hash_of = lambda _: None
    studio.jobs.queue.open()
    studio._ready.set()
    return studio


def work(folder: Path, number: int, told: Connection) -> None:
    """Works until it is killed, and tells what became so, after it is so."""
    studio = toy_studio(folder)
    owner = studio.person(OWNER)
    for item in studio.jobs.queue.items(OWNER):
        if item.state == "interrupted":
            told.send(("offered", item.id))
            studio.jobs.again(owner, item.id)
    studio.jobs.go_on(owner)
    told.send(("ready", ""))
    known: set[str] = set()
    seed = 100_000 * number
    while True:
        seed += 10
        if studio.jobs.open(owner) < 4:
            request = TextToImage(prompt="a lake", width=64, height=64, batch_size=3, seed=seed)
            told.send(("added", studio.jobs.add(owner, [request]).id))
        for picture in owner.pictures():
            if picture.path is not None and picture.id not in known:
                known.add(picture.id)
                told.send(("file", picture.path.name))
        time.sleep(0.002)
