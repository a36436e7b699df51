"""A row or column of small pictures to choose from."""

from __future__ import annotations

from collections.abc import Iterable

import gradio as gr

from app.places import ASSETS
from app.studio import Finished

Value = dict[str, list[dict[str, str]] | str]


def filmstrip(pictures: Iterable[Finished], selected: str | None = None) -> Value:
    """What a `Filmstrip` shows.  The browser sets `alt` as text, so prompts need no escaping."""
    items = [{"id": p.id, "src": p.thumb, "alt": p.request.prompt[:120] or "Picture without a prompt"} for p in pictures]
    return {"items": items, "selected": selected or ""}

from gradio.events import Dependency

class Filmstrip(gr.HTML):
    """Fires `pick` with the picture's id as `gr.EventData.id`."""

    def __init__(self, *, label: str, elem_id: str, value: Value | None = None, render: bool = True) -> None:
        super().__init__(
            value=value or filmstrip(()),
            render=render,
            html_template="",
            js_on_load=(ASSETS / "filmstrip.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            label=label,
            elem_id=elem_id,
            elem_classes=["filmstrip"],
        )
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component