"""The tab that makes a picture larger."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from app.form import form, translate
from app.form.form import AnyForm, Extra, Form
from app.form.picture_input import PictureInput, picture_input, still_there, uploaded
from app.studio.frames import in_words
from app.studio.jobs import Studio
from app.widgets.asking import page_of
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError, FileError
from ldm_core.library.models import ModelInfo
from ldm_core.request import Request, SuperResolution
from ldm_core.request.raster import Raster

SCALES = [("× 2", 2), ("× 4", 4), ("× 8", 8)]


@dataclass(frozen=True, slots=True, eq=False)
class Enlarging(Extra):
    """The small picture, and how much larger it becomes."""

    picture: PictureInput
    scale: gr.Radio
    outlook: gr.HTML

    def controls(self) -> Mapping[str, Component]:
        return {"scale": self.scale}

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
        if image is None:
            raise FileError("There is no picture yet: drop, paste or open the one to make larger.")
        return {"image": image}

    def fill(self, request: Request) -> Updates:
        if not isinstance(request, SuperResolution):
            return {}
        return {self.picture: request.image}

    def suit(self, info: ModelInfo) -> Updates:
        native = info.spec.first_stage.downsampling
        hint = f"This model makes × {native}; other sizes are scaled from that."
        return {self.scale: change(value=native if native in (2, 4, 8) else 4, info=hint)}

    def take(self, picture: Raster, request: Request | None) -> Updates:
        return {self.picture: picture}


def make_tab(studio: Studio) -> Form[Enlarging]:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    made = form.make_form(studio, "upscale", ("super-resolution",), _controls, several=False, guided=False)
    _connect(studio, made)
    return made


def _controls() -> Enlarging:
    picture = picture_input("The picture", "upscale-picture")
    scale = gr.Radio(SCALES, value=4, label="How much larger", elem_id="upscale-scale", info="The factor.")
    outlook = gr.HTML("", elem_id="upscale-outlook", elem_classes="note", apply_default_css=False)
    return Enlarging(picture, scale, outlook)


def _connect(studio: Studio, made: Form[Enlarging]) -> None:
    picture, scale, outlook = made.extra.picture, made.extra.scale, made.extra.outlook

    def foresee(values: Values) -> str:
        try:
            request = translate.request_from(made, values)
            width, height = request.size
            notes = "".join(f"<p>{html.escape(note)}</p>" for note in request.notes())
            return f"<p>{width} × {height} pixels{_time(studio, request)}</p>{notes}"
        except AtelierError as error:
            return "" if values[picture] is None else f'<p class="problem">{html.escape(str(error))}</p>'

    def try_out(values: Values, request: gr.Request) -> None:
        """Finds out how long it takes, where nothing else is to be made."""
        if page_of(studio, request).person.running is not None:
            return
        with contextlib.suppress(AtelierError):  # said when the picture is to be made
            enlarging = translate.request_from(made, values)
            if isinstance(enlarging, SuperResolution):
                studio.paces.try_out(enlarging)

    watched = [part.change for part in (picture, scale, made.model, *_paced(made))]
    inputs = set(made.inputs())
    looked = gr.on(watched, foresee, inputs, outlook, **QUICK)
    # By then something else may be wanted, so it is looked at anew.
    looked.then(try_out, inputs, None, **QUICK).then(foresee, inputs, outlook, **QUICK)


def _paced(made: AnyForm) -> list[Component]:
    """The controls on which the time depends."""
    return [made.fields["steps"], made.fields["sampler"]]


def _time(studio: Studio, request: Request) -> str:
    known = studio.paces.expected(request) if isinstance(request, SuperResolution) else None
    if known is None:
        return ""
    seconds, estimated = known
    return f", about {in_words(seconds)}{' (an estimate)' if estimated else ''}"
