"""What a job tells while it runs.  Imports no torch.

The order is: `Queued` (again whenever the place changes), `Started`, `Fetching` where the model lacks
something, then for each picture its `Step`s (and `Tiles` where it is large) and its `PictureDone`, and last
exactly one of `Done`, `Failed`, `Cancelled`.  Steps of a batch may alternate.  After `Again` they count anew.
`Paused` and `Resumed` stand anywhere between; the step under way is still finished after `Paused`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ldm_core.errors import AtelierError
from ldm_core.request import Request
from ldm_core.request.raster import Pixels


@dataclass(frozen=True, slots=True)
class Queued:
    """The job waits; `position` other jobs start before it, in about so many seconds where that is known."""

    position: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The job's turn has come: the model is loaded where it was not, the prompt is read."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """What the model came without is fetched from the hub; `text` says what, and how far that is."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One sampling step of one picture is done."""

    image: int  # index within the batch
    num_images: int
    step: int  # 1..num_steps
    num_steps: int
    seconds_left: float  # until the whole job is done, at the pace of its last steps
    preview: Pixels | None  # of the predicted x_0, at latent size; None where the last one is still fresh


@dataclass(frozen=True, slots=True)
class Tiles:
    """Some tiles of a large picture are done: of the step under way, after the last one of its decoding."""

    image: int  # index within the batch
    num_images: int
    step: int  # steps that are done
    num_steps: int
    share: float  # 0..1, of the step's tiles, or of the decoding
    seconds_left: float  # as in `Step`


@dataclass(frozen=True, slots=True)
class Again:
    """What is not finished is made anew, otherwise than usual; `text` says why."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class PictureDone:
    """One picture is finished.  `request` makes this picture alone."""

    index: int
    pixels: Pixels
    request: Request


@dataclass(frozen=True, slots=True)
class Paused:
    """The job waits for `Job.resume`; others go on."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The job goes on, from here by `request`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Done:
    """All pictures are finished, `seconds` after the job started."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ended with an error; pictures that were finished before stay."""

    error: AtelierError


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job was stopped; pictures that were finished before stay."""


Event = (
    Queued
    | Started
    | Fetching
    | Step
    | Tiles
    | Again
    | PictureDone
    | Paused
    | Resumed
    | Done
    | Failed
    | Cancelled
)


def is_last(event: Event) -> bool:
    """Whether no event follows this one."""
    return isinstance(event, Done | Failed | Cancelled)
