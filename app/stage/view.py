"""What every part of the stage shows: all of it follows from the one thing that the page looks at."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from app.form.form import AnyForm, form_for
from app.keeping.places import shown
from app.studio.frames import PREVIEW_SIDE, Finished
from app.studio.grids import Grids, Progress
from app.studio.people import Kind, Page, Selection
from app.studio.run import THUMB_SIDE, Run
from app.widgets.components import Shown, State
from ldm_core.request import Request

HINT = "Describe a picture or paint one, then press Generate"


@dataclass(frozen=True, slots=True)
class Status:
    """The line on the picture.

    Attributes:
        done: how much of the job is done, 0..1, for a bar.
        at: id of the control that caused a failure.
        time: when it was said; two that say the same at other times are two.
    """

    text: str
    kind: Kind = "news"
    done: float | None = None
    at: str | None = None
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows.

    Attributes:
        picture: what is seen: a finished one, or JPEG bytes of one that is made.
        finished: what can be downloaded, varied and sent on.
        batch: the finished pictures of the same job, where it makes several.
        grid: how far that job is where it makes a grid.
        making: id and small JPEG of the job that runs.
        selected: id of the picture or job that is shown.
        stop: whether there is something to stop.
    """

    picture: Finished | bytes | None
    finished: Finished | None
    status: Status
    timeline: Shown | None
    details: str
    batch: tuple[Finished, ...]
    grid: Progress | None
    making: tuple[str, bytes | None, str] | None
    selected: str
    stop: bool


def view(page: Page, grids: Grids, made: Sequence[AnyForm]) -> View:
    """What a page shows now.

    Args:
        grids: those under way.
        made: the forms, one of which may be at fault.
    """
    selection, running = page.selection(), page.person.running
    run, picture = selection.run, selection.picture
    selected = picture.id if picture is not None else "" if run is None else run.id
    return View(
        picture=picture if run is None or picture is not None else _seen(run),
        finished=picture,
        status=_status(page, selection, made),
        timeline=_timeline(selection),
        details=_details(selection),
        batch=_batch(page, selection),
        grid=None if (run := _run_of(page, selection)) is None else grids.progress(run.requests),
        making=None if running is None else (running.id, running.jpeg(THUMB_SIDE), running.text),
        selected=selected,
        stop=page.run is not None or page.person.endless,
    )


def _seen(run: Run) -> Finished | bytes | None:
    """Of a job that is made: its preview.  Between two of its pictures the one before is seen."""
    return run.jpeg(PREVIEW_SIDE) or next(reversed(run.pictures), None)


def _status(page: Page, selection: Selection, made: Sequence[AnyForm]) -> Status:
    """What was said to this page, as long as it is fresh; then what is said of the selection."""
    message, run = page.message, selection.run
    said = None if message is None else Status(message.text, message.kind, None, message.at, message.time)
    if said is not None and message is not None and (message.is_fresh or run is None):
        return said
    if run is None:
        empty = selection.picture is None and page.person.latest is None
        return Status(HINT, "hint") if empty else Status("")
    if said is not None and said.kind != "news" and said.time > run.changed:
        return said
    if run.ended is None:
        return Status(run.text, "busy", run.done)
    return _closing(run, made)


def _closing(run: Run, made: Sequence[AnyForm]) -> Status:
    """What is said of a job that has ended."""
    if problem := next((picture.problem for picture in run.pictures if picture.problem), ""):
        return Status(problem, "failed", time=run.changed)
    if run.ended is not None and run.ended.error is not None:
        at = form_for(made, run.request.task).at_fault(run.ended.error)
        return Status(run.text, "failed", at=at, time=run.changed)
    notes = run.pictures[-1].request.notes() if run.pictures else ()
    if notes:
        return Status(" ".join([f"{run.text}.", *notes]), "note", time=run.changed)
    return Status(run.text, time=run.changed)


def _timeline(selection: Selection) -> Shown | None:
    run, picture = selection.run, selection.picture
    if picture is not None:
        return None if picture.steps is None else Shown(picture.steps)
    if run is None or run.steps is None:
        return None
    state: State = "finished" if run.ended is not None else "paused" if run.paused else "running"
    return Shown(run.steps, state)


def _run_of(page: Page, selection: Selection) -> Run | None:
    """The job that is shown, or that made the picture which is."""
    if selection.run is not None or selection.picture is None:
        return selection.run
    return page.person.run(selection.picture.batch)


def _batch(page: Page, selection: Selection) -> tuple[Finished, ...]:
    run, picture = _run_of(page, selection), selection.picture
    if run is not None:
        return tuple(run.pictures) if run.count > 1 else ()
    if picture is None or not picture.batch:
        return ()
    found = [other for other in reversed(page.person.pictures()) if other.batch == picture.batch]
    return tuple(found) if len(found) > 1 else ()


def _details(selection: Selection) -> str:
    """Size and seed, and the file where there is one."""
    run, picture = selection.run, selection.picture
    if picture is not None:
        facts = _facts(picture.request, picture.request.seed)
        if picture.path:
            facts.append(shown(picture.path))
    elif run is not None:
        facts = _facts(run.request, run.request.seed + min(len(run.pictures), run.request.batch_size - 1))
    else:
        return ""
    text = html.escape(" · ".join(facts))
    return f'<span title="{text}">{text}</span>'


def _facts(request: Request, seed: int) -> list[str]:
    return [" × ".join(map(str, request.size)), f"seed {seed}"]
