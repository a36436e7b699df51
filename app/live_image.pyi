"""A gr.Image that can also show previews sent in-band.

A plain gr.Image writes each frame to a file that the browser then fetches: over a link with 150 ms of delay
one frame a second arrives.  A data URI travels with the event itself.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder


@dataclass(frozen=True, slots=True)
class PngFile:
    """A finished PNG file; `name` is what a download is called."""

    data: bytes
    name: str

from gradio.events import Dependency

class LiveImage(gr.Image):
    """Shows JPEG bytes (a preview) or a `PngFile`, which is kept to the byte, settings included."""

    is_template = True  # the browser's side is gr.Image's own

    def postprocess(self, value: bytes | PngFile | None) -> ImageData | None:  # type: ignore[override]
        """The value as the browser takes it."""
        if value is None:
            return None
        if isinstance(value, bytes):
            url = "data:image/jpeg;base64," + base64.b64encode(value).decode()
            return ImageData(url=url, orig_name="preview.jpg", mime_type="image/jpeg")
        path = cached(value)
        return ImageData(path=path, orig_name=Path(value.name).name, mime_type="image/png", size=len(value.data))
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


def cached(file: PngFile) -> str:
    """Path of a copy that gradio may serve."""
    return save_bytes_to_cache(file.data, file.name, cache_dir=get_upload_folder())