"""The tab that makes a part of a picture anew, or extends it: a canvas with the mask beside the form."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import gradio as gr
import numpy as np
from gradio.components import Component
from numpy.typing import NDArray
from PIL import Image

from app.form import form
from app.form.form import Extra, Form
from app.form.sheet import backdrop
from app.studio.jobs import Session, Studio
from app.widgets.canvas import Canvas, CanvasSetup, CanvasValue, Outline
from app.widgets.canvas_value import MAX_FEATHER, PAINTED
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values
from ldm_core.errors import AtelierError, FileError
from ldm_core.library.models import ModelInfo
from ldm_core.request import BORDER, RULES, Inpaint, Outpaint, Request
from ldm_core.request.raster import WHITE, Raster

PROMPT = "What shall be there: a lake, a snowy mountain"
FEATHER = 8  # pixels
SIDES = {"left": "Left", "right": "Right", "top": "Top", "bottom": "Bottom"}
RESTS = "<p>While a side is extended, what is painted is not used.</p>"


@dataclass(frozen=True, slots=True, eq=False)
class Inpainting(Extra):
    """The picture, its mask and how the hole is filled."""

    canvas: Canvas
    area: gr.Radio
    margin: gr.Slider
    start: gr.Radio
    paste: gr.Radio
    sides: Mapping[str, gr.Number]

    def controls(self) -> Mapping[str, Component]:
        return {
            "area": self.area,
            "margin": self.margin,
            "fill": self.start,
            "paste": self.paste,
            **self.sides,
        }

    def components(self) -> list[Component]:
        return [self.canvas]

    def given(self) -> Component:
        return self.canvas

    def fields(self, values: Values) -> dict[str, object]:
        sheet = self.canvas.read(values[self.canvas])
        if sheet is None or sheet.image is None or sheet.labels is None:
            raise FileError("There is no picture yet: drop one on the canvas, or open one there under File.")
        common = {"image": Raster(sheet.image), "feather": sheet.feather}
        if any(values[side] for side in self.sides.values()):
            return {"task": "outpaint", **common}
        if sheet.is_empty:
            raise FileError("Nothing is painted yet: paint over what shall be made anew, or extend a side.")
        return {**common, "mask": Raster(sheet.labels)}

    def fill(self, request: Request) -> Updates:
        if not isinstance(request, Inpaint | Outpaint):
            return {}
        mask = request.mask.pixels if isinstance(request, Inpaint) else None
        value = _sheet(request.image.pixels, mask, request.feather)
        # A request that extends no side has no such fields.
        return {self.canvas: value, **{part: getattr(request, side, 0) for side, part in self.sides.items()}}

    def suit(self, info: ModelInfo) -> Updates:
        return {self.canvas: CanvasSetup(cell=info.spec.first_stage.downsampling)}

    def take(self, picture: Raster, request: Request | None) -> Updates:
        """The mask stays where the picture was made with one; what extended the picture is used up."""
        mask = request.mask.pixels if isinstance(request, Inpaint) else np.zeros_like(picture.pixels[..., 0])
        return {self.canvas: _sheet(picture.pixels, mask), **dict.fromkeys(self.sides.values(), 0)}

    def sheet(self, values: Values) -> CanvasValue | None:
        """What is on the canvas; None where it cannot be used (yet)."""
        try:
            return self.canvas.read(values[self.canvas])
        except AtelierError:
            return None

    def outline(self, sheet: CanvasValue, values: Values) -> Outline:
        """What the model looks at, or the picture that comes of it, where that is not the page."""
        left, right, top, bottom = (_pixels(values[side]) for side in self.sides.values())
        if sheet.image is None or sheet.labels is None:
            return Outline()
        if left or right or top or bottom:
            return Outline(-left, -top, left + sheet.width + right, top + sheet.height + bottom)
        if values[self.area] != "masked" or sheet.is_empty:
            return Outline()
        from ldm_core.tasks.geometry import around  # brings torch, which the page must not wait for

        window = around(sheet.labels == PAINTED, _pixels(values[self.margin]) + (sheet.feather or 0))
        return Outline(window.left, window.top, window.width, window.height)


def build(studio: Studio) -> Form[Inpainting]:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    canvas = Canvas(
        "mask",
        label="The picture; paint over what shall be made anew",
        elem_id="inpaint-canvas",
        feather=FEATHER,
        render=False,
    )
    made = form.make_form(
        studio, "inpaint", ("inpaint", "outpaint"), lambda: _controls(canvas), prompt=PROMPT
    )
    with gr.Column(elem_classes="easel", min_width=0):
        canvas.render()
        with gr.Row(elem_classes="under-canvas"):
            note = gr.HTML("", elem_id="inpaint-note", elem_classes="note", apply_default_css=False)
            use = gr.Button("Use this result", elem_id="inpaint-use", size="sm", min_width=0)
    _connect(studio, made.model, made.extra, note, use)
    return made


def _controls(canvas: Canvas) -> Inpainting:
    area = gr.Radio(
        [("Whole picture", "whole"), ("Masked part only", "masked")],
        value="whole",
        label="Look at",
        info="The masked part alone is drawn at the model's own size, so it gets more detail.",
        elem_id="inpaint-area",
    )
    margin = gr.Slider(
        0,
        256,
        value=32,
        step=8,
        label="Margin",
        info="Pixels around the masked part that the model sees as well; the canvas shows them.",
        elem_id="inpaint-margin",
    )
    start = gr.Radio(
        [("Noise", "noise"), ("The picture", "original"), ("Its edge", "telea")],
        value="noise",
        label="Begin with",
        info="What is in the masked part at first: pure noise, what the picture has there, or the colours "
        "of its edge drawn inwards (Telea's method).",
        elem_id="inpaint-fill",
    )
    paste = gr.Radio(
        [("Seamless", "gradient"), ("Same colours", "match"), ("As drawn", "feather")],
        value="gradient",
        label="Blend in",
        info="Seamless keeps the shapes that are drawn and lets the colours follow from the hole's border "
        "(gradient domain). The next matches the colours as a whole. All have a soft edge.",
        elem_id="inpaint-paste",
    )
    extend = gr.Accordion("Extend the picture", open=False, elem_classes="more", elem_id="inpaint-extend")
    with extend, gr.Row(elem_classes="pair"):
        sides = {side: _side(side, label) for side, label in SIDES.items()}
    return Inpainting(canvas, area, margin, start, paste, sides)


def _side(side: str, label: str) -> gr.Number:
    low, high = BORDER
    return gr.Number(
        0,
        label=label,
        info=f"Pixels to add on this side, up to {high}.",
        precision=0,
        minimum=low,
        maximum=high,
        step=32,
        min_width=0,
        elem_id=f"inpaint-{side}",
    )


def _connect(studio: Studio, model: Component, inpainting: Inpainting, note: gr.HTML, use: gr.Button) -> None:
    def look(values: Values) -> Updates:
        """Shows what will be made.  That is a change of the canvas as well, so it ends where it is shown."""
        sheet = inpainting.sheet(values)
        if sheet is None:
            return {note: gr.skip()}
        outline = inpainting.outline(sheet, values)
        rests = not sheet.is_empty and any(_pixels(values[side]) for side in inpainting.sides.values())
        updates: Updates = {note: RESTS if rests else ""}
        if outline != sheet.outline:
            updates[inpainting.canvas] = CanvasSetup(outline=outline)
        return updates

    def suit(model: object) -> Updates:
        try:
            return inpainting.suit(studio.models.info(str(model)))
        except AtelierError:
            return {inpainting.canvas: gr.skip()}

    def take(request: gr.Request) -> Updates:
        return _take(studio.session(str(request.session_hash)), inpainting, note)

    seen = [inpainting.canvas, inpainting.area, inpainting.margin, *inpainting.sides.values()]
    changes = [part.change for part in seen]
    gr.on(changes, look, set(seen), [inpainting.canvas, note], trigger_mode="always_last", **QUICK)
    model.change(suit, model, inpainting.canvas, **QUICK)
    use.click(take, None, [inpainting.canvas, *inpainting.sides.values(), note], **QUICK)


def _take(session: Session, inpainting: Inpainting, note: gr.HTML) -> Updates:
    """The picture on the stage becomes the one on the canvas; the mask stays where the size does."""
    picture = session.pictures.get(session.shown or "")
    if picture is None:
        return {note: "<p>There is no result yet.</p>"}
    with Image.open(io.BytesIO(picture.png)) as file:
        pixels = np.asarray(file.convert("RGB"))
    try:
        value = _sheet(pixels)
    except AtelierError as error:
        return {note: f"<p>{html.escape(str(error))}</p>"}
    return {inpainting.canvas: value, note: "", **dict.fromkeys(inpainting.sides.values(), 0)}


def _sheet(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None, feather: int | None = None
) -> CanvasValue:
    """A picture (h, w, 3 or 4) on the canvas.

    Raises:
        FileError: it is too large.
    """
    labels = None if mask is None else np.where(mask >= WHITE, PAINTED, 0).astype(np.uint8)
    soft = None if feather is None else min(feather, MAX_FEATHER)
    return replace(backdrop(pixels, labels), feather=soft)


def _pixels(got: object) -> int:
    """A number of pixels as the browser sent it; 0 where it is none."""
    value = RULES["margin"].read(got)
    return value if isinstance(value, int) else 0
