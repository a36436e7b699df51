"""The steps of the pictures that were made last: to look back at, and to save as an animation.

The engine keeps them with its jobs; here is which jobs are kept, and what is shown of them.
"""

from __future__ import annotations

import io
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from app.studio.frames import jpeg_of, resized
from ldm_core.errors import EngineError
from ldm_core.request.raster import Pixels

if TYPE_CHECKING:
    from ldm_core.engine.engine import Engine, Job

KEPT_BYTES = 512 * 2**20  # of the steps of ended jobs, all persons together
KEPT_JOBS = 200  # small ones take more than their bytes, each as a job
SHOWN = 64  # steps of which previews are sent and an animation is made, at most
PREVIEW_SIDE = 192  # pixels
LOOK_SIDE = 2048
ANIMATION_SIDE = 512
DECODED_PIXELS = 2**22  # up to so many an animation is decoded, beyond its frames are previews
FRAME_MS, LAST_MS = 90, 2000
CODECS = ("vp09", "avc1")  # of an MP4, the first that OpenCV can encode here

Film = Literal["webp", "mp4"]


class Timelines:
    """The newest jobs, as many as fit into a budget; the newest of all is always there.

    Args:
        engine: gives the engine that made them, once it is up.
    """

    def __init__(self, engine: Callable[[], Engine], budget: int = KEPT_BYTES) -> None:
        self._engine = engine
        self._budget = budget
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def keep(self, job: Job) -> None:
        """Keeps a job as the newest, and no more of the oldest than fit."""
        with self._lock:
            self._jobs[job.id] = job
            self._jobs.move_to_end(job.id)
            total = sum(job.nbytes for job in self._jobs.values())
            while (total > self._budget or len(self._jobs) > KEPT_JOBS) and len(self._jobs) > 1:
                _, oldest = self._jobs.popitem(last=False)
                total -= oldest.nbytes

    def forget(self, owner: str) -> None:
        """Drops the jobs of a person."""
        with self._lock:
            for job in [job for job in self._jobs.values() if job.owner == owner]:
                del self._jobs[job.id]

    def find(self, key: str, owner: str) -> tuple[Job, int]:
        """The job that makes a person's picture, and the picture's index in it.

        Raises:
            EngineError: it is not kept any more, or is another person's.
        """
        id, _, image = key.rpartition(":")
        with self._lock:
            job = self._jobs.get(id)
        if job is None or job.owner != owner or not image.isdecimal() or int(image) >= job.request.batch_size:
            raise EngineError("The steps of this picture are no longer at hand; make it again to see them.")
        return job, int(image)

    def previews(self, key: str, owner: str) -> list[tuple[int, bytes]]:
        """Step and JPEG of a picture's steps so far, at even distances where there are many.

        Raises:
            EngineError: as `find`.
        """
        job, image = self.find(key, owner)
        request = job.request_of(image)
        return [(step, jpeg_of(seen, request, PREVIEW_SIDE)) for step, seen in _thinned(job.previews(image))]

    def look(self, key: str, owner: str, step: int) -> tuple[int, bytes]:
        """JPEG of the picture as it was predicted before a step, decoded; of the nearest step that was kept.

        Raises:
            EngineError: as `find` and `Engine.look`.
        """
        job, image = self.find(key, owner)
        kept = [moment.step for moment in job.trajectory(image)]
        step = max((before for before in kept if before <= step), default=next(iter(kept), step))
        seen = resized(self._engine().look(job, image, step), job.request_of(image), LOOK_SIDE)
        file = io.BytesIO()
        seen.save(file, "JPEG", quality=95, subsampling=0)
        return step, file.getvalue()

    def animation(self, key: str, owner: str, kind: Film = "webp") -> tuple[str, bytes]:
        """File name and film of a picture's steps, its last one decoded.

        Raises:
            EngineError: as `look`, there is no step yet, or no encoder.
        """
        job, image = self.find(key, owner)
        request = job.request_of(image)
        moments = _thinned(job.previews(image))
        if not moments:
            raise EngineError("There is no step yet to save; wait for the first.")
        width, height = request.size
        decoded = width * height * len(moments) <= DECODED_PIXELS
        frames = [
            self._engine().look(job, image, step) if decoded or step == moments[-1][0] else seen
            for step, seen in moments
        ]
        shown = [resized(frame, request, ANIMATION_SIDE) for frame in frames]
        return f"steps-{request.seed}.{kind}", (_mp4 if kind == "mp4" else _webp)(shown)


def key_of(job: Job, image: int) -> str:
    """What finds a picture's steps; not to be guessed."""
    return f"{job.id}:{image}"


def _thinned(moments: list[tuple[int, Pixels]]) -> list[tuple[int, Pixels]]:
    """At most `SHOWN` of them, the first and the last among them."""
    last = len(moments) - 1
    if last < SHOWN:
        return moments
    return [moments[round(i * last / (SHOWN - 1))] for i in range(SHOWN)]


def _webp(frames: Sequence[Image.Image]) -> bytes:
    file, (first, *others) = io.BytesIO(), frames
    durations = [*(FRAME_MS for _ in others), LAST_MS]
    first.save(
        file, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=80, method=3
    )
    return file.getvalue()


def _mp4(frames: Sequence[Image.Image]) -> bytes:
    """The last frame stands as long as in the WebP; sides are even, as the encoder wants them."""
    import cv2  # takes a while, which the page must not wait for

    width, height = (side - side % 2 for side in frames[0].size)
    held = [frames[-1]] * (LAST_MS // FRAME_MS - 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "steps.mp4")
        for codec in CODECS:
            film = cv2.VideoWriter(
                str(path), cv2.VideoWriter.fourcc(*codec), 1000 / FRAME_MS, (width, height)
            )
            if film.isOpened():
                break
        else:
            raise EngineError("OpenCV has no encoder for films on this computer; save the steps as WebP.")
        for frame in (*frames, *held):
            film.write(np.asarray(frame.convert("RGB"))[:height, :width, ::-1])
        film.release()
        return path.read_bytes()
