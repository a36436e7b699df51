"""What goes on from the picture on the stage: it is varied, or sent to another tab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import gradio as gr

from app.form import translate
from app.form.form import AnyForm
from app.stage.stage import Stage, changed_by, follow, form_for, status_line
from app.studio.frames import Finished
from app.studio.jobs import Studio
from app.widgets.events import PRIVATE, QUICK
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError, FileError
from ldm_core.request import drawn_seed, varied
from ldm_core.request.raster import read_raster

VARIATIONS = 4
NOTHING = "There is no picture yet that could be sent on."


def connect(studio: Studio, stage: Stage, tabs: gr.Tabs, made: Sequence[AnyForm]) -> None:
    """For all tabs; a form's name is its tab's id."""

    def send(values: Values, request: gr.Request) -> Updates:
        session = studio.session(str(request.session_hash))
        form = next((form for form in made if form.name == values[stage.send]), None)
        if form is None:
            return {stage.send: ""}
        updates: Updates = {stage.send: ""}
        picture = session.pictures.get(session.shown or "")
        try:
            if picture is None:
                raise FileError(NOTHING)
            updates |= _sent(studio, form, picture, values[form.model])
        except AtelierError as error:
            return {**updates, stage.status: status_line(str(error), kind="failed")}
        return {**updates, tabs: change(selected=form.name), stage.status: status_line("Here it is.")}

    def vary(request: gr.Request) -> Iterator[Updates]:
        yield from _vary(studio, stage, made, str(request.session_hash))

    changed = changed_by(stage, made)
    stage.vary.click(vary, None, changed, trigger_mode="once", concurrency_limit=None, **PRIVATE)
    inputs = {stage.send, *(form.model for form in made)}
    filled = [component for form in made for component in form.filled()]
    stage.send.input(send, inputs, [stage.send, *filled, tabs, stage.status], **QUICK)


def _vary(studio: Studio, stage: Stage, made: Sequence[AnyForm], name: str) -> Iterator[Updates]:
    """Makes several variations of the picture that is shown."""
    session = studio.session(name)
    picture = session.pictures.get(session.shown or "")
    if picture is None or (session.running and not session.sketch):
        yield {stage.status: gr.skip()}
        return
    try:
        request = varied(picture.request, drawn_seed(), VARIATIONS)
    except AtelierError as error:
        yield {stage.status: status_line(str(error), kind="failed")}
        return
    form = form_for(made, request.task)
    yield from follow(stage, form, made, session, request, studio.paint(name, request))


def _sent(studio: Studio, form: AnyForm, picture: Finished, model: object) -> Updates:
    return translate.take(studio, form, read_raster(picture.png, "picture"), picture.request, model)
