"""What the timeline under a picture does: going on from an earlier step, halting a job and changing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import gradio as gr

from app.form import parts, translate
from app.form.form import AnyForm
from app.stage.stage import Stage, changed_by, follow, form_for, refusal, status_line
from app.studio.jobs import Studio
from app.widgets.events import PRIVATE, QUICK
from app.widgets.updates import Updates, Values
from ldm_core.errors import AtelierError


def connect(studio: Studio, stage: Stage, made: Sequence[AnyForm]) -> None:
    """The request is made of the form that made the picture, as it stands then."""

    def branch(values: Values, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        data = event._data if isinstance(event._data, dict) else {}
        key, step = str(data.get("key")), data.get("step")
        step = step if isinstance(step, int) else 0
        yield from _branch(studio, stage, made, values, str(request.session_hash), key, step)

    def pause(request: gr.Request) -> None:
        studio.pause(str(request.session_hash))

    def proceed(values: Values, request: gr.Request) -> Updates:
        return _proceed(studio, stage, made, values, str(request.session_hash))

    inputs = {component for form in made for component in form.inputs()}
    # A branch may take the place of another one.
    changed = changed_by(stage, made)
    stage.timeline.branch(branch, inputs, changed, trigger_mode="multiple", concurrency_limit=None, **PRIVATE)
    stage.timeline.pause(pause, None, None, **QUICK)
    stage.timeline.proceed(proceed, inputs, stage.status, **QUICK)


def _branch(
    studio: Studio, stage: Stage, made: Sequence[AnyForm], values: Values, name: str, key: str, step: int
) -> Iterator[Updates]:
    """Goes on from a step of a picture."""
    try:
        job, _ = studio.timelines.find(key)
    except AtelierError as error:
        yield {stage.status: status_line(str(error), kind="failed")}
        return
    form = form_for(made, job.request.task)
    try:
        request = translate.request_from(form, {**values, form.branch: None})
        frames = studio.branch(name, key, step, request)
    except AtelierError as error:
        yield {stage.status: refusal(form, error)}
        return
    yield from follow(stage, form, made, studio.session(name), request, frames)


def _proceed(studio: Studio, stage: Stage, made: Sequence[AnyForm], values: Values, name: str) -> Updates:
    """Lets a halted job go on, by what the form says now."""
    job = studio.session(name).job
    if job is None:
        return {stage.status: gr.skip()}
    form = form_for(made, job.request.task)
    try:
        now = {**values, form.seed_mode: parts.KEEP_SEED, form.branch: None}
        studio.resume(name, translate.requests_from(form, now))
    except AtelierError as error:
        return {stage.status: refusal(form, error)}
    return {stage.status: status_line("Going on…", kind="busy")}
