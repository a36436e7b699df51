"""The tab that makes a part of a picture anew, or extends it: a canvas with the mask beside the form."""

from __future__ import annotations

import html
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
from app.stage.stage import refuse
from app.studio.frames import Finished
from app.studio.jobs import Studio
from app.widgets.asking import page_of
from app.widgets.canvas import Canvas, CanvasSetup, CanvasValue, Outline
from app.widgets.canvas_value import MAX_FEATHER, PAINTED
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values
from ldm_core.errors import AtelierError, FileError
from ldm_core.library.models import ModelInfo
from ldm_core.pictures.patches import can_match
from ldm_core.request import BORDER, RULES, Inpaint, Outpaint, Remove, Request
from ldm_core.request.raster import WHITE, Raster, read_raster

PROMPT = "What shall be there: a lake, a snowy mountain"
FEATHER = 8  # pixels
REMOVES = "What is painted over is filled from the rest of the picture (PatchMatch): no model, no words."
REMOVES_BLURRED = (
    "What is painted over is filled with the colours of its edge (Telea's method), since PatchMatch is not "
    "installed on this computer: pip install pypatchmatch."
)
SIDES = {"left": "Left", "right": "Right", "top": "Top", "bottom": "Bottom"}
RESTS = "While a side is extended, what is painted is not used."
FULL = "The mask covers the whole picture, so nothing of it is kept."


@dataclass(frozen=True, slots=True, eq=False)
class Inpainting(Extra):
    """The picture, its mask and how the hole is filled."""

    canvas: Canvas
    area: gr.Radio
    margin: gr.Slider
    start: gr.Radio
    paste: gr.Radio
    sides: Mapping[str, gr.Number]
    at_once: gr.Button

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

    def main_input(self) -> Component:
        return self.canvas

    def fields(self, values: Values) -> dict[str, object]:
        sheet = self.canvas.read(values[self.canvas])
        if sheet is None or sheet.source is None or sheet.labels is None:
            raise FileError("There is no picture yet: drop one on the canvas, or open one there under File.")
        scale = _scale(sheet)
        common = {"image": sheet.source, "feather": min(round(scale * (sheet.feather or 0)), BORDER[1])}
        if any(values[side] for side in self.sides.values()):
            return {"task": "outpaint", **common}
        if sheet.is_empty:
            raise FileError("Nothing is painted yet: paint over what shall be made anew, or extend a side.")
        return {**common, "mask": Raster(_enlarged(sheet.labels, sheet.source))}

    def removal(self, values: Values) -> Remove:
        """What shall be gone, without a model.

        Raises:
            AtelierError: there is no picture, or nothing is painted.
        """
        sheet = self.canvas.read(values[self.canvas])
        if sheet is None or sheet.source is None or sheet.labels is None:
            raise FileError("There is no picture yet: drop one on the canvas, or open one there under File.")
        if sheet.is_empty:
            raise FileError("Nothing is painted yet: paint over what shall be gone.")
        feather = min(round(_scale(sheet) * (sheet.feather or 0)), BORDER[1])
        mask = Raster(_enlarged(sheet.labels, sheet.source))
        return Remove(
            image=sheet.source, mask=mask, feather=feather, fill="patches" if can_match() else "telea"
        )

    def fill(self, request: Request) -> Updates:
        if not isinstance(request, Inpaint | Outpaint | Remove):
            return {}
        mask = None if isinstance(request, Outpaint) else request.mask.pixels
        value = _sheet(request.image, mask, request.feather)
        # A request that extends no side has no such fields.
        return {self.canvas: value, **{part: getattr(request, side, 0) for side, part in self.sides.items()}}

    def suit(self, info: ModelInfo) -> Updates:
        return {self.canvas: CanvasSetup(cell=info.spec.first_stage.downsampling)}

    def take(self, picture: Raster, request: Request | None) -> Updates:
        """The mask stays where the picture was made with one; what extended the picture is used up."""
        mask = request.mask.pixels if isinstance(request, Inpaint) else np.zeros_like(picture.pixels[..., 0])
        return {self.canvas: _sheet(picture, mask), **dict.fromkeys(self.sides.values(), 0)}

    def sheet(self, values: Values) -> CanvasValue | None:
        """What is on the canvas; None where it cannot be used (yet)."""
        try:
            return self.canvas.read(values[self.canvas])
        except AtelierError:
            return None

    def outline(self, sheet: CanvasValue, values: Values) -> Outline:
        """What the model looks at, or the picture that comes of it, where that is not the page."""
        scale = _scale(sheet)
        left, right, top, bottom = (round(_pixels(values[side]) / scale) for side in self.sides.values())
        if sheet.image is None or sheet.labels is None:
            return Outline()
        if left or right or top or bottom:
            return Outline(-left, -top, left + sheet.width + right, top + sheet.height + bottom)
        if values[self.area] != "masked" or sheet.is_empty:
            return Outline()
        from ldm_core.tasks.geometry import around  # brings torch, which the page must not wait for

        margin = round(_pixels(values[self.margin]) / scale) + (sheet.feather or 0)
        window = around(sheet.labels == PAINTED, margin)
        return Outline(window.left, window.top, window.width, window.height)


def make_tab(studio: Studio) -> Form[Inpainting]:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    canvas = Canvas(
        "mask",
        label="The picture; paint over what shall be made anew",
        elem_id="inpaint-canvas",
        feather=FEATHER,
        render=False,
    )
    made = form.make_form(
        studio, "inpaint", ("inpaint", "outpaint", "remove"), lambda: _controls(canvas), prompt=PROMPT
    )
    with gr.Column(elem_classes="easel", min_width=0):
        canvas.render()
        with gr.Row(elem_classes="under-canvas"):
            note = gr.HTML("", elem_id="inpaint-note", elem_classes="note", apply_default_css=False)
            use = gr.Button("Use this result", elem_id="inpaint-use", size="sm", min_width=0)
    _connect(studio, made.model, made.extra, note, use)
    _connect_removal(studio, made)
    return made


def _controls(canvas: Canvas) -> Inpainting:
    at_once = gr.Button("Remove at once", elem_id="inpaint-remove")
    gr.HTML(
        f"<p>{REMOVES if can_match() else REMOVES_BLURRED}</p>",
        elem_id="inpaint-removes",
        elem_classes="note",
        apply_default_css=False,
    )
    area = gr.Radio(
        [("Whole picture", "whole"), ("Only masked", "masked")],
        value="whole",
        label="Inpaint area",
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
        [("Noise", "noise"), ("Picture", "original"), ("Patches", "patches"), ("Edge", "telea")],
        value="noise",
        label="Masked content",
        info="What is in the masked part at first: pure noise, what the picture has there, patches of the "
        "rest of the picture (PatchMatch), or the colours of its edge drawn inwards (Telea's method).",
        elem_id="inpaint-fill",
    )
    paste = gr.Radio(
        [("Seamless", "gradient"), ("Same colours", "match"), ("As drawn", "feather")],
        value="gradient",
        label="Blending",
        info="Seamless keeps the shapes that are drawn and lets the colours follow from the hole's border "
        "(gradient domain). The next matches the colours as a whole. All have a soft edge.",
        elem_id="inpaint-paste",
    )
    extend = gr.Accordion("Extend the picture", open=False, elem_classes="more", elem_id="inpaint-extend")
    with extend, gr.Row(elem_classes="pair"):
        sides = {side: _side(side, label) for side, label in SIDES.items()}
    return Inpainting(canvas, area, margin, start, paste, sides, at_once)


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
        updates: Updates = {note: _notes(sheet, inpainting, values)}
        if outline != sheet.outline:
            updates[inpainting.canvas] = CanvasSetup(outline=outline)
        return updates

    def suit(model: object) -> Updates:
        try:
            return inpainting.suit(studio.models.info(str(model)))
        except AtelierError:
            return {inpainting.canvas: gr.skip()}

    def take(request: gr.Request) -> Updates:
        return _take(page_of(studio, request).picture, inpainting, note)

    seen = [inpainting.canvas, inpainting.area, inpainting.margin, *inpainting.sides.values()]
    changes = [part.change for part in seen]
    gr.on(changes, look, set(seen), [inpainting.canvas, note], trigger_mode="always_last", **QUICK)
    model.change(suit, model, inpainting.canvas, **QUICK)
    use.click(take, None, [inpainting.canvas, *inpainting.sides.values(), note], **QUICK)


def _connect_removal(studio: Studio, made: Form[Inpainting]) -> None:
    def press(values: Values, request: gr.Request) -> None:
        page = page_of(studio, request)
        studio.jobs.open(page.person)
        try:
            studio.jobs.add(page.person, [made.extra.removal(values)])
        except AtelierError as error:
            refuse(page, made, error)
        else:
            page.follow()

    made.extra.at_once.click(press, {made.extra.canvas}, None, trigger_mode="multiple", **QUICK)


def _notes(sheet: CanvasValue, extra: Inpainting, values: Values) -> str:
    """What a person may not expect of what will be made."""
    said = list(sheet.source.notes) if sheet.source is not None else []
    extended = any(_pixels(values[side]) for side in extra.sides.values())
    if extended and not sheet.is_empty:
        said.append(RESTS)
    if sheet.source is not None and sheet.labels is not None and not extended:
        if (sheet.labels == PAINTED).all():
            said.append(FULL)
        if _scale(sheet) > 1 and not sheet.is_empty:
            wide = f"{_scale(sheet):.2g}"
            said.append(f"A pixel of the mask is {wide} of the picture's wide; its edge is smooth.")
        if _scale(sheet) > 1 and values[extra.area] == "whole":
            size = f"{sheet.width:,} × {sheet.height:,}"
            large = f"{sheet.source.width:,} × {sheet.source.height:,}"
            said.append(
                f"The picture has {large} pixels. Looked at as a whole it is worked on at {size}; the masked "
                "part only keeps all its pixels."
            )
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in said)


def _take(picture: Finished | None, inpainting: Inpainting, note: gr.HTML) -> Updates:
    """The picture on the stage becomes the one on the canvas; the mask stays where the size does."""
    if picture is None:
        return {note: "<p>There is no result yet.</p>"}
    try:
        made = read_raster(picture.png, "picture")
        # What is gone need not be painted over any more.
        done = np.zeros((made.height, made.width), np.uint8) if isinstance(picture.request, Remove) else None
        value = _sheet(made, done)
    except AtelierError as error:
        return {note: f"<p>{html.escape(str(error))}</p>"}
    return {inpainting.canvas: value, note: "", **dict.fromkeys(inpainting.sides.values(), 0)}


def _sheet(source: Raster, mask: NDArray[np.uint8] | None = None, feather: int | None = None) -> CanvasValue:
    """A picture on the canvas, with a mask (H, W) of its size."""
    sheet = backdrop(source)
    labels = None
    if mask is not None:
        filled = np.where(mask >= WHITE, PAINTED, 0).astype(np.uint8)
        small = Image.fromarray(filled).resize((sheet.width, sheet.height), Image.Resampling.BOX)
        labels = np.where(np.asarray(small) >= WHITE, PAINTED, 0).astype(np.uint8)
    soft = None if feather is None else min(round(feather / _scale(sheet)), MAX_FEATHER)
    return replace(sheet, labels=labels, feather=soft)


def _scale(sheet: CanvasValue) -> float:
    """Pixels of the picture for one of the canvas, which shows a large one smaller."""
    return 1.0 if sheet.source is None else sheet.source.width / sheet.width


def _enlarged(mask: NDArray[np.uint8], source: Raster) -> NDArray[np.uint8]:
    """A mask (h, w) in the picture's own size, with smooth borders."""
    large = Image.fromarray(mask).resize((source.width, source.height), Image.Resampling.BILINEAR)
    return np.where(np.asarray(large) >= WHITE, PAINTED, 0).astype(np.uint8)


def _pixels(got: object) -> int:
    """A number of pixels as the browser sent it; 0 where it is none."""
    value = RULES["margin"].read(got)
    return value if isinstance(value, int) else 0
