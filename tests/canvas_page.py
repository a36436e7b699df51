"""A page with the three canvases, for their tests and for trying them: `python -m tests.canvas_page`."""

from __future__ import annotations

import os
import queue
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import gradio as gr
import numpy as np
from starlette.middleware import Middleware

from app.web.guard import LOOPBACK, Guard
from app.web.theme import make_theme
from app.widgets.canvas import Canvas, CanvasSetup, CanvasValue, Mode, serve_files
from app.widgets.palettes import class_names, palette_of
from ldm_core.request.rules import LabelledBox

MODES: tuple[Mode, ...] = ("mask", "classes", "boxes")
QUIET = {"show_progress": "hidden", "queue": False}


@dataclass
class Bench:
    """The page's other end: what it gets from the canvases, and what it gives them."""

    address: str = ""
    arrived: queue.Queue[CanvasValue | None] = field(default_factory=queue.Queue)
    strokes: queue.Queue[CanvasValue | None] = field(default_factory=queue.Queue)
    given: CanvasValue | CanvasSetup | None = None

    def blocks(self) -> gr.Blocks:
        """A tab for each mode, with buttons to send what is on the canvas and to give it something."""
        with gr.Blocks(title="Canvas", fill_width=True, analytics_enabled=False) as page, gr.Tabs():
            for mode in MODES:
                with gr.Tab(mode, elem_id=f"tab-{mode}"):
                    self._tab(mode)
        return page

    def _tab(self, mode: Mode) -> None:
        names = class_names("open-images" if mode == "boxes" else "scenes")
        palette = () if mode == "mask" else palette_of(names)
        canvas = Canvas(mode, label=f"Canvas for {mode}", elem_id=mode, palette=palette, max_boxes=4)
        with gr.Row():
            send = gr.Button("Send", elem_id=f"send-{mode}", size="sm")
            give = gr.Button("Give", elem_id=f"give-{mode}", size="sm")
        send.click(self.arrived.put, canvas, None, **QUIET)
        give.click(lambda: self.given, None, canvas, **QUIET)
        canvas.stroke(self.strokes.put, canvas, None, **QUIET)


@contextmanager
def serve(port: int | None = None) -> Iterator[Bench]:
    """Serves the page as the program serves its own."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    bench = Bench()
    blocks = bench.blocks()
    port = port or free_port()
    guard = Middleware(Guard, hosts=LOOPBACK)
    blocks.launch(
        server_name="127.0.0.1",
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        theme=make_theme(),
        footer_links=[],
        ssr_mode=False,
        app_kwargs={"middleware": [guard], "routes": [serve_files()]},
    )
    bench.address = f"http://127.0.0.1:{port}"
    try:
        yield bench
    finally:
        blocks.close(verbose=False)


def free_port() -> int:
    """One that nobody has; tests of other checkouts may start at the same moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demonstration() -> CanvasValue:
    """A small landscape, painted and in boxes."""
    names = class_names("scenes")
    labels = np.zeros((512, 768), np.uint8)
    labels[300:] = names.index("water")
    labels[400:] = names.index("meadow")
    labels[220:300, 200:520] = names.index("mountain")
    boxes = (LabelledBox("Tree", 0.1, 0.3, 0.2, 0.5), LabelledBox("House", 0.6, 0.5, 0.25, 0.3))
    return CanvasValue(768, 512, labels=labels, boxes=boxes)


if __name__ == "__main__":
    with serve(7880) as shown:
        shown.given = demonstration()
        print(shown.address, flush=True)
        while True:
            value = shown.arrived.get()
            print(value and (value.width, value.height, value.boxes, value.is_empty), flush=True)
