"""The tab that makes pictures from a prompt: the stage, and what happens when something is pressed."""

from __future__ import annotations

import html
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gradio as gr

from app import metadata
from app.components import Filmstrip, LiveImage, PngFile, cached, strip_of
from app.places import shown
from app.studio import Ended, Finished, Frame, Live, Session, Studio, Waiting
from app.tabs import controls as left
from app.tabs.controls import KEEP_SEED, Controls, Updates, Values
from ldm_core.errors import AtelierError

Kind = Literal["news", "busy", "note", "failed", "hint"]

log = logging.getLogger(__name__)
_sentences = itertools.count()


@dataclass(frozen=True, slots=True)
class Stage:
    """The components in the centre, and those beside it that follow it."""

    picture: LiveImage
    status: gr.HTML
    strip: Filmstrip
    details: gr.HTML
    reuse: gr.Button
    download: gr.DownloadButton
    open: gr.UploadButton
    generate: gr.Button
    stop: gr.Button
    rail: Filmstrip


def build(page: gr.Blocks, studio: Studio, rail: Filmstrip) -> Controls:
    """Makes the tab's components inside the surrounding `gr.Tab`, connects them; returns the left column."""
    with gr.Row(elem_classes="workspace"):
        with gr.Column(elem_id="controls", min_width=0):
            with gr.Column(elem_id="settings", min_width=0):
                controls = left.build(studio)
            with gr.Row(elem_id="actions"):
                generate = gr.Button("Generate", variant="primary", elem_id="generate", min_width=0, scale=3)
                stop = gr.Button("Stop", elem_id="stop", interactive=False, min_width=0, scale=1)
        with gr.Column(elem_id="stage", min_width=0):
            picture = LiveImage(
                format="png",
                show_label=False,
                container=False,
                interactive=False,
                buttons=["fullscreen"],
                elem_id="picture",
            )
            hint = status_line("Describe a picture, then press Generate", kind="hint")
            status = gr.HTML(hint, elem_id="status", apply_default_css=False)
            strip = Filmstrip(label="Pictures of this batch", elem_id="strip")
            with gr.Row(elem_id="under"):
                details = gr.HTML("", elem_id="details", apply_default_css=False)
                small = {"size": "sm", "min_width": 0}
                reuse = gr.Button("Reuse these settings", elem_id="reuse", interactive=False, **small)
                download = gr.DownloadButton("Download", elem_id="download", interactive=False, **small)
                open_ = gr.UploadButton("Open picture", elem_id="open", file_types=[".png"], **small)
    stage = Stage(picture, status, strip, details, reuse, download, open_, generate, stop, rail)
    _connect_stage(studio, controls, stage)
    _connect_controls(studio, controls)
    _remember(page, studio, controls)
    return controls


# Connecting ----------------------------------------------------------------------------------------------

# Values reach the handlers as the browser sent them: the request checks them, with better sentences.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}
QUICK = {**PRIVATE, "queue": False}


def _connect_stage(studio: Studio, controls: Controls, stage: Stage) -> None:
    """Making, stopping, looking at and reopening pictures.

    A job is stopped by the engine's own flag: gradio's `cancels` would free the queue's place while the
    work runs on.
    """
    shown_parts = [stage.picture, stage.status, stage.details, stage.download, stage.reuse]

    def paint(values: Values, request: gr.Request) -> Iterator[Updates]:
        yield from _generate(studio, controls, stage, values, str(request.session_hash))

    def stop(request: gr.Request) -> None:
        studio.stop(str(request.session_hash))

    def pick(event: gr.EventData, request: gr.Request) -> Updates:
        chosen = event._data.get("id") if isinstance(event._data, dict) else None
        return _pick(stage, studio.session(str(request.session_hash)), str(chosen))

    def reuse(request: gr.Request) -> Updates:
        session = studio.session(str(request.session_hash))
        picture = session.pictures.get(session.shown or "")
        if picture is None:
            return {stage.status: status_line("There is no picture yet whose settings could be used.")}
        text = "These settings are in the controls now."
        return {**left.fill(studio, controls, picture.request), stage.status: status_line(text)}

    def open_picture(path: str | None) -> Updates:
        return _open(studio, controls, stage, path)

    stage.generate.click(
        paint,
        {*controls.fields().values(), controls.seed_mode},
        [*shown_parts, stage.strip, stage.generate, stage.stop, stage.rail, controls.seed],
        trigger_mode="once",
        concurrency_limit=None,
        **PRIVATE,
    )
    stage.stop.click(stop, None, None, **QUICK)
    stage.strip.pick(pick, None, shown_parts, **QUICK)
    stage.rail.pick(pick, None, shown_parts, **QUICK)
    stage.reuse.click(reuse, None, [*controls.filled(), stage.status], **QUICK)
    stage.open.upload(
        open_picture, stage.open, [*controls.filled(), stage.status], **{**PRIVATE, "preprocess": True}
    )


def _connect_controls(studio: Studio, controls: Controls) -> None:
    """Controls that change each other."""
    size = [controls.width, controls.height]

    def suit(model: object) -> Updates:
        return left.suit(studio, controls, model)

    def resize(model: object, shape: object) -> tuple[int, int]:
        return left.size_of(studio, model, shape)

    def reshape(model: object, width: object, height: object) -> str | None:
        return left.shape_of(studio, model, width, height)

    def explain_eta(sampler: object) -> Updates:
        return left.explain_eta(controls, sampler)

    def respace(model: object, sampler: object) -> str:
        return left.suited_spacing(studio, model, sampler)

    def unknown(model: object, prompt: object) -> str:
        return _unknown(studio.unknown_words(str(model), str(prompt or "")))

    controls.model.input(suit, controls.model, controls.filled(), **QUICK)
    controls.shape.input(resize, [controls.model, controls.shape], size, **QUICK)
    gr.on([part.input for part in size], reshape, [controls.model, *size], controls.shape, **QUICK)
    controls.sampler.change(explain_eta, controls.sampler, controls.eta, **QUICK)
    controls.sampler.input(respace, [controls.model, controls.sampler], controls.spacing, **QUICK)
    controls.seed.input(lambda: KEEP_SEED, None, controls.seed_mode, **QUICK)
    gr.on(
        [controls.prompt.change, controls.model.change],
        unknown,
        [controls.model, controls.prompt],
        controls.unknown,
        trigger_mode="always_last",
        **QUICK,
    )


def _remember(page: gr.Blocks, studio: Studio, controls: Controls) -> None:
    """Keeps the settings in the browser, across reloads and restarts of the program."""
    fields = controls.kept()
    kept = gr.BrowserState({}, storage_key="latent-atelier.text-to-image", secret="latent-atelier")
    names = ", ".join(fields)

    def restore(values: object) -> Updates:
        return left.restore(studio, controls, values)

    gr.on(
        [component.change for component in fields.values()],
        None,
        list(fields.values()),
        kept,
        js=f"({names}) => ({{{names}}})",
        api_visibility="private",
    )
    page.load(restore, kept, controls.filled(), **QUICK)


# Handlers ------------------------------------------------------------------------------------------------


def _generate(
    studio: Studio, controls: Controls, stage: Stage, values: Values, name: str
) -> Iterator[Updates]:
    """Relays one job to the page.  The first yield comes at once, so that gradio can close this iterator."""
    session = studio.session(name)
    if session.running:
        yield {stage.status: gr.skip()}
        return
    try:
        request = left.request_from(controls, values)
    except AtelierError as error:
        yield {stage.status: status_line(str(error), kind="failed")}
        return
    yield {
        stage.status: status_line("Starting…", kind="busy"),
        stage.strip: strip_of(()),
        stage.generate: gr.update(interactive=False),
        stage.stop: gr.update(interactive=True),
        controls.seed: request.seed,
    }
    batch: list[Finished] = []
    try:
        for frame in studio.paint(name, request):
            if isinstance(frame, Finished):
                batch.append(frame)
            yield _frame(stage, session, batch, frame)
    except Exception:
        log.exception("a job could not be shown")
        text = "Something went wrong inside the program; the window it was started from says what."
        yield {stage.status: status_line(text, kind="failed")}
    yield {stage.generate: gr.update(interactive=True), stage.stop: gr.update(interactive=False)}


def _frame(stage: Stage, session: Session, batch: list[Finished], frame: Frame) -> Updates:
    """What one frame changes on the page."""
    if isinstance(frame, Waiting):
        return {stage.status: status_line(frame.text, kind="busy")}
    if isinstance(frame, Live):
        status: Updates = {stage.status: status_line(frame.text, kind="busy", done=frame.done)}
        return status if frame.jpeg is None else {**status, stage.picture: frame.jpeg}
    if isinstance(frame, Ended):
        problem = next((picture.problem for picture in batch if picture.problem), "")
        failed = bool(problem) or frame.failed
        return {stage.status: status_line(problem or frame.text, kind="failed" if failed else "news")}
    updates = {**_show(stage, frame), stage.rail: strip_of(session.newest_first(), frame.id)}
    if session.batch_size > 1:
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
    file = PngFile(picture.png, picture.name)
    return {
        stage.picture: file,
        stage.details: _details(picture),
        stage.download: gr.update(value=cached(file), interactive=True),
        stage.reuse: gr.update(interactive=True),
    }


def _open(studio: Studio, controls: Controls, stage: Stage, path: str | None) -> Updates:
    """Takes the settings over from a saved picture."""
    if not path:
        return {stage.status: gr.skip()}
    try:
        settings = metadata.read_settings(Path(path))
    except AtelierError as error:
        return {stage.status: status_line(metadata.explain(error), kind="failed")}
    notes = list(settings.notes)
    model = settings.request.model
    if model not in studio.models.names("text-to-image"):
        notes.append(f"Its model {model[:60]!r} is not here, so the chosen one stays.")
    elif settings.model_sha256 and not (studio.model_hash(model) or "").startswith(settings.model_sha256):
        notes.append(f"The model {model[:60]!r} has changed since, so the picture will differ.")
    text = " ".join(["Settings taken from the picture.", *notes])
    updates = left.fill(studio, controls, settings.request)
    return {**updates, stage.status: status_line(text, kind="note" if notes else "news")}


# Words on the page ---------------------------------------------------------------------------------------


def status_line(text: str, *, kind: Kind = "news", done: float | None = None) -> str:
    """The line on the picture.  The text may hold anything and is escaped here.

    News fades after a while; what is busy, failed or to be read stays until something else is said.

    Args:
        done: how much of the job is done, 0..1, for a bar.
    """
    if kind == "news":
        # The style sheet begins its movement anew only when the class changes.
        style = "even" if next(_sentences) % 2 else "odd"
    else:
        style = kind
    bar = "" if done is None else f'<i style="width:{100 * done:.1f}%"></i>'
    line = f"<span>{html.escape(text)}</span>" if text else ""
    return f'<div class="line {style}" role="status">{bar}{line}</div>'


def _details(picture: Finished) -> str:
    request = picture.request
    facts = [" × ".join(map(str, request.size)), f"variation {request.seed}"]
    if picture.path:
        facts.append(shown(picture.path))
    text = html.escape(" · ".join(facts))
    return f'<span title="{text}">{text}</span>'


def _unknown(words: tuple[str, ...]) -> str:
    if not words:
        return ""
    listed = html.escape(", ".join(f"“{word[:30]}”" for word in words[:6]))
    return f"<p>This model never learnt {listed}{' and more' if len(words) > 6 else ''}.</p>"
