"""Part of the Paint tab: a map of what a segmentation model finds in the picture under the sheet."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np
from gradio.components import Component
from numpy.typing import NDArray

from app.form.sheet import Sheet
from app.studio.jobs import Studio
from app.widgets.canvas_value import CanvasValue
from app.widgets.events import SLOW
from app.widgets.palettes import Palette, nearest, palette_of
from app.widgets.updates import Updates, change
from ldm_core.errors import AtelierError, FileError
from ldm_core.library.class_names import label_names
from ldm_core.library.index import Entry
from ldm_core.request.raster import NOTHING

if TYPE_CHECKING:
    from ldm_core.library.segmentation import Segment

KIND = "segmentation model"  # as the index has it
ADD = (
    "To get a map of a picture, put a model for semantic segmentation into models/: a folder of "
    "transformers, such as nvidia/segformer-b0-finetuned-ade-512-512, with config.json, "
    "preprocessor_config.json and model.safetensors."
)
NO_PICTURE = "There is no picture on the sheet: open one on it, or drop it there."
FIRST = "Any model"
NAMED = 6  # classes of which is said that they were left out


@dataclass(frozen=True, slots=True, eq=False)
class FromPicture:
    """Its components; `look` is there where a model is."""

    studio: Studio
    look: gr.Button
    eyes: gr.Dropdown  # where there are several models
    note: gr.HTML

    def components(self) -> list[Component]:
        return [self.look, self.eyes, self.note]

    def listed(self) -> Updates:
        """What follows from the models that are there now."""
        names = _usable(self.studio)
        refused = [entry for entry in self.studio.models.entries() if entry.kind == KIND and entry.problem]
        return {
            self.look: change(visible=bool(names)),
            self.eyes: change(choices=[FIRST, *names], visible=len(names) > 1),
            self.note: "" if names else _note(" ".join([ADD, *(_refused(entry) for entry in refused)])),
        }


def make_parts(studio: Studio, name: str) -> FromPicture:
    """Makes the components inside the surrounding column."""
    with gr.Accordion("Map from a picture", open=False, elem_classes="more"):
        look = gr.Button("Map from picture", size="sm", min_width=0, elem_id=f"{name}-look", visible=False)
        eyes = gr.Dropdown(
            [FIRST],
            value=FIRST,
            label="Preprocessor",
            info="The segmentation model that tells what is where.",
            elem_id=f"{name}-eyes",
            visible=False,
        )
        note = gr.HTML(_note(ADD), elem_id=f"{name}-look-note", elem_classes="note", apply_default_css=False)
    return FromPicture(studio, look, eyes, note)


def connect(studio: Studio, parts: FromPicture, sheet: Sheet, model: Component) -> None:
    """The picture on the sheet becomes its map."""

    def look(payload: object, eyes: object, model: object) -> Iterator[Updates]:
        yield {parts.note: _note("Looking at the picture…")}
        try:
            value = sheet.canvas.read(payload)
            if value is None or value.image is None:
                raise FileError(NO_PICTURE)
            classes = palette_of(label_names(studio.models.info(str(model)).spec))
            from ldm_core.library.segmentation import segments  # brings torch and transformers

            name = next(iter(_usable(studio)), "") if eyes == FIRST else str(eyes)
            found = segments(studio.models.entry(name).path, value.image)
            labels, left = painted(found, classes)
        except AtelierError as error:
            yield {parts.note: _note(str(error), failed=True)}
            return
        # Gradio sends the last of what is yielded twice, which would be two steps to take back.
        yield sheet.show(CanvasValue(value.width, value.height, labels=labels))
        yield {parts.note: _note(_told(left))}

    outputs = [parts.note, *sheet.components()]
    parts.look.click(look, [sheet.canvas, parts.eyes, model], outputs, **SLOW)


def painted(found: Sequence[Segment], classes: Palette) -> tuple[NDArray[np.uint8], list[str]]:
    """The map (height, width), and the names for which there is no class: nothing is painted there.

    Raises:
        FileError: nothing has one.
    """
    labels = np.full(found[0][1].shape, NOTHING, np.uint8)
    left = []
    for name, where in found:
        index = nearest(name, classes)
        if index is None:
            left.append(name)
        else:
            labels[where] = index
    if len(left) == len(found):
        raise FileError(f"Nothing in the picture has a class here: {_some(left)}.")
    return labels, left


def _usable(studio: Studio) -> list[str]:
    return [entry.name for entry in studio.models.entries() if entry.kind == KIND and not entry.problem]


def _told(left: Sequence[str]) -> str:
    return f"Left empty, as there is no class for it: {_some(left)}." if left else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (" and more" if len(names) > NAMED else "")


def _refused(entry: Entry) -> str:
    return f"{entry.name} cannot be used: {entry.problem}"


def _note(text: str, *, failed: bool = False) -> str:
    if not text:
        return ""
    return f"<p{' class=problem' if failed else ''}>{html.escape(text)}</p>"
