"""One canvas for masks, classes and boxes: a component of gradio whose browser side is assets/canvas.

A tab uses it like any component:

    canvas = Canvas("mask", label="Mask", elem_id="inpaint-canvas", cell=8)
    generate.click(handler, [canvas, ...], ...)       # handler gets a CanvasValue: image, labels, boxes
    send.click(lambda: CanvasValue(512, 512, image=pixels), None, canvas)     # what is None stays
    model.input(lambda name: CanvasSetup(palette_of(classes), cell=4), model, canvas)
    canvas.stroke(live, [canvas, ...], ...)           # after each stroke, when the hand rests

With `preprocess=False` a handler calls `canvas.read(payload)` itself, to show its errors where it wants to.
The picture is uploaded once, when it is opened; a stroke sends only the packed label map.  What is painted
survives reloads, kept by the browser under `elem_id`.  `serve_files` has to be among the server's routes.
The height is the CSS variable `--canvas-height` of any element around it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import mimetypes
from pathlib import Path
from urllib.parse import quote

import gradio as gr
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app.widgets.canvas_value import (
    CanvasSetup,
    CanvasValue,
    Json,
    Mode,
    Outline,
    palette_payload,
    parse_value,
    setup_payload,
    value_payload,
)
from app.widgets.palettes import Palette
from app.widgets.shown import kept_upload, show, tile
from app.widgets.uploads import uploads
from ldm_core.bundled import ASSETS
from ldm_core.errors import AtelierError
from ldm_core.request.raster import Raster

__all__ = ["Canvas", "CanvasSetup", "CanvasValue", "Mode", "Outline", "serve_files"]

_FOLDER = ASSETS / "canvas"

# Gradio runs this with `element`, `props`, `trigger`, `upload` and `watch`; "stroke" is an event it can tell.
# The settings stand in it, since gradio throws a component's own `props` away when a handler skips it.
_LOAD = """
const settings = JSON.parse(decodeURIComponent("%s"));
import(new URL("%s/index.js", document.baseURI).href)
  .then(({ mount }) => mount({ element, props, trigger, upload, watch, settings }))
  .catch((error) => {
    element.textContent = "The canvas could not be loaded. Reload the page.";
    console.error(error);
  });
"""


class Canvas(gr.HTML):
    """A canvas; its value is a `CanvasValue`.  It also takes a `CanvasSetup`, and None, which clears it.

    Args:
        mode: what is painted on it.
        elem_id: names it among the page's canvases, in the browser's memory as well.
        palette: the classes of a label map, or of boxes.
        width, height: of the empty sheet, up to 2048.
        cell: side of a latent's cell in pixels; the grid shows it.
        max_boxes: how many boxes can be drawn.
        feather: width of the mask's soft edge in pixels, at first.
    """

    def __init__(
        self,
        mode: Mode,
        *,
        label: str,
        elem_id: str,
        palette: Palette = (),
        width: int = 512,
        height: int = 512,
        cell: int = 8,
        max_boxes: int = 30,
        feather: int = 0,
        value: CanvasValue | None = None,
        visible: bool = True,
        render: bool = True,
    ) -> None:
        settings = {
            "label": label,
            "name": elem_id,
            "mode": mode,
            "palette": palette_payload(palette),
            "width": width,
            "height": height,
            "cells": cell,
            "maxBoxes": max_boxes,
            "feather": feather,
        }
        self._building = True
        super().__init__(
            value=value,
            html_template="",
            js_on_load=f'// tells "stroke"{_LOAD % (quote(json.dumps(settings)), _address())}',
            apply_default_css=False,
            label=label,
            elem_id=elem_id,
            elem_classes=["latent-canvas"],
            visible=visible,
            render=render,
        )
        self._building = False

    def read(self, payload: object) -> CanvasValue | None:
        """What the browser sent, checked.

        Raises:
            RequestError, FileError: see `parse_value`.
        """
        return parse_value(payload, uploads())

    def preprocess(self, payload: object) -> CanvasValue | None:
        """For gradio: `read`, with errors as the page shows them."""
        try:
            return self.read(payload)
        except AtelierError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def postprocess(self, value: CanvasValue | CanvasSetup | None) -> Json | None:
        """For gradio: the value as the browser takes it."""
        if value is None:
            return None
        if isinstance(value, CanvasSetup):
            return setup_payload(value)
        picture = None
        if value.source is not None:
            picture = _file(kept_upload(value.source))
        elif value.image is not None:
            picture = _file(kept_upload(Raster(value.image)))
        return value_payload(value, picture, initial=self._building)

    def api_info(self) -> dict[str, object]:
        """What programs are told about the value."""
        return {"type": "object"}


def serve_files() -> Mount:
    """The routes under which browsers find the canvas's scripts, and what is read in pictures for it.

    The address holds a hash of their contents: after an update no browser mixes old files with new ones.
    """
    mimetypes.add_type("text/javascript", ".js")  # on some computers it is registered as plain text
    routes = [Route("/picture", show), Route("/tile", tile), Mount("/", StaticFiles(directory=_FOLDER))]
    return Mount(f"/{_address()}", routes=routes)


@functools.cache
def _address() -> str:
    digest = hashlib.sha256()
    for path in sorted(_FOLDER.iterdir()):
        digest.update(path.read_bytes())
    return f"canvas/{digest.hexdigest()[:12]}"


def _file(path: Path) -> Json:
    """A file as gradio gives it to the browser."""
    return dict(gr.FileData(path=str(path), orig_name=path.name).model_dump())
