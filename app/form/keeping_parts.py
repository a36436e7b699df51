"""The controls of presets and styles: settings and words by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

_SMALL = {"size": "sm", "min_width": 0}


@dataclass(frozen=True, slots=True, eq=False)
class PresetParts:
    """Of one form; guests can only export and import, since nothing of theirs is kept here."""

    choose: gr.Dropdown
    name: gr.Textbox
    save: gr.Button
    rename: gr.Button
    delete: gr.Button
    default: gr.Button
    export: gr.Button
    load: gr.UploadButton
    keep_style: gr.Button
    drop_style: gr.Button
    note: gr.HTML


def make_presets(form: str, names: Sequence[str], *, owner: bool, worded: bool) -> PresetParts:
    """Makes them, folded, in the surrounding column.

    Args:
        names: of the presets that there are.
        owner: whether they can be kept here.
        worded: whether the form has a prompt, of which a style can be made.
    """
    with gr.Accordion("Presets", open=False, elem_classes="aside", elem_id=f"{form}-presets"):
        choose = gr.Dropdown(
            list(names),
            value=None,
            label="Preset",
            info="All settings of this tab by name; choosing one puts them here.",
            elem_id=f"{form}-preset",
            visible=owner,
        )
        name = gr.Textbox(
            "",
            label="Name",
            info="Of the preset, or of the style: words above, in which {prompt} stands for others.",
            max_lines=1,
            elem_id=f"{form}-preset-name",
        )
        with gr.Row(elem_classes="small-buttons"):
            save = gr.Button("Save", elem_id=f"{form}-preset-save", visible=owner, **_SMALL)
            rename = gr.Button("Rename", elem_id=f"{form}-preset-rename", visible=owner, **_SMALL)
            delete = gr.Button("Delete", elem_id=f"{form}-preset-delete", visible=owner, **_SMALL)
            default = gr.Button(
                "Default of this model", elem_id=f"{form}-preset-default", visible=owner, **_SMALL
            )
            export = gr.Button("Export", elem_id=f"{form}-preset-export", **_SMALL)
            load = gr.UploadButton("Import", file_types=[".json"], elem_id=f"{form}-preset-import", **_SMALL)
            keep_style = gr.Button(
                "Save as style", elem_id=f"{form}-style-save", visible=owner and worded, **_SMALL
            )
            drop_style = gr.Button(
                "Delete style", elem_id=f"{form}-style-delete", visible=owner and worded, **_SMALL
            )
        note = gr.HTML("", elem_id=f"{form}-preset-note", elem_classes="note", apply_default_css=False)
    return PresetParts(
        choose, name, save, rename, delete, default, export, load, keep_style, drop_style, note
    )
