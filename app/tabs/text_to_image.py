"""The tab that makes pictures from a prompt."""

from __future__ import annotations

import html
import itertools
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gradio as gr

from app import metadata
from app.filmstrip import Filmstrip, filmstrip
from app.live_image import LiveImage, PngFile, cached
from app.places import shown
from app.studio import Ended, Finished, Frame, Live, Session, Studio, Waiting
from ldm_core.errors import AtelierError
from ldm_core.request import (
    BATCH,
    DEFAULT_MODEL,
    ETA,
    GUIDANCE,
    SAMPLERS,
    SEED,
    SIZE,
    STEPS,
    TextToImage,
    parse_request,
    to_json,
)

Updates = dict[object, object]  # component -> value or update
Values = Mapping[object, object]

NEW_SEED, KEEP_SEED = "New each time", "Keep"
RANDOM_SEEDS = 10**7  # short enough to be read aloud and to fit its field
SIZES = {"Square": (256, 256), "Wide": (384, 256), "Tall": (256, 384)}
IDLE = "Describe a picture, then press Generate"


@dataclass(frozen=True, slots=True)
class Controls:
    """The components of the left column, by the request's fields."""

    prompt: gr.Textbox
    negative_prompt: gr.Textbox
    width: gr.Number
    height: gr.Number
    seed: gr.Number
    seed_mode: gr.Radio
    model: gr.Dropdown
    batch_size: gr.Slider
    steps: gr.Slider
    sampler: gr.Dropdown
    guidance_scale: gr.Slider
    eta: gr.Slider
    size: gr.Radio
    unknown: gr.HTML

    def fields(self) -> dict[str, gr.components.Component]:
        """The components whose values are fields of the request."""
        names = (
            "prompt negative_prompt width height seed model batch_size steps sampler guidance_scale eta".split()
        )
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Stage:
    """The components in the centre, and those beside it that follow it."""

    picture: LiveImage
    status: gr.HTML
    strip: Filmstrip
    details: gr.HTML
    download: gr.DownloadButton
    reuse: gr.Button
    open: gr.UploadButton
    generate: gr.Button
    stop: gr.Button
    rail: Filmstrip


# Building ------------------------------------------------------------------------------------------------


def build(studio: Studio, rail: Filmstrip) -> None:
    """Makes the tab's components inside the surrounding `gr.Tab` and connects them."""
    with gr.Row(elem_classes="workspace"):
        with gr.Column(elem_id="controls", min_width=0):
            with gr.Column(elem_id="settings", min_width=0):
                controls = _controls(studio)
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
            status = gr.HTML(_status(IDLE, kind="hint"), elem_id="status", apply_default_css=False)
            strip = Filmstrip(label="Pictures of this batch", elem_id="strip")
            with gr.Row(elem_id="under"):
                details = gr.HTML("", elem_id="details", apply_default_css=False)
                reuse = gr.Button("Reuse these settings", elem_id="reuse", size="sm", min_width=0, interactive=False)
                download = gr.DownloadButton("Download", elem_id="download", size="sm", min_width=0, interactive=False)
                open_ = gr.UploadButton(
                    "Open picture", elem_id="open", size="sm", min_width=0, file_types=[".png"], file_count="single"
                )
    stage = Stage(picture, status, strip, details, download, reuse, open_, generate, stop, rail)
    _connect(studio, controls, stage)


def _controls(studio: Studio) -> Controls:
    """The left column, top to bottom."""
    default = TextToImage()
    names = studio.models.names()
    prompt = gr.Textbox(
        "",
        label="Describe the picture",
        placeholder="A calm lake at sunset, snowy mountains behind",
        lines=4,
        max_lines=12,
        elem_id="prompt",
    )
    unknown = gr.HTML("", elem_id="unknown", apply_default_css=False)
    size = gr.Radio(list(SIZES), value="Square", label="Format", elem_id="size")
    with gr.Row(elem_classes="pair"):
        width = gr.Number(256, label="Width", precision=0, minimum=SIZE[0], maximum=SIZE[1], step=32, min_width=0)
        height = gr.Number(256, label="Height", precision=0, minimum=SIZE[0], maximum=SIZE[1], step=32, min_width=0)
    batch_size = gr.Slider(*BATCH, value=1, step=1, label="How many pictures", elem_id="batch", info="Batch size.")
    with gr.Row(elem_classes=["pair", "seed"]):
        seed = gr.Number(
            0,
            label="Variation",
            info="The seed. The same number with the same settings gives the same picture.",
            precision=0,
            minimum=SEED[0],
            maximum=SEED[1],
            min_width=0,
            elem_id="seed",
        )
        seed_mode = gr.Radio([NEW_SEED, KEEP_SEED], value=NEW_SEED, label="For the next", elem_id="seed-mode")
    model = gr.Dropdown(
        list(names) or [DEFAULT_MODEL],
        value=DEFAULT_MODEL if DEFAULT_MODEL in names or not names else names[0],
        label="Model",
        elem_id="model",
    )
    with gr.Accordion("More", open=False, elem_id="more"):
        negative_prompt = gr.Textbox("", label="Leave out", info="The negative prompt.", lines=2, elem_id="negative")
        steps = gr.Slider(
            *STEPS, value=default.steps, step=1, label="Steps", info="More steps take longer and settle more detail."
        )
        guidance_scale = gr.Slider(
            *GUIDANCE,
            value=default.guidance_scale,
            step=0.1,
            label="Follow the words",
            info="The guidance scale (CFG). 1 lets the picture wander, high values follow the words harshly.",
        )
        sampler = gr.Dropdown(
            [(metadata.SAMPLER_NAMES[name], name) for name in SAMPLERS],
            value=default.sampler,
            label="Method",
            info="The sampler.",
        )
        eta = gr.Slider(
            *ETA,
            value=default.eta,
            step=0.05,
            label="Fresh noise",
            info="Eta: noise added again at each step. 0 repeats exactly from the start, 1 is DDPM.",
        )
    return Controls(
        prompt, negative_prompt, width, height, seed, seed_mode, model, batch_size, steps, sampler, guidance_scale,
        eta, size, unknown,
    )  # fmt: skip


# Connecting ----------------------------------------------------------------------------------------------


def _connect(studio: Studio, controls: Controls, stage: Stage) -> None:
    """Every event of the tab.  Handlers stop jobs by the studio's own flag, never by gradio's `cancels`."""
    fields = controls.fields()
    outputs = [
        stage.picture, stage.status, stage.strip, stage.details, stage.download, stage.reuse, stage.generate,
        stage.stop, stage.rail, controls.seed,
    ]  # fmt: skip
    settings = [*fields.values(), controls.seed_mode, controls.size]

    def generate(values: Values, request: gr.Request) -> Iterator[Updates]:
        yield from _generate(studio, controls, stage, values, str(request.session_hash))

    def stop(request: gr.Request) -> None:
        studio.stop(str(request.session_hash))

    def pick(event: gr.EventData, request: gr.Request) -> Updates:
        session = studio.session(str(request.session_hash))
        picture = session.pictures.get(str(event._data.get("id")) if isinstance(event._data, dict) else "")
        if picture is None:
            return {stage.status: _status("That picture is no longer at hand; its file is in the outputs folder.")}
        session.shown, session.pinned = picture.id, session.running
        updates = _show(stage, picture)
        return updates if session.running else {**updates, stage.status: _status("")}

    def reuse(request: gr.Request) -> Updates:
        session = studio.session(str(request.session_hash))
        picture = session.pictures.get(session.shown or "")
        if picture is None:
            return {stage.status: _status("There is no picture yet whose settings could be used.")}
        return {**_fill(studio, controls, picture.request), stage.status: _status("Settings taken over")}

    def open_picture(path: str | None) -> Updates:
        return _open(studio, controls, stage, path)

    private = {"api_visibility": "private", "show_progress": "hidden"}
    quick = {**private, "queue": False}
    stage.generate.click(
        generate, {*fields.values(), controls.seed_mode}, outputs, trigger_mode="once", concurrency_limit=None, **private
    )
    stage.stop.click(stop, None, None, **quick)
    for film in (stage.strip, stage.rail):
        film.pick(pick, None, outputs, **quick)
    stage.reuse.click(reuse, None, [*settings, stage.status], **quick)
    stage.open.upload(open_picture, stage.open, [*settings, stage.status], **private)
    controls.size.input(lambda name: SIZES.get(name, (256, 256)), controls.size, [controls.width, controls.height], **quick)
    gr.on(
        [controls.width.input, controls.height.input],
        lambda width, height: _size_name(width, height), [controls.width, controls.height], controls.size, **quick,
    )  # fmt: skip
    controls.seed.input(lambda: KEEP_SEED, None, controls.seed_mode, **quick)
    gr.on(
        [controls.prompt.change, controls.model.change],
        lambda model, prompt: _unknown(studio, model, prompt),
        [controls.model, controls.prompt], controls.unknown, trigger_mode="always_last", **quick,
    )  # fmt: skip
    _remember(controls)


def _remember(controls: Controls) -> None:
    """Keeps the settings in the browser, across reloads and restarts of the program."""
    fields = {**controls.fields(), "seed_mode": controls.seed_mode}
    kept = gr.BrowserState({}, storage_key="latent-atelier.text-to-image.1", secret="latent-atelier")
    names = ", ".join(fields)
    gr.on(
        [component.change for component in fields.values()],
        None,
        list(fields.values()),
        kept,
        js=f"({names}) => ({{{names}}})",
        api_visibility="private",
    )

    def restore(values: object) -> Updates:
        """What the browser kept is input like any other: what does not fit keeps its default."""
        if not isinstance(values, dict):
            return {}
        updates: Updates = {}
        for name, component in controls.fields().items():
            try:
                request = parse_request({"task": "text-to-image", name: values[name]})
            except (KeyError, AtelierError):
                continue
            if name != "model" or request.model in [choice[1] for choice in controls.model.choices]:
                updates[component] = getattr(request, name)
        if values.get("seed_mode") == KEEP_SEED:
            updates[controls.seed_mode] = KEEP_SEED
        updates[controls.size] = _size_name(updates.get(controls.width, 256), updates.get(controls.height, 256))
        return updates

    context = gr.context.Context.root_block
    assert context is not None
    outputs = [*fields.values(), controls.size]
    context.load(restore, kept, outputs, api_visibility="private", show_progress="hidden", queue=False)


# Handlers ------------------------------------------------------------------------------------------------


def _generate(studio: Studio, controls: Controls, stage: Stage, values: Values, name: str) -> Iterator[Updates]:
    """Relays one job to the page.  The first yield comes at once, so that gradio can close this iterator."""
    session = studio.session(name)
    if session.running:
        yield {stage.status: gr.skip()}
        return
    try:
        request = _request(controls, values)
    except AtelierError as error:
        yield {stage.status: _status(str(error), kind="failed")}
        return
    yield {
        stage.status: _status("Starting…", kind="busy"),
        stage.strip: filmstrip(()),
        stage.generate: gr.update(interactive=False),
        stage.stop: gr.update(interactive=True),
        controls.seed: request.seed,
    }
    batch: list[Finished] = []
    ended = False
    try:
        for frame in studio.paint(name, request):
            if isinstance(frame, Finished):
                batch.append(frame)
            ended = isinstance(frame, Ended)
            yield _frame(stage, session, batch, frame)
    except Exception:
        yield {stage.status: _status("Something went wrong inside the program; its window shows the details.", kind="failed")}
        raise
    finally:
        pass
    yield {stage.generate: gr.update(interactive=True), stage.stop: gr.update(interactive=False)}


def _frame(stage: Stage, session: Session, batch: list[Finished], frame: Frame) -> Updates:
    """What one frame changes on the page."""
    if isinstance(frame, Waiting):
        return {stage.status: _status(frame.text, kind="busy")}
    if isinstance(frame, Live):
        updates: Updates = {stage.status: _status(frame.text, done=frame.done, kind="busy")}
        return updates if frame.jpeg is None else {**updates, stage.picture: frame.jpeg}
    if isinstance(frame, Ended):
        problem = next((picture.problem for picture in batch if picture.problem), "")
        return {stage.status: _status(problem or frame.text, kind="failed" if problem or frame.failed else "news")}
    updates = _show(stage, frame)
    updates[stage.rail] = filmstrip(session.newest_first(), frame.id)
    if frame.request.batch_size > 1 or len(batch) > 1:
        updates[stage.strip] = filmstrip(batch, frame.id)
    return updates


def _request(controls: Controls, values: Values) -> TextToImage:
    """The request that the controls describe, with a seed of its own where the person wants a new one.

    Raises:
        RequestError: a value is not allowed.
    """
    fields = {name: values[component] for name, component in controls.fields().items()}
    if values[controls.seed_mode] != KEEP_SEED:
        fields["seed"] = secrets.randbelow(RANDOM_SEEDS)
    return parse_request({"task": "text-to-image", **fields})


def _show(stage: Stage, picture: Finished) -> Updates:
    """A finished picture on the stage."""
    file = PngFile(picture.png, picture.name)
    return {
        stage.picture: file,
        stage.details: _details(picture),
        stage.download: gr.update(value=cached(file), interactive=True),
        stage.reuse: gr.update(interactive=True),
    }


def _fill(studio: Studio, controls: Controls, request: TextToImage) -> Updates:
    """Puts a request into the controls."""
    values = to_json(request)
    updates: Updates = {component: values[name] for name, component in controls.fields().items()}
    if request.model not in studio.models.names():
        updates.pop(controls.model)
    updates[controls.seed_mode] = KEEP_SEED
    updates[controls.size] = _size_name(request.width, request.height)
    return updates


def _open(studio: Studio, controls: Controls, stage: Stage, path: str | None) -> Updates:
    """Takes the settings over from a saved picture."""
    if not path:
        return {stage.status: gr.skip()}
    try:
        settings = metadata.read_settings(Path(path))
    except AtelierError as error:
        return {stage.status: _status(metadata.explain(error), kind="failed")}
    notes = list(settings.notes)
    model = settings.request.model
    if model not in studio.models.names():
        notes.append(f"Its model {model!r} is not here, so the chosen one stays.")
    elif settings.model_sha256 and not (studio.model_hash(model) or "").startswith(settings.model_sha256):
        notes.append(f"The model {model!r} has changed since, so the picture will differ.")
    text = " ".join(["Settings taken from the picture.", *notes])
    updates = _fill(studio, controls, settings.request)
    return {**updates, stage.status: _status(text, kind="note" if notes else "news")}


# Words on the page ---------------------------------------------------------------------------------------


_sentences = itertools.count()


def _status(text: str, *, done: float | None = None, kind: Literal["news", "busy", "note", "failed", "hint"] = "news") -> str:
    """The line on the picture.  The text may hold anything and is escaped here.

    News fades after a while; what is busy, failed or worth a thought stays until something else is said.
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
    facts = [f"{request.width} × {request.height}", f"variation {request.seed}"]
    if picture.path:
        facts.append(shown(picture.path))
    return f"<span>{html.escape(' · '.join(facts))}</span>"


def _size_name(width: object, height: object) -> str | None:
    return next((name for name, size in SIZES.items() if size == (width, height)), None)


def _unknown(studio: Studio, model: str, prompt: str) -> str:
    words = studio.unknown_words(model, prompt) if isinstance(model, str) and isinstance(prompt, str) else ()
    if not words:
        return ""
    listed = ", ".join(f"“{word[:30]}”" for word in words[:6])
    return f"<p>This model never learnt {html.escape(listed)}{' and more' if len(words) > 6 else ''}.</p>"
