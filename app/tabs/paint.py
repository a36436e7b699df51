"""The tab that makes pictures from a map of classes, painted on a canvas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import gradio as gr
import numpy as np
from gradio.components import Component
from numpy.typing import NDArray

from app.form import defaults, from_picture, region_parts
from app.form import form as forms
from app.form import sheet as sheets
from app.form.form import AnyForm, Extra, Form
from app.form.from_picture import FromPicture
from app.form.region_parts import RegionParts, by_key, model_in
from app.form.sheet import Sheet
from app.form.templates import TEMPLATES, template_labels
from app.studio.jobs import Studio
from app.widgets.canvas import CanvasValue
from app.widgets.events import QUICK
from app.widgets.palettes import Palette, palette_of, translated
from app.widgets.regions import boxes_in, filled
from app.widgets.updates import Updates, Values
from ldm_core.errors import AtelierError, FileError
from ldm_core.library.class_names import box_classes, class_names, label_names
from ldm_core.library.models import ModelInfo
from ldm_core.request import LayoutToImage, Request, Semantic
from ldm_core.request.raster import Raster

NAME, TASKS = "paint", ("semantic",)
SCENES = palette_of(class_names("scenes"))
PROMPT = "At sunset, in autumn"
FIRST_TEMPLATE = "An empty sheet, or…"
NOTHING = "Nothing is painted yet: choose a class and paint where it is to be."


@dataclass(frozen=True, slots=True, eq=False)
class Painting(Extra):
    """The tab's own: the map on the sheet."""

    studio: Studio
    sheet: Sheet
    template: gr.Dropdown
    live: gr.Checkbox
    from_picture: FromPicture
    regions: RegionParts

    def controls(self) -> Mapping[str, Component]:
        return {"second_pass": self.sheet.second_pass, **self.regions.controls()}

    def kept(self) -> Mapping[str, Component]:
        return {"live": self.live, **self.regions.kept()}

    def restore(self, kept: Mapping[str, object]) -> Updates:
        return {self.live: kept.get("live") is True, **self.regions.restore(kept)}

    def components(self) -> list[Component]:
        own = [self.template, self.regions.prompts, *self.from_picture.components()]
        return [*self.sheet.components(), *own]

    def main_input(self) -> Component:
        return self.sheet.canvas

    def fields(self, values: Values) -> dict[str, object]:
        painted = self.sheet.read(values)
        if painted.labels is None or painted.is_empty:
            raise FileError(NOTHING)
        there = {painted.classes[i] for i in np.unique(painted.labels).tolist() if i < len(painted.classes)}
        places: dict[str, dict[str, object]] = {name: {"class": name} for name in there}
        regions = self.regions.fields(values, model_in(values, NAME), places)
        return {"label_map": Raster(painted.labels), **regions}

    def fill(self, request: Request) -> Updates:
        if not isinstance(request, Semantic):
            return {}
        try:
            info = self.studio.models.info(request.model)
            setup = sheets.setup(info, palette(info))
        except AtelierError:
            setup = None
        width, height = request.size
        shown = self.sheet.show(CanvasValue(width, height, labels=request.label_map.pixels, setup=setup))
        return {**shown, **self._prompts(request)}

    def _prompts(self, request: Semantic) -> Updates:
        """Those of its regions, by their classes."""
        try:
            names = label_names(self.studio.models.info(request.model).spec)
        except AtelierError:
            names = ()
        keys: dict[str | int | None, str] = {**dict(enumerate(names)), **{name: name for name in names}}
        keys |= {
            region.label: region.label for region in request.regions or () if isinstance(region.label, str)
        }
        return self.regions.fill(by_key(request, keys))

    def take(self, picture: Raster, request: Request | None) -> Updates:
        """With the boxes filled where the picture was made of boxes."""
        shown = self.sheet.show(sheets.backdrop(picture, self._labels(request)))
        return {**shown, **(self._prompts(request) if isinstance(request, Semantic) else {})}

    def _labels(self, request: Request | None) -> NDArray[np.uint8] | None:
        if isinstance(request, Semantic):
            return request.label_map.pixels
        if not isinstance(request, LayoutToImage):
            return None
        try:
            spec = self.studio.models.info(request.model).spec
        except AtelierError:
            return None
        return filled(boxes_in(request, box_classes(spec)), label_names(spec), *request.size)

    def suit(self, info: ModelInfo) -> Updates:
        return {self.sheet.canvas: sheets.setup(info, palette(info)), **self.regions.suit(info)}

    def listed(self) -> Updates:
        return self.from_picture.listed()


def palette(info: ModelInfo) -> Palette:
    """What can be painted with a model."""
    return palette_of(label_names(info.spec))


def make_tab(studio: Studio) -> Form[Painting]:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    start = defaults.model_defaults(studio, defaults.starting_model(studio, TASKS))
    canvas = sheets.make_canvas(studio, NAME, "classes", "Sheet to paint on", TASKS, SCENES)

    def extra() -> Painting:
        regions = region_parts.make_parts(studio, NAME)
        sheet = sheets.make_sheet(canvas, NAME, start.width, start.height)
        template = gr.Dropdown(
            [(FIRST_TEMPLATE, ""), *((name, name) for name in TEMPLATES)],
            value="",
            label="Start from",
            info="Puts a painted landscape on the sheet, to go on from. Undo takes it back.",
            elem_id=f"{NAME}-template",
        )
        live = gr.Checkbox(
            False,
            label="Live",
            info="After each stroke a quick picture with the same seed, in few steps, which is not saved.",
            elem_id=f"{NAME}-live",
        )
        looking = from_picture.make_parts(studio, NAME)
        return Painting(studio, sheet, template, live, looking, regions)

    made = forms.make_form(studio, NAME, TASKS, extra, prompt=PROMPT)
    with gr.Column(elem_classes="easel", min_width=0):
        canvas.render()
    painting = made.extra
    sheets.connect(studio, painting.sheet, made)
    _connect_templates(studio, painting, made)
    from_picture.connect(studio, painting.from_picture, painting.sheet, made.model)
    return replace(made, live=(painting.live, canvas))


def _connect_templates(studio: Studio, painting: Painting, made: AnyForm) -> None:
    sheet = painting.sheet
    start = defaults.model_defaults(studio, "")

    def put(template: object, model: object, *size: object) -> Updates:
        updates: Updates = {painting.template: ""}
        if template not in TEMPLATES:
            return updates
        try:
            classes = palette(studio.models.info(str(model)))
        except AtelierError:
            return updates
        width, height = (sheets.side_of(side) or start.width for side in size)
        labels = translated(template_labels(str(template), width, height), SCENES, classes)
        return {**updates, **sheet.show(CanvasValue(width, height, labels=labels))}

    inputs = [painting.template, made.model, sheet.width, sheet.height]
    outputs = [painting.template, *sheet.components()]
    painting.template.input(put, inputs, outputs, **QUICK)
