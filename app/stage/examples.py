"""What an empty stage shows: pictures of the bundled models to begin with.

Each is a saved picture in assets/examples, with its settings inside: a new one is one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from app.form.form import AnyForm
from app.keeping import metadata
from app.stage.opening import reopen
from app.studio.jobs import Studio
from app.widgets.asking import page_of
from app.widgets.components import words_of
from app.widgets.events import QUICK
from app.widgets.scripts import Scripted, served
from app.widgets.updates import Updates
from ldm_core.bundled import ASSETS

FOLDER = ASSETS / "examples"


class Welcome(Scripted):
    """A sentence for each tab and pictures; fires `pick` with an example's `name`."""

    script = "welcome.js"


def examples() -> list[Path]:
    """The files, in the order in which they are shown."""
    return sorted(FOLDER.glob("*.webp"))


def make_welcome() -> Welcome:
    """Makes it inside the surrounding column."""
    shown = [
        {
            "name": path.name,
            "src": f"{served(FOLDER.name)}/{path.name}",
            "words": words_of(metadata.read_settings(path).request),
        }
        for path in examples()
    ]
    return Welcome(label="Examples", elem_id="welcome", value={"examples": shown})


def connect(studio: Studio, welcome: Welcome, tabs: gr.Tabs, made: Sequence[AnyForm]) -> None:
    """An example fills the form that makes it."""
    there = {path.name: path for path in examples()}

    def pick(event: gr.EventData, request: gr.Request) -> Updates:
        chosen = there.get(str(event._data.get("name"))) if isinstance(event._data, dict) else None
        if chosen is None:
            return {tabs: gr.skip()}
        page = page_of(studio, request)
        updates = reopen(studio, page, tabs, made, chosen)
        if page.message is None or page.message.kind == "news":  # a note on what is missing here stays
            page.say("Press Generate to make this picture, or change its words first.")
        return updates

    filled = [component for form in made for component in form.filled()]
    welcome.pick(pick, None, [*filled, tabs], **QUICK)
