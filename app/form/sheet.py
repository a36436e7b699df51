"""A canvas that is the whole picture, and the controls of its size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import gradio as gr
import numpy as np
from gradio.components import Component
from numpy.typing import NDArray

from app.form import defaults, parts
from app.form.form import AnyForm
from app.studio.jobs import Studio
from app.widgets.canvas import Canvas, CanvasSetup, CanvasValue, Mode
from app.widgets.events import QUICK
from app.widgets.palettes import Palette
from app.widgets.shown import backdrop_of
from app.widgets.updates import Updates, Values
from ldm_core.errors import AtelierError, FileError
from ldm_core.library.models import ModelInfo
from ldm_core.request import SIZE
from ldm_core.request.raster import Raster


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """The canvas beside a form, and its size in the form."""

    canvas: Canvas
    shape: gr.Radio
    width: gr.Number
    height: gr.Number
    second_pass: gr.Slider

    def components(self) -> list[Component]:
        return [self.canvas, self.shape, self.width, self.height]

    def read(self, values: Values) -> CanvasValue:
        """What is on it, at the size that the numbers say: the canvas may not have followed them yet.

        Raises:
            AtelierError: there is nothing, or it cannot be used.
        """
        value = self.canvas.read(values[self.canvas])
        if value is None:
            raise FileError("The canvas is not ready yet; try again in a moment.")
        return resized(value, side_of(values[self.width]), side_of(values[self.height]))

    def show(self, value: CanvasValue) -> Updates:
        """Puts something on it, at its size."""
        return {self.canvas: value, self.width: value.width, self.height: value.height, self.shape: None}


def make_canvas(
    studio: Studio, name: str, mode: Mode, label: str, tasks: tuple[str, ...], palette: Palette
) -> Canvas:
    """The canvas of a tab, of the size of its first model's pictures; to be rendered on its easel."""
    start = defaults.model_defaults(studio, defaults.starting_model(studio, tasks))
    return Canvas(
        mode,
        label=label,
        elem_id=f"{name}-canvas",
        palette=palette,
        width=start.width,
        height=start.height,
        render=False,
    )


def make_sheet(canvas: Canvas, name: str, width: int, height: int) -> Sheet:
    """The controls of its size, in the surrounding column."""
    shape = gr.Radio(
        list(defaults.SHAPES),
        value="Square",
        label="Sheet",
        info="The model's own size, square, wide or tall. What is drawn is stretched with it.",
        elem_id=f"{name}-shape",
    )
    with gr.Row(elem_classes="pair"):
        sides = (parts.pixels(label, side) for label, side in (("Width", width), ("Height", height)))
        width_field, height_field = sides
    return Sheet(canvas, shape, width_field, height_field, parts.second_pass())


def connect(studio: Studio, sheet: Sheet, form: AnyForm) -> None:
    """The controls follow the canvas, and the canvas the controls."""
    size = [sheet.width, sheet.height]

    def reshape(payload: object, model: object, shape: object) -> Updates:
        return _follow(sheet, payload, defaults.size_of(studio, model, shape))

    def resize(payload: object, width: object, height: object) -> Updates:
        return _follow(sheet, payload, (side_of(width), side_of(height)))

    def name_shape(model: object, width: object, height: object) -> str | None:
        return defaults.shape_of(studio, model, width, height)

    sheet.shape.input(reshape, [sheet.canvas, form.model, sheet.shape], [sheet.canvas, *size], **QUICK)
    for side in size:
        gr.on([side.submit, side.blur], resize, [sheet.canvas, *size], [sheet.canvas, *size], **QUICK)
        side.change(name_shape, [form.model, *size], sheet.shape, **QUICK)
    # A picture or map that is opened on the canvas brings its own size; a number being typed stays.
    typing = "document.activeElement?.closest('.pair')"
    follow = f"(value, w, h) => {typing} ? [w, h] : [value?.width ?? w, value?.height ?? h]"
    sheet.canvas.change(None, [sheet.canvas, *size], size, js=follow, api_visibility="private")


def setup(info: ModelInfo, palette: Palette, max_boxes: int | None = None) -> CanvasSetup:
    """What follows from a model for a canvas."""
    return CanvasSetup(palette, cell=info.spec.first_stage.downsampling, max_boxes=max_boxes)


def side_of(value: object) -> int | None:
    """The nearest side that a picture may have; None where no number was given."""
    if not isinstance(value, int | float) or value != value:
        return None
    return round(min(max(value, SIZE[0]), SIZE[1]))


def _follow(sheet: Sheet, payload: object, size: tuple[int | None, int | None]) -> Updates:
    """The canvas at another size."""
    try:
        value = sheet.canvas.read(payload)
    except AtelierError:  # a picture on its way; what is drawn must not be lost for it
        value = None
    if value is None:
        return {sheet.canvas: gr.skip()}
    new = resized(value, *size)
    return {sheet.canvas: gr.skip() if new is value else new}


def backdrop(source: Raster, labels: NDArray[np.uint8] | None = None) -> CanvasValue:
    """A picture under what is painted, and that, (h, w) in the size in which the canvas shows the picture."""
    image = backdrop_of(source)
    return CanvasValue(image.shape[1], image.shape[0], image, labels, source=source)


def resized(value: CanvasValue, width: int | None, height: int | None) -> CanvasValue:
    """What is on a canvas, stretched; a side that is None stays."""
    width, height = width or value.width, height or value.height
    if (width, height) == (value.width, value.height):
        return value
    labels = None if value.labels is None else _stretched(value.labels, width, height)
    image = None if value.image is None else _stretched(value.image, width, height)
    return replace(value, width=width, height=height, labels=labels, image=image, source=None)


def _stretched(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(h, w) ids or (h, w, c) in another size, each pixel from the nearest: ids cannot be mixed."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip((height, width), pixels.shape[:2], strict=True)
    )
    return pixels[rows][:, columns]
