"""The tab that makes a picture larger."""

from __future__ import annotations

import html
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from app.frames import in_words
from app.given import GivenPicture, given_picture, uploaded
from app.studio import Studio
from app.tabs import form
from app.tabs.form import Form, Own, Updates, Values
from app.tabs.stage import QUICK
from ldm_core.errors import AtelierError, FileError
from ldm_core.models import ModelInfo
from ldm_core.raster import Raster
from ldm_core.request import Request, SuperResolution

SCALES = [("× 2", 2), ("× 4", 4), ("× 8", 8)]


@dataclass(frozen=True, slots=True, eq=False)
class Enlarging(Own):
    """The small picture, and how much larger it becomes."""

    picture: GivenPicture
    scale: gr.Radio
    outlook: gr.HTML

    def components(self) -> list[Component]:
        return [self.picture, self.scale]

    def fields(self, values: Values) -> dict[str, object]:
        image = uploaded(values[self.picture])
        if image is None:
            raise FileError("There is no picture yet: drop, paste or open the one to make larger.")
        return {"image": image, "scale": values[self.scale]}

    def fill(self, request: Request) -> Updates:
        if not isinstance(request, SuperResolution):
            return {}
        return {self.picture: request.image, self.scale: request.scale}

    def suit(self, info: ModelInfo) -> Updates:
        own = info.spec.first_stage.downsampling
        told = f"This model makes × {own}; other sizes are scaled from that."
        return {self.scale: gr.update(value=own if own in (2, 4, 8) else 4, info=told)}

    def take(self, picture: Raster, request: Request) -> Updates:
        return {self.picture: picture}


def build(studio: Studio) -> Form:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    made = form.build(studio, "upscale", ("super-resolution",), own=_controls, several=False, guided=False)
    if isinstance(made.own, Enlarging):
        _connect(studio, made, made.own)
    return made


def _controls() -> Enlarging:
    picture = given_picture("The picture", "upscale-picture")
    scale = gr.Radio(SCALES, value=4, label="How much larger", elem_id="upscale-scale", info="The factor.")
    outlook = gr.HTML("", elem_id="upscale-outlook", elem_classes="note", apply_default_css=False)
    return Enlarging(picture, scale, outlook)


def _connect(studio: Studio, made: Form, own: Enlarging) -> None:
    def foresee(values: Values) -> str:
        try:
            request = form.request_from(made, values)
        except AtelierError as error:
            empty = values[own.picture] is None
            return "" if empty else f'<p class="problem">{html.escape(str(error))}</p>'
        width, height = request.size
        seconds = studio.expected_seconds(request)
        told = "" if seconds is None else f", about {in_words(seconds)}"
        return f"<p>{width} × {height} pixels{told}</p>"

    watched = [own.picture, own.scale, made.model, made.fields["steps"]]
    gr.on([one.change for one in watched], foresee, set(made.inputs()), own.outlook, **QUICK)
