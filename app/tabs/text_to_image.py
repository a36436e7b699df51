"""The tab that makes pictures from a prompt, or from a prompt and a picture to start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from app.form import form
from app.form.form import AnyForm, Extra, Form
from app.form.picture_input import PictureInput, picture_input, still_there, uploaded
from app.studio.jobs import Studio
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError
from ldm_core.request import FRACTION, ImageToImage, Request
from ldm_core.request.raster import Raster

PROMPT = "Snowy mountains, a lake, pine trees, at sunset, in summer"
STRENGTH = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Starting(Extra):
    """The picture to start from, if there is one."""

    picture: PictureInput
    strength: gr.Slider

    def controls(self) -> Mapping[str, Component]:
        return {"strength": self.strength}

    def kept(self) -> Mapping[str, Component]:
        return {"picture": self.picture}

    def restore(self, kept: Mapping[str, object]) -> Updates:
        return {self.picture: still_there(kept.get("picture"))}

    def components(self) -> list[Component]:
        return [self.picture]

    def main_input(self) -> Component:
        return self.picture

    def fields(self, values: Values) -> dict[str, object]:
        image = uploaded(values[self.picture])
        return {} if image is None else {"task": "image-to-image", "image": image}

    def fill(self, request: Request) -> Updates:
        return {self.picture: request.image if isinstance(request, ImageToImage) else None}

    def take(self, picture: Raster, request: Request | None) -> Updates:
        return {self.picture: picture}


def make_tab(studio: Studio) -> Form[Starting]:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    tasks = ("text-to-image", "image-to-image")
    made = form.make_form(studio, "text", tasks, _controls, prompt=PROMPT, sized=True)
    _connect(studio, made, made.extra.picture)
    return made


def _controls() -> Starting:
    with gr.Accordion("Start from a picture", open=False, elem_classes="start", elem_id="text-start") as fold:
        picture = picture_input("The first picture", "text-picture")
        strength = gr.Slider(
            *FRACTION,
            value=STRENGTH,
            step=0.05,
            label="Denoising strength",
            info="How much is new: near 0 the picture stays, at 1 nothing does. Shapes go at about 0.7.",
            elem_id="text-strength",
        )
    picture.change(lambda value: change(open=True) if value else gr.skip(), picture, fold, **QUICK)
    return Starting(picture, strength)


def _connect(studio: Studio, made: AnyForm, picture: PictureInput) -> None:
    """A picture that a person puts there brings its shape; another one can be chosen afterwards."""

    def resize(values: Values) -> Updates:
        try:
            image = uploaded(values[picture])
        except AtelierError:  # told when the picture is to be made
            image = None
        if image is None:
            return {picture: gr.skip()}
        return form.resize(studio, made, values[made.model], image.width, image.height)

    size = [made.fields["width"], made.fields["height"], *([made.shape] if made.shape else [])]
    picture.upload(resize, {picture, made.model}, [picture, *size], **QUICK)
