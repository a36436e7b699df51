"""The stage: the picture that is made, what is said of it, and what happens when something is pressed.

All tabs share it; it is beside them, so a picture stays in sight when another tab is opened.  What it shows
is written by `watch.py` alone.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from app.form import parts, translate
from app.form.form import AnyForm, form_for
from app.stage.view import HINT
from app.studio.jobs import Studio
from app.studio.people import Kind, Page
from app.widgets.asking import page_of
from app.widgets.components import Compare, Filmstrip, Legend, LiveImage, Timeline
from app.widgets.events import QUICK
from app.widgets.history import HistoryRail
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError

_sentences = itertools.count()


@dataclass(frozen=True, slots=True)
class Stage:
    """The components in the centre, and the rail that follows them."""

    picture: LiveImage
    compare: Compare
    status: gr.HTML
    timeline: Timeline
    strip: Filmstrip
    legend: Legend
    details: gr.HTML
    reuse: gr.Button
    download: gr.Button
    vary: gr.Button
    send: gr.Dropdown
    open: gr.UploadButton
    rail: HistoryRail
    making: Filmstrip

    def shown(self) -> list[Component]:
        """What follows from the thing that the page looks at."""
        strips = [self.strip, self.legend, self.rail, self.making]
        return [self.picture, self.compare, self.status, self.timeline, self.details, *strips, *self.onward()]

    def onward(self) -> list[Component]:
        """What can be done with it."""
        return [self.vary, self.send, self.download, self.reuse]


def make_stage(
    studio: Studio,
    opener: gr.UploadButton,
    rail: HistoryRail,
    making: Filmstrip,
    takers: Sequence[tuple[str, str]],
) -> Stage:
    """Makes the stage inside the surrounding column.

    Args:
        opener: of a saved picture, or another.
        rail: of the latest pictures.
        making: the job that runs, to come back to.
        takers: (title, name) of each tab to which a picture can be sent.
    """
    picture = LiveImage(
        format="png",
        show_label=False,
        container=False,
        interactive=False,
        buttons=[],
        elem_id="picture",
    )
    compare = Compare(label="Before and after", elem_id="compare")
    status = gr.HTML(status_line(HINT, kind="hint"), elem_id="status", apply_default_css=False)
    timeline = Timeline(studio.timelines, label="Steps of this picture", elem_id="timeline")
    strip = Filmstrip(label="Pictures of this batch", elem_id="strip")
    legend = Legend(label="The grid", elem_id="legend")
    grid = gr.Button("All at once", elem_id="grid", size="sm", min_width=0)
    grid.click(None, None, None, js="() => latentAtelier.toggleGrid()", api_visibility="private")
    details = gr.HTML("", elem_id="details", apply_default_css=False)
    with gr.Row(elem_id="under"):
        small = {"size": "sm", "min_width": 0}
        with gr.Row(elem_id="onward"):
            reuse = gr.Button("Reuse settings", elem_id="reuse", interactive=False, **small)
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
    return Stage(
        picture,
        compare,
        status,
        timeline,
        strip,
        legend,
        details,
        reuse,
        download,
        vary,
        send,
        opener,
        rail,
        making,
    )


# Connecting ----------------------------------------------------------------------------------------------


def connect(studio: Studio, stage: Stage, tabs: gr.Tabs, made: Sequence[AnyForm]) -> None:
    """Making, stopping, looking at and reusing pictures, for all tabs.

    `made` has the tabs' forms; a form's name is its tab's id.
    """
    for form in made:
        _connect_making(studio, form)
    _connect_looking(studio, stage, tabs, made)


def _connect_making(studio: Studio, form: AnyForm) -> None:
    """Each press adds a job with the form as it is then."""

    def press(values: Values, request: gr.Request) -> Updates:
        return generate(studio, form, values, page_of(studio, request))

    def stop(request: gr.Request) -> None:
        studio.jobs.stop(page_of(studio, request))

    inputs, seed = set(form.inputs()), [form.fields["seed"], form.kin]
    form.generate.click(press, inputs, seed, trigger_mode="multiple", **QUICK)
    form.stop.click(stop, None, None, **QUICK)
    if form.live is not None:
        switch, canvas = form.live

        def draw(values: Values, request: gr.Request) -> Updates:
            if values[switch] is not True:
                return {form.kin: gr.skip()}
            return sketch(studio, form, values, page_of(studio, request))

        canvas.stroke(draw, inputs, seed, trigger_mode="multiple", **QUICK)
        switch.input(lambda: parts.KEEP_SEED, None, form.seed_mode, **QUICK)


def _connect_looking(studio: Studio, stage: Stage, tabs: gr.Tabs, made: Sequence[AnyForm]) -> None:
    def pick(event: gr.EventData, request: gr.Request) -> None:
        page = page_of(studio, request)
        chosen = event._data.get("id") if isinstance(event._data, dict) else None
        if not page.choose(str(chosen)):
            page.say("That picture is no longer at hand here; its file is in the outputs folder.", "note")

    def reuse(request: gr.Request) -> Updates:
        page = page_of(studio, request)
        picture = page.picture
        if picture is None:
            page.say("There is no picture yet whose settings could be used.")
            return {tabs: gr.skip()}
        form = form_for(made, picture.request.task)
        notes = translate.left_out(form, picture.request)
        page.say(" ".join(["These settings are in the controls now.", *notes]), "note" if notes else "news")
        return {**translate.fill(studio, form, picture.request), tabs: change(selected=form.name)}

    filled = [component for form in made for component in form.filled()]
    for strip in (stage.strip, stage.rail, stage.making):
        strip.pick(pick, None, None, **QUICK)
    stage.reuse.click(reuse, None, [*filled, tabs], **QUICK)


# Handlers ------------------------------------------------------------------------------------------------


def generate(studio: Studio, form: AnyForm, values: Values, page: Page) -> Updates:
    """Queues what a form describes; the page follows it."""
    ahead = studio.jobs.open(page.person)
    try:
        plan = translate.plan_from(form, values)
        requests = translate.requests_from(form, values) if plan is None else plan.requests
        if plan is not None:
            studio.grids.begin(plan)
        studio.jobs.add(page.person, requests)
    except AtelierError as error:
        refuse(page, form, error)
        return {form.kin: gr.skip()}
    page.follow()
    if ahead:
        page.say(f"In the queue, behind {ahead} other{'s' if ahead > 1 else ''}")
    return translate.seeded(form, requests[0])


def sketch(studio: Studio, form: AnyForm, values: Values, page: Page) -> Updates:
    """Shows quickly what a form describes."""
    try:
        request = translate.sketch_from(form, values)
    except AtelierError as error:
        refuse(page, form, error)
        return {form.kin: gr.skip()}
    studio.jobs.sketch(page, request)
    return translate.seeded(form, request)


def refuse(page: Page, form: AnyForm, error: AtelierError) -> None:
    """Says what is wrong with what a form asks for, at the control as well."""
    page.say(form.sentence(error), "failed", form.at_fault(error))


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
