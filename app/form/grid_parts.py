"""The controls of a grid: up to three things that vary, and what comes of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from app.grids.axes import KINDS
from app.widgets.updates import Values

NOTHING = ("Nothing", "")
NAMES = ("Across", "Down", "Pages")


@dataclass(frozen=True, slots=True, eq=False)
class GridParts:
    """Of one form.

    Attributes:
        switch: whether Generate makes a grid.
        kinds, values: what varies across, down and page by page, and how.
        note: how many pictures, and about how long, or what is wrong.
    """

    switch: gr.Checkbox
    kinds: tuple[gr.Dropdown, ...]
    values: tuple[gr.Textbox, ...]
    note: gr.HTML

    def inputs(self) -> list[Component]:
        return [self.switch, *self.kinds, *self.values]

    def asked(self, values: Values) -> list[tuple[str, str]]:
        """(kind, values) of each axis; none where no grid is wanted."""
        if values[self.switch] is not True:
            return []
        pairs = ((str(values[kind] or ""), str(values[text] or "")) for kind, text in self.pairs())
        return [(kind, text) for kind, text in pairs if kind]

    def pairs(self) -> list[tuple[gr.Dropdown, gr.Textbox]]:
        return list(zip(self.kinds, self.values, strict=True))


def make_grid(form: str, fields: Collection[str]) -> GridParts:
    """Makes them, folded, in the surrounding column.

    Args:
        fields: of the form; only these, and the words of its prompt, can vary.
    """
    worded = {"replace", "order", "lora"} if "prompt" in fields else set()
    choices = [(kind.title, name) for name, kind in KINDS.items() if name in worded or kind.field in fields]
    choices = [choice for choice in choices if choice[1] != "variation_strength"]
    with gr.Accordion("Grid", open=False, elem_classes="aside", elem_id=f"{form}-grid"):
        switch = gr.Checkbox(
            False,
            label="Generate makes a grid",
            info="A picture for each combination of what varies, from one seed, and one of them all.",
            elem_id=f"{form}-grid-switch",
        )
        kinds, values = [], []
        for i, name in enumerate(NAMES):
            with gr.Row(elem_classes="pair"):
                kinds.append(
                    gr.Dropdown(
                        [NOTHING, *choices], value="", label=name, min_width=0, elem_id=f"{form}-axis-{i}"
                    )
                )
                values.append(
                    gr.Textbox(
                        "",
                        label="Values",
                        info="Between commas; also 1-10 (+2), or 1-10 [5] for five values.",
                        max_lines=1,
                        min_width=0,
                        elem_id=f"{form}-axis-{i}-values",
                    )
                )
        note = gr.HTML("", elem_id=f"{form}-grid-note", elem_classes="note", apply_default_css=False)
    return GridParts(switch, tuple(kinds), tuple(values), note)
