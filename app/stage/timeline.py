"""What the timeline under a picture does: going on from an earlier step, halting a job and changing it."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from app.form import parts, translate
from app.form.form import AnyForm, form_for
from app.stage.stage import Stage, refuse
from app.studio.jobs import Studio
from app.studio.people import Page
from app.widgets.asking import page_of
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values
from ldm_core.errors import AtelierError


def connect(studio: Studio, stage: Stage, made: Sequence[AnyForm]) -> None:
    """The request is made of the form that made the picture, as it stands then."""

    def branch(values: Values, event: gr.EventData, request: gr.Request) -> Updates:
        data = event._data if isinstance(event._data, dict) else {}
        key, step = str(data.get("key")), data.get("step")
        page = page_of(studio, request)
        return _branch(studio, page, made, values, key, step if isinstance(step, int) else 0)

    def pause(request: gr.Request) -> None:
        studio.jobs.pause(page_of(studio, request))

    def proceed(values: Values, request: gr.Request) -> None:
        _proceed(studio, page_of(studio, request), made, values)

    inputs = {component for form in made for component in form.inputs()}
    seeds = [part for form in made for part in (form.fields["seed"], form.kin)]
    stage.timeline.branch(branch, inputs, seeds, trigger_mode="multiple", **QUICK)
    stage.timeline.pause(pause, None, None, **QUICK)
    stage.timeline.proceed(proceed, inputs, None, **QUICK)


def _branch(
    studio: Studio, page: Page, made: Sequence[AnyForm], values: Values, key: str, step: int
) -> Updates:
    """Goes on from a step of a picture; the page follows."""
    form = made[0]
    try:
        job, _ = studio.timelines.find(key, page.person.id)
        form = form_for(made, job.request.task)
        request = translate.request_from(form, {**values, form.branch: None})
        studio.jobs.branch(page.person, key, step, request)
    except AtelierError as error:
        refuse(page, form, error)
        return {form.kin: gr.skip()}
    page.follow()
    return translate.seeded(form, request)


def _proceed(studio: Studio, page: Page, made: Sequence[AnyForm], values: Values) -> None:
    """Lets a halted job go on, by what the form says now."""
    run = page.run
    if run is None:
        return
    form = form_for(made, run.request.task)
    try:
        now = {**values, form.seed_mode: parts.KEEP_SEED, form.branch: None}
        studio.jobs.resume(page, translate.requests_from(form, now))
    except AtelierError as error:
        refuse(page, form, error)
