"""The tab that makes pictures from labelled boxes, drawn on a canvas."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.components import Component

from app.form import defaults, region_parts
from app.form import form as forms
from app.form import sheet as sheets
from app.form.form import Extra, Form
from app.form.region_parts import RegionParts, by_key, model_in
from app.form.sheet import Sheet
from app.studio.jobs import Studio
from app.widgets.canvas import Canvas, CanvasSetup, CanvasValue
from app.widgets.canvas_value import MAX_SIDE, new_box_ids
from app.widgets.events import QUICK, QUICK_PREPROCESSED
from app.widgets.palettes import Palette, palette_of, translated
from app.widgets.regions import Labels, boxes_in, boxes_of, map_of
from app.widgets.updates import Updates, Values
from ldm_core.errors import AtelierError, FileError
from ldm_core.library.class_names import box_classes, label_names
from ldm_core.library.models import ModelInfo
from ldm_core.request import LayoutToImage, Request, Semantic
from ldm_core.request.raster import Raster
from ldm_core.request.rules import MAX_BOXES, LabelledBox

NAME, TASKS = "layout", ("layout",)
MAPS = [".png", ".jpg", ".jpeg", ".webp"]
PROMPT = "What else: a lake at sunset, in autumn"
NOTHING = "There is no box yet: choose a class and draw one where it is to be."
NO_REGIONS = "That map has nothing of this model's classes."


@dataclass(frozen=True, slots=True, eq=False)
class Layout(Extra):
    """The tab's own: the boxes on the sheet.

    from_file, from_paint: make boxes of a label map's regions.
    """

    studio: Studio
    sheet: Sheet
    from_file: gr.UploadButton
    from_paint: gr.Button
    note: gr.HTML
    regions: RegionParts

    def controls(self) -> Mapping[str, Component]:
        return {"second_pass": self.sheet.second_pass, **self.regions.controls()}

    def kept(self) -> Mapping[str, Component]:
        return self.regions.kept()

    def restore(self, kept: Mapping[str, object]) -> Updates:
        return self.regions.restore(kept)

    def components(self) -> list[Component]:
        return [*self.sheet.components(), self.regions.prompts]

    def main_input(self) -> Component:
        return self.sheet.canvas

    def fields(self, values: Values) -> dict[str, object]:
        drawn = self.sheet.read(values)
        if not drawn.boxes:
            raise FileError(NOTHING)
        places: dict[str, dict[str, object]] = {own: {"box": i} for i, own in enumerate(drawn.box_ids)}
        regions = self.regions.fields(values, model_in(values, NAME), places)
        return {"boxes": drawn.boxes, "width": drawn.width, "height": drawn.height, **regions}

    def fill(self, request: Request) -> Updates:
        if not isinstance(request, LayoutToImage):
            return {}
        info = self._info(request)
        setup = None if info is None else _setup(info)
        boxes = _boxes(request, info) or ()
        ids = new_box_ids(len(boxes))
        shown = self.sheet.show(CanvasValue(*request.size, boxes=boxes, box_ids=ids, setup=setup))
        return {**shown, **self.regions.fill(by_key(request, dict(enumerate(ids))))}

    def take(self, picture: Raster, request: Request | None) -> Updates:
        """With boxes around the regions of a map where the picture was made of one."""
        boxes = None if request is None else _boxes(request, self._info(request))
        ids = new_box_ids(len(boxes or ()))
        shown = self.sheet.show(dataclasses.replace(sheets.backdrop(picture), boxes=boxes, box_ids=ids))
        if not isinstance(request, LayoutToImage):
            return shown
        return {**shown, **self.regions.fill(by_key(request, dict(enumerate(ids))))}

    def _info(self, request: Request) -> ModelInfo | None:
        """Its model; None where that is not here."""
        try:
            return self.studio.models.info(request.model)
        except AtelierError:
            return None

    def suit(self, info: ModelInfo) -> Updates:
        return {self.sheet.canvas: _setup(info), **self.regions.suit(info)}


def palette(info: ModelInfo) -> Palette:
    """What a model's boxes may hold."""
    return palette_of(box_classes(info.spec))


def _setup(info: ModelInfo) -> CanvasSetup:
    return sheets.setup(info, palette(info), _most(info))


def _most(info: ModelInfo) -> int:
    return info.spec.max_boxes or MAX_BOXES


def _boxes(request: Request, info: ModelInfo | None) -> tuple[LabelledBox, ...] | None:
    """The boxes of a request, or around the regions of its map; None where it has neither."""
    match request:
        case LayoutToImage():
            return boxes_in(request, () if info is None else box_classes(info.spec))
        case Semantic() if info is not None:
            labels = translated(request.label_map.pixels, palette_of(label_names(info.spec)), palette(info))
            return boxes_of(labels, box_classes(info.spec), _most(info))
    return None


def make_tab(studio: Studio) -> Form[Layout]:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    chosen = defaults.starting_model(studio, TASKS)
    start = defaults.model_defaults(studio, chosen)
    canvas = sheets.make_canvas(studio, NAME, "boxes", "Sheet to draw boxes on", TASKS, ())

    def extra() -> Layout:
        regions = region_parts.make_parts(studio, NAME)
        sheet = sheets.make_sheet(canvas, NAME, start.width, start.height)
        with gr.Accordion("Boxes from a map", open=False, elem_classes="more"):
            from_paint = gr.Button(
                "From what is painted", size="sm", min_width=0, elem_id=f"{NAME}-from-paint"
            )
            from_file = gr.UploadButton(
                "From a file…", size="sm", min_width=0, file_types=MAPS, elem_id=f"{NAME}-from-file"
            )
            note = gr.HTML("", elem_id=f"{NAME}-note", elem_classes="note", apply_default_css=False)
        return Layout(studio, sheet, from_file, from_paint, note, regions)

    made = forms.make_form(studio, NAME, TASKS, extra, prompt=PROMPT)
    with gr.Column(elem_classes="easel", min_width=0):
        canvas.render()
    sheets.connect(studio, made.extra.sheet, made)
    return made


def _problem(error: AtelierError) -> str:
    return f'<p class="problem">{html.escape(str(error))}</p>'


def connect(studio: Studio, layout: Layout, model: Component, painted: Canvas) -> None:
    """Boxes around the regions of a file's label map, or of the one that is painted in another tab."""

    def put(labels: Labels, info: ModelInfo) -> Updates:
        boxes = boxes_of(labels, box_classes(info.spec), _most(info))
        if not boxes:
            raise FileError(NO_REGIONS)
        scale = min(1.0, MAX_SIDE / max(labels.shape))
        height, width = (max(1, round(scale * side)) for side in labels.shape)
        return {layout.note: "", **layout.sheet.show(CanvasValue(width, height, boxes=boxes))}

    def of_file(path: str, model: object) -> Updates:
        try:
            info = studio.models.info(str(model))
            colours = palette_of(label_names(info.spec)) or palette(info)
            return put(map_of(Path(path), palette(info), colours), info)
        except AtelierError as error:
            return {layout.note: _problem(error)}

    def of_paint(payload: object, model: object) -> Updates:
        try:
            info, value = studio.models.info(str(model)), painted.read(payload)
            if value is None or value.labels is None or value.is_empty:
                raise FileError("Nothing is painted in the Paint tab yet.")
            labels = translated(value.labels, palette_of(value.classes), palette(info))
            return put(labels, info)
        except AtelierError as error:
            return {layout.note: _problem(error)}

    outputs = [layout.note, *layout.sheet.components()]
    layout.from_paint.click(of_paint, [painted, model], outputs, **QUICK)
    layout.from_file.upload(of_file, [layout.from_file, model], outputs, **QUICK_PREPROCESSED)
