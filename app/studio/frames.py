"""What the page is told of a job while it runs, in pictures and words."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ldm_core.engine.events import Step, Tiles
from ldm_core.errors import AtelierError
from ldm_core.request import Request, reduced
from ldm_core.request.raster import Pixels

PREVIEW_SIDE = 384  # pixels of the longer side of a preview
THUMB_SIDE = 176
SHOWN_SIDE = 4096  # of a finished picture


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing to see yet; `text` says what is going on."""

    text: str


@dataclass(frozen=True, slots=True)
class Steps:
    """How far a picture has come; `key` finds its steps among the studio's timelines."""

    key: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """A step was done.  `preview` is None where the picture shown is still the newest."""

    preview: Pixels | None  # of latent size
    done: float  # of the whole job, 0..1
    text: str
    steps: Steps | None = None  # None of a sketch
    paused: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A finished picture.  `id` is its number in the history, where it is there.

    `path` is None where saving failed, and `problem` says why."""

    id: str
    png: bytes
    name: str  # of the file
    path: Path | None
    problem: str
    thumb: str  # data URI
    request: Request
    steps: Steps | None = None  # None of a sketch, and where none are kept
    copy: bytes | None = None  # a smaller PNG of a picture that is too large to be shown as it is
    batch: str = ""  # id of the job that made it
    url: str = ""  # of the file, relative to the page; empty where it is not in the history


@dataclass(frozen=True, slots=True)
class Ended:
    """The last frame of a job."""

    text: str
    error: AtelierError | None = None  # for which it failed
    finished: bool = False  # all its pictures are made

    @property
    def failed(self) -> bool:
        return self.error is not None


Frame = Waiting | Live | Finished | Ended


def jpeg_of(preview: Pixels, request: Request, side: int = PREVIEW_SIDE) -> bytes:
    """A preview of latent size, enlarged to be looked at."""
    file = io.BytesIO()
    resized(preview, request, side).save(file, "JPEG", quality=72)
    return file.getvalue()


def resized(pixels: Pixels, request: Request, side: int) -> Image.Image:
    """A picture of any size as large as the request's, or so large that its longer side is `side`."""
    shrink = min(1.0, side / max(request.size))
    width, height = (max(1, round(length * shrink)) for length in request.size)
    picture = Image.fromarray(pixels).convert("RGB")  # neither JPEG nor an animation needs transparency
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def copy_of(pixels: Pixels) -> bytes | None:
    """A PNG of at most `SHOWN_SIDE` a side; None of a picture that is not larger."""
    if max(pixels.shape[:2]) <= SHOWN_SIDE:
        return None
    size = reduced((pixels.shape[1], pixels.shape[0]), SHOWN_SIDE)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BOX).save(file, "PNG", compress_level=1)
    return file.getvalue()


def thumb_of(pixels: Pixels) -> str:
    picture = Image.fromarray(pixels).convert("RGB")  # JPEG has no transparency
    picture.thumbnail((THUMB_SIDE, THUMB_SIDE), Image.Resampling.LANCZOS, reducing_gap=4)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def fraction(step: Step | Tiles, finished: int) -> float:
    done = step.step + (step.share if isinstance(step, Tiles) else 0.0)
    return min(1.0, (finished + done / step.num_steps) / step.num_images)


def progress(step: Step | Tiles) -> str:
    which = f"Picture {step.image + 1} of {step.num_images} · " if step.num_images > 1 else ""
    at = f"Step {step.step} of {step.num_steps}"
    if isinstance(step, Tiles):
        part = "Finishing" if step.step == step.num_steps else f"Step {step.step + 1} of {step.num_steps}"
        at = f"{part}, {step.share:.0%}"
    if step.seconds_left < 0.05:  # nobody knows how long the rest takes
        return f"{which}{at if step.step < step.num_steps else 'Turning the latent into a picture'}"
    return f"{which}{at} · {in_words(step.seconds_left)} left"


def held(step: Step | Tiles) -> str:
    return f"Paused at step {step.step} of {step.num_steps}: change what you like, then press Continue"


def place(position: int, seconds: float | None = None) -> str:
    """Where a job stands that waits, and how long that is."""
    ahead = f"Waiting: {position} {'picture is' if position == 1 else 'pictures are'} ahead"
    where = "Next in line" if position == 0 else ahead
    return where if seconds is None else f"{where}, about {in_words(max(1.0, round(seconds)))}"


def in_words(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
