"""The tab that makes pictures from a prompt."""

from __future__ import annotations

from app.studio import Studio
from app.tabs import form
from app.tabs.form import Form

PROMPT = "A calm lake at sunset, snowy mountains behind"


def build(studio: Studio) -> Form:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    return form.build(studio, "text", ("text-to-image",), prompt=PROMPT, sized=True)
