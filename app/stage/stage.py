"""The stage: the picture that is made, what is said of it, and what happens when something is pressed.

All tabs share it; it is beside them, so a picture stays in sight when another tab is opened.
"""

from __future__ import annotations

import html
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import gradio as gr
from gradio.components import Component

from app.form import parts, translate
from app.form.form import AnyForm
from app.keeping.places import shown
from app.studio.frames import Ended, Finished, Frame, Live, Waiting, in_words
from app.studio.jobs import Session, Studio
from app.widgets.components import (
    Compare,
    Comparison,
    Filmstrip,
    LiveImage,
    PngFile,
    Shown,
    Timeline,
    strip_of,
)
from app.widgets.events import PRIVATE, QUICK
from app.widgets.shown import png_of, shown_of
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError
from ldm_core.request import Request, SuperResolution

Kind = Literal["news", "busy", "note", "failed", "hint"]

log = logging.getLogger(__name__)
_sentences = itertools.count()


@dataclass(frozen=True, slots=True)
class Stage:
    """The components in the centre, and the rail that follows them."""

    picture: LiveImage
    compare: Compare
    status: gr.HTML
    timeline: Timeline
    strip: Filmstrip
    details: gr.HTML
    reuse: gr.Button
    download: gr.Button
    vary: gr.Button
    send: gr.Dropdown
    open: gr.UploadButton
    rail: Filmstrip

    def shown(self) -> list[Component]:
        """What a picture is shown in."""
        return [self.picture, self.compare, self.status, self.timeline, self.details, *self.onward()]

    def onward(self) -> list[Component]:
        """What can be done with it."""
        return [self.vary, self.send, self.download, self.reuse]


def make_stage(studio: Studio, rail: Filmstrip, takers: Sequence[tuple[str, str]]) -> Stage:
    """Makes the stage inside the surrounding column.

    `takers` has (title, name) of each tab to which a picture can be sent.
    """
    picture = LiveImage(
        format="png",
        show_label=False,
        container=False,
        interactive=False,
        buttons=["fullscreen"],
        elem_id="picture",
    )
    compare = Compare(label="Before and after", elem_id="compare")
    hint = status_line("Describe a picture or paint one, then press Generate", kind="hint")
    status = gr.HTML(hint, elem_id="status", apply_default_css=False)
    timeline = Timeline(studio.timelines, label="Steps of this picture", elem_id="timeline")
    strip = Filmstrip(label="Pictures of this batch", elem_id="strip")
    grid = gr.Button("All at once", elem_id="grid", size="sm", min_width=0)
    grid.click(None, None, None, js="() => latentAtelier.toggleGrid()", api_visibility="private")
    with gr.Row(elem_id="under"):
        details = gr.HTML("", elem_id="details", apply_default_css=False)
        small = {"size": "sm", "min_width": 0}
        with gr.Row(elem_id="onward"):
            reuse = gr.Button("Reuse these settings", elem_id="reuse", interactive=False, **small)
            vary = gr.Button("Variations", elem_id="vary", interactive=False, **small)
            send = gr.Dropdown(
                [("Send to…", ""), *takers],
                value="",
                label="Send the picture to another tab",
                show_label=False,
                container=False,
                interactive=False,
                elem_id="send",
                min_width=0,
            )
            download = gr.Button("Download", elem_id="download", interactive=False, **small)
            open_ = gr.UploadButton("Open picture", elem_id="open", file_types=["image"], **small)
    return Stage(picture, compare, status, timeline, strip, details, reuse, download, vary, send, open_, rail)


# Connecting ----------------------------------------------------------------------------------------------


def connect(studio: Studio, stage: Stage, tabs: gr.Tabs, made: Sequence[AnyForm]) -> None:
    """Making, stopping, looking at and reusing pictures, for all tabs.

    `made` has the tabs' forms; a form's name is its tab's id.
    """
    for form in made:
        _connect_making(studio, stage, form, made)
    _connect_looking(studio, stage, tabs, made)


def _connect_making(studio: Studio, stage: Stage, form: AnyForm, made: Sequence[AnyForm]) -> None:
    """A job is stopped by the engine's own flag: gradio's `cancels` would free the queue's place while the
    work runs on."""

    def paint(values: Values, request: gr.Request) -> Iterator[Updates]:
        yield from generate(studio, stage, form, made, values, str(request.session_hash))

    def stop(request: gr.Request) -> None:
        studio.stop(str(request.session_hash))

    changed = changed_by(stage, made, form)
    inputs = set(form.inputs())
    form.generate.click(paint, inputs, changed, trigger_mode="once", concurrency_limit=None, **PRIVATE)
    form.stop.click(stop, None, None, **QUICK)
    if form.live is not None:
        switch, canvas = form.live

        def draw(values: Values, request: gr.Request) -> Iterator[Updates]:
            if values[switch] is not True:
                yield {stage.status: gr.skip()}
            else:
                name = str(request.session_hash)
                yield from generate(studio, stage, form, made, values, name, sketch=True)

        canvas.stroke(draw, inputs, changed, trigger_mode="multiple", concurrency_limit=None, **PRIVATE)
        switch.input(lambda: parts.KEEP_SEED, None, form.seed_mode, **QUICK)


def _connect_looking(studio: Studio, stage: Stage, tabs: gr.Tabs, made: Sequence[AnyForm]) -> None:
    def pick(event: gr.EventData, request: gr.Request) -> Updates:
        chosen = event._data.get("id") if isinstance(event._data, dict) else None
        return _pick(stage, studio.session(str(request.session_hash)), str(chosen))

    def reuse(request: gr.Request) -> Updates:
        session = studio.session(str(request.session_hash))
        picture = session.pictures.get(session.shown or "")
        if picture is None:
            return {stage.status: status_line("There is no picture yet whose settings could be used.")}
        form = form_for(made, picture.request.task)
        text = "These settings are in the controls now."
        return {
            **translate.fill(studio, form, picture.request),
            tabs: change(selected=form.name),
            stage.status: status_line(text),
        }

    filled = [component for form in made for component in form.filled()]
    stage.strip.pick(pick, None, stage.shown(), **QUICK)
    stage.rail.pick(pick, None, stage.shown(), **QUICK)
    stage.reuse.click(reuse, None, [*filled, tabs, stage.status], **QUICK)


# Handlers ------------------------------------------------------------------------------------------------


def generate(
    studio: Studio,
    stage: Stage,
    form: AnyForm,
    made: Sequence[AnyForm],
    values: Values,
    name: str,
    *,
    sketch: bool = False,
) -> Iterator[Updates]:
    """Relays one job to the page.  The first yield comes at once, so that gradio can close this iterator."""
    session = studio.session(name)
    if session.running and not session.sketch:
        yield {stage.status: gr.skip()}
        return
    try:
        requests = translate.requests_from(form, values, sketch=sketch)
    except AtelierError as error:
        yield {stage.status: refusal(form, error)}
        return
    frames = _frames(studio, name, requests, sketch)
    yield from follow(stage, form, made, session, requests[0], frames, sketch=sketch)


def follow(
    stage: Stage,
    form: AnyForm,
    made: Sequence[AnyForm],
    session: Session,
    request: Request,
    frames: Iterator[Frame],
    *,
    sketch: bool = False,
) -> Iterator[Updates]:
    """Shows a job that begins.

    Args:
        form: whose seed it uses.
    """
    yield {
        stage.status: status_line("Starting…", kind="busy"),
        stage.strip: strip_of(()),
        stage.compare: None,
        stage.timeline: None,
        **translate.seeded(form, request),
        **_buttons(made, running=True, sketch=sketch),
    }
    batch: list[Finished] = []
    try:
        for frame in frames:
            if isinstance(frame, Finished):
                batch.append(frame)
            # Of a sketch that gave way nothing is heard, so the buttons stay the next job's.
            ended = _buttons(made, running=False) if isinstance(frame, Ended) else {}
            yield {**_frame(stage, form, session, batch, frame), **ended}
    except Exception:
        log.exception("a job could not be shown")
        text = "Something went wrong inside the program; the window it was started from says what."
        yield {stage.status: status_line(text, kind="failed"), **_buttons(made, running=False)}


def _frames(studio: Studio, name: str, requests: Sequence[Request], sketch: bool) -> Iterator[Frame]:
    """Of several jobs, one after the other, as of one; when one fails or is stopped the rest is not made."""
    began, count = time.monotonic(), len(requests)
    stop = studio.session(name).stop
    for i, request in enumerate(requests):
        frame: Frame | None = None
        for frame in studio.paint(name, request, sketch=sketch):
            if count > 1 and isinstance(frame, Live):
                done, text = (i + frame.done) / count, f"{i + 1} of {count} · {frame.text}"
                frame = replace(frame, done=done, text=text)
            if isinstance(frame, Ended) and not (frame.failed or stop.is_set()) and count > 1:
                if i + 1 < count:
                    continue
                frame = Ended(f"Finished in {in_words(time.monotonic() - began)}")
            yield frame
        # To its end in any case, since only then a job's time and steps are kept.
        if not isinstance(frame, Ended) or frame.failed or stop.is_set():
            return  # without an end another job has taken this one's place


def changed_by(stage: Stage, made: Sequence[AnyForm], form: AnyForm | None = None) -> list[Component]:
    """What a job changes: one for a form, or for any."""
    forms = made if form is None else [form]
    seeds = [part for each in forms for part in (each.fields["seed"], each.kin)]
    buttons = [button for each in made for button in (each.generate, each.stop)]
    return [*stage.shown(), stage.strip, stage.rail, *seeds, *buttons]


def _buttons(made: Sequence[AnyForm], *, running: bool, sketch: bool = False) -> Updates:
    """A person has one job at a time, whichever tab it is from; a sketch gives way."""
    start = {form.generate: change(interactive=sketch or not running) for form in made}
    return {**start, **{form.stop: change(interactive=running) for form in made}}


def _frame(stage: Stage, form: AnyForm, session: Session, batch: list[Finished], frame: Frame) -> Updates:
    """What one frame changes on the page."""
    if isinstance(frame, Waiting):
        return {stage.status: status_line(frame.text, kind="busy")}
    if isinstance(frame, Live):
        updates: Updates = {stage.status: status_line(frame.text, kind="busy", done=frame.done)}
        if frame.jpeg is not None:
            updates[stage.picture] = frame.jpeg
        if frame.steps is not None and not session.pinned:
            updates[stage.timeline] = Shown(frame.steps, "paused" if frame.paused else "running")
        return updates
    if isinstance(frame, Ended):
        if problem := next((picture.problem for picture in batch if picture.problem), ""):
            return {stage.status: status_line(problem, kind="failed")}
        if frame.error:
            return {stage.status: refusal(form, frame.error)}
        notes = batch[-1].request.notes() if batch else ()
        said = " ".join([f"{frame.text}.", *notes]) if notes else frame.text
        return {stage.status: status_line(said, kind="note" if notes else "news")}
    updates = {**_show(stage, frame), stage.rail: strip_of(session.newest_first(), frame.id)}
    if session.batch_size > 1 or len(batch) > 1:
        updates[stage.strip] = strip_of(batch, frame.id)
    return updates


def _pick(stage: Stage, session: Session, chosen: str) -> Updates:
    """Shows a picture of the session; while one is made, until the next of its batch is finished."""
    picture = session.pictures.get(chosen)
    if picture is None:
        text = "That picture is no longer at hand here; its file is in the outputs folder."
        return {stage.status: status_line(text)}
    session.shown, session.pinned = picture.id, session.running
    updates = _show(stage, picture)
    return updates if session.running else {**updates, stage.status: status_line("")}


def _show(stage: Stage, picture: Finished) -> Updates:
    """A finished picture on the stage."""
    file = PngFile(picture.copy or picture.png, picture.name)
    return {
        stage.picture: file,
        stage.compare: _comparison(picture.request, file),
        stage.timeline: None if picture.steps is None else Shown(picture.steps),
        stage.details: _details(picture),
        stage.download: change(interactive=True),
        stage.reuse: change(interactive=True),
        stage.vary: change(interactive=True),
        stage.send: change(interactive=True),
    }


def _comparison(request: Request, after: PngFile) -> Comparison | None:
    """What a larger picture was made of."""
    if not isinstance(request, SuperResolution):
        return None
    return Comparison(PngFile(png_of(shown_of(request.image)), "before.png"), after)


def form_for(made: Sequence[AnyForm], task: str) -> AnyForm:
    """The form that makes such pictures; the first where none does."""
    return next((form for form in made if task in form.tasks), made[0])


# Words on the page ---------------------------------------------------------------------------------------


def status_line(text: str, *, kind: Kind = "news", done: float | None = None, at: str | None = None) -> str:
    """The line on the picture.  The text may hold anything and is escaped here.

    News fades after a while; what is busy, failed or to be read stays until something else is said.

    Args:
        done: how much of the job is done, 0..1, for a bar.
        at: id of the control that caused a failure; there the text is said as well (assets/fault.js).
    """
    if kind == "news":
        # The style sheet begins its movement anew only when the class changes.
        style = "even" if next(_sentences) % 2 else "odd"
    else:
        style = kind
    bar = "" if done is None else f'<i style="width:{100 * done:.1f}%"></i>'
    line = f"<span>{html.escape(text)}</span>" if text else ""
    # Numbered, so that the browser sees when the same is said again.
    cause = "" if at is None else f' data-at="{html.escape(at)}" data-said="{next(_sentences)}"'
    return f'<div class="line {style}" role="status"{cause}>{bar}{line}</div>'


def refusal(form: AnyForm, error: AtelierError) -> str:
    """What is wrong with what a form asks for."""
    return status_line(str(error), kind="failed", at=form.at_fault(error))


def _details(picture: Finished) -> str:
    request = picture.request
    facts = [" × ".join(map(str, request.size)), f"variation {request.seed}"]
    if picture.path:
        facts.append(shown(picture.path))
    text = html.escape(" · ".join(facts))
    return f'<span title="{text}">{text}</span>'
