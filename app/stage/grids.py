"""What the controls of grids do: they say what would be made, or what is wrong."""

from __future__ import annotations

import html
from collections.abc import Sequence

import gradio as gr

from app.form import translate
from app.form.form import AnyForm
from app.grids.axes import KINDS
from app.studio.grids import outlook
from app.studio.jobs import Studio
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError


def connect(studio: Studio, made: Sequence[AnyForm]) -> None:
    """For all forms that have a grid."""
    for form in made:
        if form.grid is not None:
            _connect(studio, form)


def _connect(studio: Studio, form: AnyForm) -> None:
    grid = form.grid
    assert grid is not None

    def foresee(values: Values) -> Updates:
        try:
            plan = translate.plan_from(form, values)
        except AtelierError as error:
            return {grid.note: f'<p class="problem">{html.escape(form.sentence(error))}</p>'}
        text = "" if plan is None else outlook(plan, studio.paces)
        return {grid.note: f"<p>{html.escape(text)}</p>" if text else ""}

    def exemplify(kind: object) -> dict[str, object]:
        known = KINDS.get(str(kind))
        example = known.example if known else ""
        if kind == "model":
            example = ", ".join(entry.name for entry in studio.models.entries() if entry.is_usable)[:200]
        return change(placeholder=example)

    for kind, text in grid.pairs():
        kind.change(exemplify, kind, text, **QUICK)
    watched = [part.change for part in (grid.switch, *grid.kinds, *grid.values)]
    watched += [
        part.blur for name in translate.WORDS if isinstance(part := form.fields.get(name), gr.Textbox)
    ]
    gr.on(watched, foresee, set(form.inputs()), grid.note, trigger_mode="always_last", **QUICK)
