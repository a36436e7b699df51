"""A submitted request, for whoever submitted it: what it tells, how it is stopped, what it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, overload

from ldm_core.engine.events import Cancelled, Event, Failed, PictureDone, is_last
from ldm_core.engine.record import Record
from ldm_core.errors import EngineError
from ldm_core.request import Request
from ldm_core.request.raster import Pixels
from ldm_core.tasks.base import Moment

_LONG = 60.0  # seconds to wait before looking again; a wait without end cannot be interrupted on Windows


class Host(Protocol):
    """Who runs jobs, and writes what is known of them."""

    def cancel(self, record: Record) -> None:
        """Ends the job before its next step."""

    def pause(self, record: Record) -> None:
        """Gives the job no more turns."""

    def resume(self, record: Record, request: Request | None) -> None:
        """Gives the job turns again."""


class Job:
    """One request on its way through the engine, to be read.  All methods may be called from any thread."""

    def __init__(self, record: Record, host: Host) -> None:
        self._record = record
        self._host = host

    @property
    def id(self) -> str:
        """Not to be guessed: whoever knows it may watch and stop the job."""
        return self._record.id

    @property
    def request(self) -> Request:
        """As it stands now."""
        return self._record.request

    @property
    def owner(self) -> str:
        """As it was submitted with."""
        return self._record.owner

    @overload
    def events(self, timeout: None = None) -> Iterator[Event]: ...
    @overload
    def events(self, timeout: float) -> Iterator[Event | None]: ...
    def events(self, timeout: float | None = None) -> Iterator[Event | None]:
        """All events from the first on; blocks for the next and ends after the last.

        Each caller gets all of them, also after the job has ended.

        Args:
            timeout: seconds after which None is given instead of an event.
        """
        record, count = self._record, 0
        while True:
            with record.changed:
                if count == len(record.log):
                    record.changed.wait(_LONG if timeout is None else timeout)
                fresh = record.log[count:]
            if not fresh and timeout is not None:
                yield None
            for event in fresh:
                count += 1
                yield event
                if is_last(event):
                    return

    def pictures(self) -> list[Pixels]:
        """Waits for the job and returns its pictures, each (H, W, 3).

        Raises:
            AtelierError: what the job failed with; EngineError where it was stopped.
        """
        pixels: dict[int, Pixels] = {}
        for event in self.events():
            if isinstance(event, PictureDone):
                pixels[event.index] = event.pixels
            elif isinstance(event, Failed):
                raise event.error
            elif isinstance(event, Cancelled):
                raise EngineError("The job was stopped before all its pictures were finished.")
        return [pixels[index] for index in sorted(pixels)]

    def cancel(self) -> None:
        """Stops the job before its next step; at once while it is queued.  Does nothing once it has ended."""
        self._host.cancel(self._record)

    def pause(self) -> None:
        """Halts the job after the step under way; it keeps what it has.  Does nothing once it has ended."""
        self._host.pause(self._record)

    def resume(self, request: Request | None = None) -> None:
        """Goes on after a pause, or without one, from the same x_t.

        With another request each unfinished picture becomes a branch of itself: its sampler starts anew
        there, so those of several steps (PLMS, DPM++ 2M, UniPC) begin with a step of lower order.  Without
        one it is as if there had been no pause.

        Args:
            request: of all the pictures, what they are to go on with; its batch size is not looked at.

        Raises:
            RequestError: it does not suit the model, or changes more than a branch may.
        """
        self._host.resume(self._record, request)

    @property
    def paused(self) -> bool:
        """Whether it was asked to halt."""
        return self._record.paused.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._record.cancelled.is_set()

    @property
    def ended(self) -> bool:
        """Whether its last event was sent."""
        return self._record.ended

    def trajectory(self, image: int) -> list[Moment]:
        """Picture `image` of the batch before each step so far, and last its finished latent.

        Every moment is kept up to 512 MB a job, every second, third ... one beyond.  A branch begins with
        the moments of the picture that it left.  Of a picture made in several passes, each from the pixels
        of the one before, the last pass's are kept.
        """
        return list(self._record.pictures[image].trajectory)

    def moment(self, image: int, step: int) -> Moment:
        """One moment of a picture's trajectory.

        Raises:
            EngineError: the picture was not there, or it was not kept.
        """
        moments = self.trajectory(image) if 0 <= image < len(self._record.pictures) else []
        found = next((moment for moment in moments if moment.step == step), None)
        if found is None:
            kept = ", ".join(str(moment.step) for moment in moments) or "none yet"
            raise EngineError(f"Step {step} of picture {image + 1} was not kept; choose one of: {kept}.")
        return found

    def previews(self, image: int) -> list[tuple[int, Pixels]]:
        """Step and quick look at what was predicted by then, for each kept moment of a picture."""
        if self._record.preview is None:  # its model is not loaded yet
            return []
        preview, part = self._record.preview
        return [(moment.step, preview(moment.seen[0], part)) for moment in self.trajectory(image)]

    def request_of(self, image: int) -> Request:
        """What makes one of its pictures alone, as it stands now."""
        return self._record.pictures[image].request

    def passes(self, image: int) -> Sequence[Pixels]:
        """What the passes of a picture before the last one made; each goes on from the pixels before it."""
        return tuple(self._record.pictures[image].passes)

    @property
    def nbytes(self) -> int:
        """Memory that its steps and its pictures take."""
        pictures = self._record.pictures
        moments = {id(moment): moment for picture in pictures for moment in tuple(picture.trajectory)}
        passes = sum(pixels.nbytes for picture in pictures for pixels in tuple(picture.passes))
        width, height = self.request.size
        return (
            sum(2 * moment.x.nbytes for moment in moments.values())
            + passes
            + 3 * width * height * len(pictures)
        )
