"""The tab of all pictures that were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gradio as gr

from app.form import translate
from app.form.form import AnyForm
from app.keeping import metadata
from app.keeping.history.facts import read_regular
from app.stage.opening import reopen
from app.studio.jobs import Studio
from app.studio.people import Page
from app.widgets.asking import page_of
from app.widgets.events import PRIVATE
from app.widgets.history import HistoryGrid
from app.widgets.updates import Updates, change
from ldm_core.errors import AtelierError, FileError
from ldm_core.request.raster import read_raster

NO_HISTORY = "The history cannot be kept; the window that the program was started from says why."


def make_tab(
    studio: Studio, tabs: gr.Tabs, made: Sequence[AnyForm], takers: Sequence[tuple[str, str]]
) -> None:
    """Makes the tab's component inside the surrounding `gr.Tab` and connects it.

    Args:
        takers: (title, name) of each tab to which a picture can be sent.
    """
    grid = HistoryGrid(tabs=takers, label="Pictures", elem_id="history")

    def open_(event: gr.EventData, request: gr.Request, *models: object) -> Updates:
        page = page_of(studio, request)
        asked = event._data if isinstance(event._data, dict) else {}
        try:
            data = _file_of(studio, page, asked)
            page.choose(str(asked["id"]))
            form = next((form for form in made if form.name == asked.get("tab")), None)
            if form is None:
                return reopen(studio, page, tabs, made, data)
            model = models[made.index(form)]
            return {**_sent(studio, page, form, data, model), tabs: change(selected=form.name)}
        except AtelierError as error:
            page.say(metadata.explain(error), "failed")
            return {tabs: change(selected=str(asked.get("tab") or made[0].name))}

    filled = [component for form in made for component in form.filled()]
    grid.open(open_, [form.model for form in made], [*filled, tabs], **PRIVATE)


def _file_of(studio: Studio, page: Page, asked: Mapping[str, object]) -> bytes:
    """The content of the picture that a browser names, if it is this person's.

    Raises:
        FileError: there is no such picture.
    """
    id = asked.get("id")
    if studio.history is None:
        raise FileError(NO_HISTORY)
    entry = studio.history.get(id, page.person.id) if isinstance(id, int) and 0 < id < 2**63 else None
    if entry is None:
        raise FileError("That picture is no longer there.")
    return read_regular(studio.history.file(entry))[0]


def _sent(studio: Studio, page: Page, form: AnyForm, data: bytes, model: object) -> Updates:
    """Gives the picture to a form."""
    try:
        request = metadata.read_settings(data).request
    except AtelierError:
        request = None
    page.say("Here it is.")
    return translate.take(studio, form, read_raster(data, "picture"), request, model)
