"""The page around the tabs: the line on top, the rail of latest pictures, the look."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import gradio as gr

from app.form.form import AnyForm, relist
from app.stage import controls, downloading, examples, jobs_list, onward, opening, stage, timeline, watch
from app.studio.jobs import Studio
from app.tabs import classes, history, inpaint, layout, models, paint, text_to_image, upscale
from app.web import api
from app.widgets.blocks import Blocks
from app.widgets.components import Filmstrip
from app.widgets.events import QUICK
from app.widgets.history import HistoryRail
from app.widgets.queue_list import Link, QueueList
from app.widgets.updates import Updates
from ldm_core.bundled import ASSETS

TITLE = "Latent Atelier"
LEAVE = "leave"  # relative, for a proxy may have the page below a folder
# What each tab that makes pictures is called, in the program and on the page, and what makes it.
TABS: tuple[tuple[str, str, Callable[[Studio], AnyForm]], ...] = (
    ("text", "Text to image", text_to_image.make_tab),
    ("inpaint", "Inpaint", inpaint.make_tab),
    ("upscale", "Upscale", upscale.make_tab),
    ("paint", "Paint", paint.make_tab),
    ("layout", "Layout", layout.make_tab),
    ("classes", "Classes", classes.make_tab),
)


def build_page(studio: Studio) -> gr.Blocks:
    """The whole page, ready for `launch`."""
    with Blocks(title=TITLE, fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        api.serve(studio)  # first, for gradio gives each name once
        gr.HTML(f"<h1>{TITLE}</h1>", elem_id="brand", apply_default_css=False)
        with gr.Row(elem_id="facts"):
            engine = gr.HTML(_engine(studio), elem_id="engine", apply_default_css=False)
            opener = gr.UploadButton(
                "Open picture", elem_id="open", file_types=["image"], size="sm", min_width=0
            )
            if studio.has_guests:
                gr.HTML(f'<a href="{LEAVE}">Leave</a>', elem_id="leave", apply_default_css=False)
            keys = gr.Button("?", elem_id="keys", size="sm", min_width=0)
            theme = gr.Button("Dark", elem_id="theme", size="sm", min_width=0)
            full = gr.Button("Full screen", elem_id="full", size="sm", min_width=0)
            unfold = gr.Button("Queue", elem_id="queue-fold", size="sm", min_width=0)
            fold = gr.Button("Pictures", elem_id="fold", size="sm", min_width=0)
        with gr.Row(elem_id="shell"):
            with (
                gr.Column(elem_id="tasks", min_width=0),
                gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs,
            ):
                made, pictures, listing = _tabs(studio)
            with gr.Column(elem_id="stage", min_width=0):
                rail = HistoryRail(label="Latest pictures", elem_id="latest", render=False)
                making = Filmstrip(label="Being made", elem_id="making", render=False)
                parts = stage.make_stage(studio, opener, rail, making, _takers(made))
                options = downloading.make_options()
                welcome = examples.make_welcome()
            with gr.Column(elem_id="jobs", min_width=0):
                gr.HTML("<h2>Queue</h2>", elem_id="jobs-title", apply_default_css=False)
                queue = QueueList(label="Queue", elem_id="queue")
            with gr.Column(elem_id="rail", min_width=0):
                making.render()
                gr.HTML("<h2>Latest pictures</h2>", elem_id="rail-title", apply_default_css=False)
                rail.render()
        link = Link(elem_id="link")
        stage.connect(studio, parts, tabs, made)
        watch.connect(studio, parts, link, queue, made)
        jobs_list.connect(studio, queue)
        downloading.connect(page, studio, parts, options)
        timeline.connect(studio, parts, made)
        onward.connect(studio, parts, tabs, made)
        opening.connect(studio, parts, tabs, made)
        examples.connect(studio, welcome, tabs, made)
        controls.connect(page, studio, made)
        with pictures:
            history.make_tab(studio, tabs, made, _takers(made))
        with listing:
            models.make_tab(page, studio, made, tabs, listing)
        keys.click(None, None, None, js="() => latentAtelier.showKeys()", api_visibility="private")
        theme.click(None, None, None, js="() => latentAtelier.toggleTheme()", api_visibility="private")
        full.click(None, None, None, js="() => atelierViewport.toggleFull()", api_visibility="private")
        unfold.click(None, None, None, js="() => latentAtelier.toggleQueue()", api_visibility="private")
        fold.click(None, None, None, js="() => latentAtelier.toggleRail()", api_visibility="private")
        _watch_engine(studio, engine, made)
    return page


def _tabs(studio: Studio) -> tuple[list[AnyForm], gr.Tab, gr.Tab]:
    """The forms of the tabs that make pictures; those of pictures and of models are filled later."""
    made = []
    for name, title, make_tab in TABS:
        with gr.Tab(title, id=name) as tab:
            form = make_tab(studio)
        _keep_listed(studio, tab, form)
        made.append(form)
    sheets = [form.extra.sheet for form in made if isinstance(form.extra, paint.Painting)]
    for form in made:
        if isinstance(form.extra, layout.Layout):
            layout.connect(studio, form.extra, form.model, sheets[0].canvas)
    return made, gr.Tab("History", id="history"), gr.Tab("Models", id="models")


def _takers(made: list[AnyForm]) -> list[tuple[str, str]]:
    """(title, name) of each tab to which a picture can be sent."""
    titles = {name: title for name, title, _ in TABS}
    return [(titles[form.name], form.name) for form in made if form.takes]


def _keep_listed(studio: Studio, tab: gr.Tab, form: AnyForm) -> None:
    """Models come and go; a tab looks when it is opened."""

    def look(model: object) -> Updates:
        return relist(studio, form, model)

    tab.select(look, form.model, form.filled(), **QUICK)


def head(*, owner: bool = True) -> str:
    """What goes into the page's head: our style and script, in the page itself.

    Given as gradio's `css`, every rule would be moved below a class of gradio's, `:root` and `body` as well.
    """
    style, script = (
        "".join((ASSETS / name).read_text(encoding="utf-8") for name in names)
        for names in (
            ("atelier.css", "models.css", "history.css"),
            ("atelier.js", "viewport.js", "overview.js", "fault.js", "keys.js", "prompting.js"),
        )
    )
    guest = "" if owner else 'document.documentElement.dataset.owner = "no";'
    return f"<style>{style}</style><script>{guest}{script}</script>"


def _watch_engine(studio: Studio, engine: gr.HTML, made: Sequence[AnyForm]) -> None:
    """Looks every second whether the engine is up, and which models there are, until it is."""
    timer = gr.Timer(1)

    def look(*models: object) -> Updates:
        ready = studio.is_ready
        updates: Updates = {engine: _engine(studio), timer: gr.Timer(active=not ready)}
        for form, model in zip(made, models, strict=True):
            if ready or not model:
                updates |= relist(studio, form, model)
        return updates

    filled = [component for form in made for component in form.filled()]
    timer.tick(look, [form.model for form in made], [engine, timer, *filled], **QUICK)


def _engine(studio: Studio) -> str:
    """The device in use, in words."""
    if not studio.is_ready:
        words = "Loading the model…"
    else:
        words = studio.problem or studio.device
    return f"<span>{html.escape(words)}</span>"
