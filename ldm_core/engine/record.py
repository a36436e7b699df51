"""All that is known of a job and of its pictures.  The engine alone writes it; a `Job` reads it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ldm_core.diffusion.samplers import Region
from ldm_core.engine.events import Event, is_last
from ldm_core.network.preview import PreviewMap
from ldm_core.request import Request, lineage, planned, single
from ldm_core.request.raster import Pixels
from ldm_core.tasks.base import Moment

TRAJECTORY_BYTES = 512 * 2**20


@dataclass(slots=True, eq=False)
class PictureRecord:
    """One picture of a job.

    Attributes:
        request: what makes it alone, as it stands now.
        trajectory: its moments so far.
        passes: the pixels of its passes before the last one; each goes on from the one before.
    """

    request: Request
    trajectory: list[Moment]
    passes: list[Pixels] = field(default_factory=list)
    state: Literal["waiting", "running", "finished"] = "waiting"


class Record:
    """A job.  Readers are in any thread: what changes is replaced or appended to, or guarded by `changed`.

    Args:
        before: how the pictures came to where they begin, the last moment being that; empty: from noise.
        share: of the engine's turns from which it is given.

    Attributes:
        id: not to be guessed: whoever knows it may watch and stop the job.
        origin: the moment at which the pictures begin; None: from noise.
        log: every event so far.
        position: how many jobs start before it, as last sent.
        change: what it is to go on with, where that was asked for and not done yet.
        preview: how a latent of its model is shown, and which part of it; None before the model is loaded.
    """

    def __init__(self, request: Request, owner: str, before: Sequence[Moment] = (), share: str = "") -> None:
        self.id = secrets.token_urlsafe(16)
        self.request = request
        self.owner = owner
        self.share = share
        self.position: int | None = None
        self.origin: Moment | None = before[-1] if before else None
        self.pictures = [
            PictureRecord(single(request, i), list(before[:-1])) for i in range(request.batch_size)
        ]
        self.change: Request | None = None
        self.preview: tuple[PreviewMap, Region] | None = None
        self.log: list[Event] = []
        self.changed = threading.Condition()
        self.cancelled = threading.Event()
        self.paused = threading.Event()

    @property
    def first(self) -> int:
        """The step at which its pictures begin."""
        return 0 if self.origin is None else self.origin.step

    @property
    def steered(self) -> dict[int, tuple[Request, ...]]:
        """What makes each unfinished picture, from its beginning on, that a change came to on its way."""
        return {
            index: lineage(picture.request, self.first)
            for index, picture in enumerate(self.pictures)
            if picture.state != "finished" and picture.request.branch != self.request.branch
        }

    @property
    def ended(self) -> bool:
        """Whether its last event was sent."""
        with self.changed:
            return bool(self.log) and is_last(self.log[-1])

    def tell(self, event: Event) -> None:
        """Adds an event, unless the job has ended."""
        with self.changed:
            if not self.log or not is_last(self.log[-1]):
                self.log.append(event)
                self.changed.notify_all()

    def replace(self, request: Request) -> None:
        """It and the pictures that wait are made by another request."""
        self.request = request
        for index, picture in enumerate(self.pictures):
            if picture.state == "waiting":
                # One that was steered, and is made anew, has its own branch.
                picture.request = replace(single(request, index), branch=picture.request.branch)

    def by_plan(self, plan: tuple[str, ...]) -> None:
        """Its unfinished pictures are decoded by a plan."""
        self.request = planned(self.request, plan, self.first)
        for picture in self.pictures:
            if picture.state != "finished":
                picture.request = planned(picture.request, plan, self.first)

    def anew(self, plan: tuple[str, ...]) -> None:
        """Its unfinished pictures are made from their beginning, by a plan."""
        self.by_plan(plan)
        for index, picture in enumerate(self.pictures):
            if picture.state != "finished":
                before = [moment for moment in picture.trajectory if moment.step < self.first]
                self.pictures[index] = PictureRecord(picture.request, before)

    def keep(self, index: int, num_steps: int, moment: Moment) -> None:
        """Adds a moment to a picture's trajectory; every second, third ... one where all are too many."""
        all_bytes = 2 * 2 * moment.x.numel() * num_steps * self.request.batch_size
        stride = -(-all_bytes // TRAJECTORY_BYTES)
        if moment.step % stride == 0 or moment.step == num_steps:
            self.pictures[index].trajectory.append(moment)
