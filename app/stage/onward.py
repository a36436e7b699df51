"""What goes on from the picture on the stage: it is varied, or sent to another tab."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from app.form import translate
from app.form.form import AnyForm
from app.stage.stage import Stage
from app.studio.frames import Finished
from app.studio.jobs import Studio
from app.studio.people import Page
from app.widgets.asking import page_of
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError, FileError
from ldm_core.request import Remove, drawn_seed, varied
from ldm_core.request.raster import read_raster

VARIATIONS = 4
NOTHING = "There is no picture yet that could be sent on."


def connect(studio: Studio, stage: Stage, tabs: gr.Tabs, made: Sequence[AnyForm]) -> None:
    """For all tabs; a form's name is its tab's id."""

    def send(values: Values, request: gr.Request) -> Updates:
        page = page_of(studio, request)
        updates: Updates = {stage.send: ""}
        form = next((form for form in made if form.name == values[stage.send]), None)
        if form is None:
            return updates
        try:
            if page.picture is None:
                raise FileError(NOTHING)
            updates |= _sent(studio, form, page.picture, values[form.model])
        except AtelierError as error:
            page.say(str(error), "failed")
            return updates
        page.say("Here it is.")
        return {**updates, tabs: change(selected=form.name)}

    def vary(request: gr.Request) -> None:
        _vary(studio, page_of(studio, request))

    stage.vary.click(vary, None, None, trigger_mode="multiple", **QUICK)
    inputs = {stage.send, *(form.model for form in made)}
    filled = [component for form in made for component in form.filled()]
    stage.send.input(send, inputs, [stage.send, *filled, tabs], **QUICK)


def _vary(studio: Studio, page: Page) -> None:
    """Makes several variations of the picture that is shown."""
    picture = page.picture
    if picture is None:
        return
    if isinstance(picture.request, Remove):
        page.say("Nothing in this picture was drawn by chance, so there are no variations of it.", "note")
        return
    try:
        studio.jobs.add(page.person, [varied(picture.request, drawn_seed(), VARIATIONS)])
    except AtelierError as error:
        page.say(str(error), "failed")
        return
    page.follow()


def _sent(studio: Studio, form: AnyForm, picture: Finished, model: object) -> Updates:
    return translate.take(studio, form, read_raster(picture.png, "picture"), picture.request, model)
