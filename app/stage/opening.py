"""A picture that is opened or dropped: a saved one fills a form, another goes where it is of use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from app.form import defaults, translate
from app.form.form import AnyForm, form_for
from app.form.picture_input import uploaded
from app.keeping import metadata
from app.keeping.readers.models import at_home
from app.stage.stage import Stage
from app.studio.jobs import Studio
from app.studio.people import Page
from app.widgets.asking import page_of
from app.widgets.events import PRIVATE
from app.widgets.updates import Updates, change
from app.widgets.uploads import uploaded_file
from ldm_core.errors import AtelierError, FileError

# What a picture without settings becomes in the tab that is open.
USES = {
    "text": "it is the picture to start from now",
    "inpaint": "it is on the canvas now",
    "upscale": "it is the picture to make larger now",
    "paint": "it lies under what is painted now",
    "layout": "it lies under the boxes now",
}


def connect(studio: Studio, stage: Stage, tabs: gr.Tabs, made: Sequence[AnyForm]) -> None:
    """For all tabs; a form's name is its tab's id."""
    open_tab = gr.JSON(visible=False)

    def open_picture(payload: object, name: object, request: gr.Request, *models: object) -> Updates:
        if payload is None:
            return {tabs: gr.skip()}
        page = page_of(studio, request)
        chosen = dict(zip(made, models, strict=True))
        here = next((form for form in made if form.name == name), None)
        try:
            try:
                return reopen(studio, page, tabs, made, uploaded_file(payload))
            except FileError:
                if here is None or here.name not in USES:
                    raise
                return _given(studio, page, here, payload, chosen[here])
        except AtelierError as error:
            page.say(metadata.explain(error), "failed")
            return {tabs: gr.skip()}

    filled = [component for form in made for component in form.filled()]
    stage.open.upload(
        open_picture,
        [stage.open, open_tab, *(form.model for form in made)],
        [*filled, tabs],
        js="(file, _, ...models) => [file, latentAtelier.openTab(), ...models]",
        **PRIVATE,
    )


def reopen(
    studio: Studio, page: Page, tabs: gr.Tabs, made: Sequence[AnyForm], picture: Path | bytes
) -> Updates:
    """Takes the settings over from a saved picture.

    Raises:
        FileError: it has none.
        RequestError: it has some that are not allowed.
    """
    settings = metadata.read_settings(picture)
    form = form_for(made, settings.request.task)
    there = defaults.serving(studio, form.tasks)
    settings = at_home(settings, there, studio.models.entries(), studio.model_hash)
    notes = list(settings.notes)
    model = settings.request.model
    if "model" not in settings.fields_set:
        notes.insert(0, "It does not say its model, so the chosen one stays.")
    elif model not in (entry.name for entry in there):
        notes.insert(0, f"Its model {model[:60]!r} is not here, so the chosen one stays.")
    if note := form.words.written(settings.request).note:
        notes.append(note)
    notes += translate.left_out(form, settings.request)
    by = f" as {settings.program} writes them" if settings.program else ""
    page.say(" ".join([f"Settings taken from the picture{by}.", *notes]), "note" if notes else "news")
    return {
        **translate.fill(studio, form, settings.request, settings.fields_set),
        tabs: change(selected=form.name),
    }


def _given(studio: Studio, page: Page, form: AnyForm, payload: object, model: object) -> Updates:
    """Takes over a picture without settings.

    Raises:
        AtelierError: it is none, or the tab cannot use it.
    """
    picture = uploaded(payload)
    if picture is None:
        raise FileError("There is no picture; open one.")
    updates = translate.take(studio, form, picture, None, model)
    text = " ".join([f"No settings are in this file; {USES[form.name]}.", *picture.notes])
    page.say(text, "note" if picture.notes else "news")
    return updates
