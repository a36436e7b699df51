"""A job while it runs: its pictures, each a sampling coroutine that waits for an answer."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ldm_core.diffusion.parameterization import Prediction
from ldm_core.diffusion.samplers import Ask
from ldm_core.engine.events import PictureDone, Step, Tiles
from ldm_core.engine.pace import Pace
from ldm_core.engine.record import PictureRecord, Record
from ldm_core.errors import NotFinite
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.network.preview import PreviewMap
from ldm_core.request import Request, branched, lineage, single
from ldm_core.request.raster import Pixels
from ldm_core.tasks import Conditioning, Finishing, Moment, Work

Making = tuple[LatentDiffusion, Work]  # of one request

PREVIEW_SECONDS = 1 / 15  # between two previews of one picture; a screen hardly shows more
TILES_SECONDS = 0.25  # between two events that tell of tiles alone


@dataclass(slots=True, eq=False)
class Measured:
    """What the engine found out about a model that is loaded."""

    preview: PreviewMap
    decode_seconds_per_pixel: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Some of a picture's steps: from a branch on, by one request."""

    request: Request  # of the one picture
    model: LatentDiffusion
    work: Work

    @property
    def first(self) -> int:
        return 0 if self.request.branch is None else self.request.branch.step


class Image:
    """One picture of a running job.

    Args:
        record: what readers know of it; every change goes there too.
        segments: what makes it, one after the other.
        moment: where the first of them begins, None: from noise.

    Attributes:
        ask: what its sampler waits for.
        z: (1, c, h, w), the finished latent; None before.
        decoded: the share of it that is turned into pixels.
    """

    ask: Ask

    def __init__(
        self, run: Run, index: int, record: PictureRecord, segments: Sequence[Segment], moment: Moment | None
    ) -> None:
        self.run = run
        self.index = index
        self.record = record
        record.state = "running"
        self._segments = deque(segments)
        self._previewed_at = 0.0
        self._tiles_shown_at = time.monotonic()
        self._earlier_steps = 0  # of works that this one follows
        self.z: Tensor | None = None
        self.decoded = 0.0
        self.decoding_seconds = 0.0
        self._finishing: Finishing | None = None
        self._begin(moment)

    def _begin(self, moment: Moment | None) -> None:
        """Begins the first of its segments."""
        segment = self._segments[0]
        start = segment.work.start(segment.request, moment)
        self._sampling = start.sampling
        self._num_steps = start.num_steps
        self._later_steps = start.later_steps
        self._done = segment.first
        self.ask = next(self._sampling)
        self._first_ask = self.ask  # of this step
        self._pred_x0 = None if moment is None or moment.pred_x0 is None else moment.pred_x0.to(self.ask.x)

    @property
    def work(self) -> Work:
        """What finishes it."""
        return self._segments[-1].work

    @property
    def num_steps(self) -> int:
        return self._earlier_steps + self._num_steps + self._later_steps

    @property
    def done(self) -> int:
        """Steps done."""
        return self._earlier_steps + self._done

    @property
    def progress(self) -> float:
        """Steps done, and the share of the one under way."""
        return self.done + (self.ask.share if self.z is None else 0.0)

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for pictures that can share a network call."""
        return self.model, self.ask.x.shape, self.conditioning.shape

    @property
    def model(self) -> LatentDiffusion:
        """What answers the present ask: another one where a branch changes adapters."""
        return self._segments[0].model

    @property
    def conditioning(self) -> Conditioning:
        """What the network is given for the present ask."""
        return self._segments[0].work.conditioning.at(self.ask.step, self._num_steps, self.ask.region)

    def send(self, predicted: Prediction) -> bool:
        """Gives the sampler its answer; True where that completed a step.

        Raises:
            NotFinite: the answer holds NaN or infinity.
        """
        if not bool(torch.isfinite(predicted.x0).all()):
            raise NotFinite(
                f"The network produced NaN or infinity at step {self.ask.step + 1} of {self._num_steps}: "
                "the model's file is damaged, or an adapter is too strong. Choose another model or a lower "
                "strength."
            )
        first = self._first_ask
        try:
            self.ask = self._sampling.send(predicted)
        except StopIteration as stop:
            z: Tensor = stop.value
            self.z = z
        if self.z is None and self.ask.step == first.step:
            return False  # the sampler asks more than once for this step
        self._keep(self._moment())
        self._first_ask = self.ask
        self._pred_x0 = self.ask.pred_x0 if self.z is None else self.z
        self._done = first.step + 1
        if self.z is not None:
            z = _half(self.z)
            self._keep(Moment(self._num_steps, -1, z, z))
        else:
            self._follow_branches()
        return True

    def _keep(self, moment: Moment) -> None:
        """Of a picture made by several works the last one's steps are kept, counted from the first one's."""
        if not self._later_steps:
            moment = replace(moment, step=self._earlier_steps + moment.step)
            self.run.record.keep(self.index, self.num_steps, moment)

    def _follow_branches(self) -> None:
        """Goes on with the next segment where the picture is at its first step."""
        while len(self._segments) > 1 and self._segments[1].first == self._first_ask.step:
            moment = self._moment()
            self._segments.popleft()
            self._begin(moment)

    def _moment(self) -> Moment:
        """Its state at the first ask of the present step."""
        first = self._first_ask
        x = first.x if first.whole is None else first.whole
        pred_x0 = None if self._pred_x0 is None else _half(self._pred_x0)
        return Moment(first.step, first.t, _half(x), pred_x0)

    def change(self, request: Request, model: LatentDiffusion, work: Work) -> None:
        """Goes on by another request, for this one picture, from its present step."""
        step = self._first_ask.step
        moment = self._moment() if step else None
        request = branched(request, step, self._segments[0].request)
        self._segments = deque([Segment(request, model, work)])
        self._begin(moment)
        self.record.request = request

    def finish_by(self, model: LatentDiffusion, work: Work) -> None:
        """Decodes, anew where that had begun, by another plan of its model."""
        for pixels in self.record.passes:
            work = work.then(pixels) or work
        self._segments[-1] = replace(self._segments[-1], model=model, work=work)
        self._finishing, self.decoded = None, 0.0

    def finish(self) -> Pixels | None:
        """Goes on to turn the finished latent into pixels; None while more is to do."""
        began = time.monotonic()
        if self._finishing is None:
            if self.z is None:
                return None
            self._finishing = self.work.finish(self.z)
        try:
            self.decoded = next(self._finishing)
        except StopIteration as done:
            pixels: Pixels = done.value
            work = self.work.then(pixels)
            if work is None:
                self.record.state = "finished"
                return pixels
            self._go_on(work, pixels)
        finally:
            self.decoding_seconds += time.monotonic() - began
        return None

    def _go_on(self, work: Work, pixels: Pixels) -> None:
        """Begins a work that follows the finished one, from its pixels."""
        self._earlier_steps += self._num_steps
        self._segments = deque([Segment(self.record.request, self.model, work)])
        self.z, self._finishing, self.decoded = None, None, 0.0
        self.record.passes.append(pixels)
        self.run.record.preview = self.run.measured.preview, work.shown
        self._begin(None)

    def tells_of_tiles(self) -> bool:
        """Whether it is time to, as some are done since the last step."""
        now = time.monotonic()
        due = now - self._tiles_shown_at >= TILES_SECONDS and (self.decoded > 0 or self.progress > self.done)
        if due:
            self._tiles_shown_at = now
        return due

    def preview(self) -> Pixels | None:
        """A quick look at x_0 as predicted now; None where the last one is still fresh."""
        now = time.monotonic()
        if self._pred_x0 is None or (self.z is None and now - self._previewed_at < PREVIEW_SECONDS):
            return None
        self._previewed_at = now
        return self.run.measured.preview(self._pred_x0[0], self.work.shown)


def _half(x: Tensor) -> Tensor:
    return x.detach().to("cpu", torch.float16, copy=True)


class Run:
    """A running job.

    Args:
        works: of the requests that make a picture one after the other (`request.lineage`) from its
            beginning.
        steered: the same of pictures that have others (`Record.steered`).

    Attributes:
        images: begun and not decoded yet, the earliest first.
    """

    def __init__(
        self,
        record: Record,
        works: Sequence[Making],
        steered: Mapping[int, Sequence[Making]],
        measured: Measured,
        began: float,
    ) -> None:
        self.record = record
        self._works = list(works)
        self._steered = {index: list(works) for index, works in steered.items()}
        self.measured = measured
        self.began = began
        self.images: list[Image] = []
        self._num_pixels = math.prod(record.request.size)
        self._pace = Pace(measured.decode_seconds_per_pixel * self._num_pixels)
        record.preview = measured.preview, self.work.shown

    @property
    def model(self) -> LatentDiffusion:
        """Of the newest of its requests."""
        return self._works[-1][0]

    @property
    def work(self) -> Work:
        """What finishes its pictures."""
        return self._works[-1][1]

    def change(self, request: Request, model: LatentDiffusion, work: Work) -> None:
        """Makes what is not finished yet by another request."""
        self.record.replace(request)
        self._end_by(model, work)
        for image in self.images:
            image.change(single(request, image.index), model, work)

    def finish_by(self, model: LatentDiffusion, work: Work) -> None:
        """Decodes what is not finished yet by another plan of its model."""
        self._end_by(model, work)
        for image in self.images:
            image.finish_by(model, work)

    def _end_by(self, model: LatentDiffusion, work: Work) -> None:
        """Pictures that are still to begin end in this."""
        for works in (self._works, *self._steered.values()):
            works[-1] = model, work

    @property
    def is_done(self) -> bool:
        return self._num_left == 0

    @property
    def _num_left(self) -> int:
        return sum(picture.state != "finished" for picture in self.record.pictures)

    def active(self, limit: int) -> Sequence[Image]:
        """Up to `limit` pictures to work on now; begins new ones where there is room."""
        for index, picture in enumerate(self.record.pictures):
            if len(self.images) < limit and picture.state == "waiting":
                requests = lineage(picture.request, self.record.first)
                works = self._steered.get(index, self._works)
                segments = [Segment(request, *work) for request, work in zip(requests, works, strict=True)]
                self.images.append(Image(self, index, picture, segments, self.record.origin))
        return [image for image in self.images[:limit] if image.z is None]

    def advance(self, answered: Sequence[tuple[Image, Prediction]]) -> None:
        """Sends answers to the pictures and tells of the steps they completed."""
        before = sum(image.progress for image, _ in answered)
        stepped = [image for image, predicted in answered if image.send(predicted)]
        made = sum(image.progress for image, _ in answered) - before
        if made > 0:
            self._pace.stepped(made)
        num_images = self.record.request.batch_size
        for image in stepped:
            left = self._seconds_left()
            self.record.tell(
                Step(image.index, num_images, image.done, image.num_steps, left, image.preview())
            )
        for image in self.images:
            if image not in stepped and image.tells_of_tiles():
                self._tell_of_tiles(image)

    def _tell_of_tiles(self, image: Image) -> None:
        left = self._seconds_left()
        share = image.decoded or image.progress - image.done
        num_images = self.record.request.batch_size
        self.record.tell(Tiles(image.index, num_images, image.done, image.num_steps, share, left))

    def decode_finished(self) -> None:
        """Turns finished latents into pictures, large ones a tile at a time, unless the job was stopped."""
        for image in [image for image in self.images if image.z is not None]:
            if self.record.cancelled.is_set():
                return
            pixels = image.finish()
            if pixels is None:
                continue
            self.images.remove(image)
            self._pace.decoded(image.decoding_seconds)
            self.measured.decode_seconds_per_pixel = image.decoding_seconds / self._num_pixels
            if not self.record.cancelled.is_set():
                self.record.tell(PictureDone(image.index, pixels, image.record.request))

    @property
    def steps_left(self) -> float:
        """Of all pictures that are not finished; in any thread."""
        request = self.record.request
        images = tuple(self.images)  # the worker goes on meanwhile
        num_steps = images[0].num_steps if images else request.num_steps(request.steps)
        return self._num_left * num_steps - sum(image.progress for image in images)

    def _seconds_left(self) -> float:
        decodes = self._num_left - sum(image.decoded for image in self.images)
        return self._pace.seconds_left(self.steps_left, decodes)
