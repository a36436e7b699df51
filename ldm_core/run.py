"""A job while it runs: its pictures, each a sampling coroutine that waits for an answer."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ldm_core.errors import NotFinite
from ldm_core.events import Picture, Pixels, Step
from ldm_core.job import Job, Pace
from ldm_core.model import LatentDiffusion
from ldm_core.parameterization import Prediction
from ldm_core.preview import PreviewMap
from ldm_core.request import Request, single
from ldm_core.samplers import Ask
from ldm_core.tasks import Conditioning, Work

PREVIEW_SECONDS = 1 / 15  # between two previews of one picture; a screen hardly shows more


@dataclass(slots=True, eq=False)
class Measured:
    """What the engine found out about a model that is loaded."""

    preview: PreviewMap
    decode_seconds_per_pixel: float = 0.0


class Image:
    """One picture of a running job.

    Attributes:
        ask: what its sampler waits for.
        done: steps done.
        z: (1, c, h, w), the finished latent; None before.
    """

    def __init__(self, run: Run, index: int) -> None:
        self.run = run
        self.index = index
        self.request: Request = single(run.job.request, index)
        start = run.work.start(self.request)
        self._sampling = start.sampling
        self._previewed = 0.0
        self.num_steps = start.num_steps
        self.done = 0
        self.ask: Ask = next(self._sampling)
        self._stood: Ask = self.ask  # the first ask of this step
        self.z: Tensor | None = None

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for pictures that can share a network call."""
        return self.run.model, self.ask.x.shape, self.conditioning.condition.shape

    @property
    def conditioning(self) -> Conditioning:
        """What the network is given for the present ask."""
        return self.run.work.conditioning.at(self.ask.step, self.num_steps, self.ask.region)

    def send(self, predicted: Prediction) -> bool:
        """Gives the sampler its answer; True where that completed a step.

        Raises:
            NotFinite: the answer holds NaN or infinity.
        """
        if not bool(torch.isfinite(predicted.x0).all()):
            raise NotFinite(
                f"The network produced NaN or infinity at step {self.ask.step + 1} of {self.num_steps}. "
                "Set ATELIER_DTYPE=float32; if that does not help, the model's file is damaged."
            )
        stood = self._stood
        try:
            self.ask = self._sampling.send(predicted)
        except StopIteration as stop:
            z: Tensor = stop.value
            self.z = z
        if self.z is None and self.ask.step == stood.step:
            return False  # the sampler asks more than once for this step
        self._stood = self.ask
        self.done = stood.step + 1
        if stood.region is None:  # a tile is not where the picture stood
            self.run.job.keep(self.index, stood.step, self.num_steps, stood.t, stood.x)
        if self.z is not None:
            self.run.job.keep(self.index, self.num_steps, self.num_steps, -1, self.z)
        return True

    def preview(self) -> Pixels | None:
        """A quick look at x_0 as predicted now; None where the last one is still fresh."""
        now = time.monotonic()
        pred_x0 = self.z if self.z is not None else self.ask.pred_x0
        if pred_x0 is None or (self.z is None and now - self._previewed < PREVIEW_SECONDS):
            return None
        self._previewed = now
        return self.run.measured.preview(pred_x0[0])


class Run:
    """A running job.

    Attributes:
        images: begun and not decoded yet, the earliest first.
    """

    def __init__(
        self, job: Job, work: Work, model: LatentDiffusion, measured: Measured, began: float
    ) -> None:
        self.job = job
        self.work = work
        self.model = model
        self.measured = measured
        self.began = began
        self.images: list[Image] = []
        self._num_begun = 0
        self._num_done = 0
        self._num_pixels = math.prod(job.request.size)
        self._pace = Pace(measured.decode_seconds_per_pixel * self._num_pixels)

    @property
    def is_done(self) -> bool:
        return self._num_done == self.job.request.batch_size

    def active(self, limit: int) -> Sequence[Image]:
        """Up to `limit` pictures to work on now; begins new ones where there is room."""
        while len(self.images) < limit and self._num_begun < self.job.request.batch_size:
            self.images.append(Image(self, self._num_begun))
            self._num_begun += 1
        return self.images[:limit]

    def advance(self, answered: Sequence[tuple[Image, Prediction]]) -> None:
        """Sends answers to the pictures and tells of the steps they completed."""
        stepped = [image for image, predicted in answered if image.send(predicted)]
        if stepped:
            self._pace.stepped(len(stepped))
        num_images = self.job.request.batch_size
        for image in stepped:
            left = self._seconds_left(image.num_steps)
            self.job.tell(Step(image.index, num_images, image.done, image.num_steps, left, image.preview()))

    def decode_finished(self) -> None:
        """Turns finished latents into pictures and tells of them, unless the job was stopped."""
        for image in [image for image in self.images if image.z is not None]:
            if self.job.cancelled or image.z is None:
                return
            began = time.monotonic()
            pixels = self.work.finish(image.z)
            seconds = time.monotonic() - began
            self.images.remove(image)
            self._num_done += 1
            self._pace.decoded(seconds)
            self.measured.decode_seconds_per_pixel = seconds / self._num_pixels
            if not self.job.cancelled:
                self.job.tell(Picture(image.index, pixels, image.request))

    def _seconds_left(self, num_steps: int) -> float:
        pictures = self.job.request.batch_size - self._num_done
        steps = pictures * num_steps - sum(image.done for image in self.images)
        return self._pace.seconds_left(steps, pictures)
