"""Components that gradio does not have: a picture with live previews, a strip, before and after, steps."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

import gradio as gr
from gradio.data_classes import ImageData
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from app.grids.captions import captions_of
from app.studio.frames import Finished, Steps
from app.studio.grids import Progress
from app.studio.timelines import Timelines
from app.widgets.asking import person_of
from app.widgets.scripts import Scripted
from ldm_core.errors import AtelierError
from ldm_core.request import ClassToImage, Remove, Request

State = Literal["running", "paused", "finished"]
Strip = dict[str, list[dict[str, str]] | str]  # as assets/filmstrip.js says


@dataclass(frozen=True, slots=True)
class PngFile:
    """A finished PNG file; `name` is what a download is called."""

    data: bytes
    name: str


class LiveImage(gr.Image):
    """Shows JPEG bytes (a preview) or a `PngFile`, which is kept to the byte, settings included.

    A plain gr.Image writes each frame to a file that the browser then fetches: over a link with 150 ms of
    delay one frame a second arrives.  A preview travels with the event itself, as a data URI.
    """

    is_template = True  # the browser's side is gr.Image's own

    def postprocess(self, value: bytes | PngFile | None) -> ImageData | None:
        """The value as the browser takes it."""
        if value is None:
            return None
        if isinstance(value, bytes):
            return ImageData(
                url=data_uri(value, "image/jpeg"), orig_name="preview.jpg", mime_type="image/jpeg"
            )
        name = Path(value.name).name
        return ImageData(path=cached(value), orig_name=name, mime_type="image/png", size=len(value.data))


class Filmstrip(Scripted):
    """A row or column of small pictures.  Fires `pick` with the chosen picture's id as `id` of the event."""

    script = "filmstrip.js"
    empty: ClassVar[Strip] = {"items": [], "selected": ""}
    classes = ("filmstrip",)


def strip_of(pictures: Sequence[Finished], selected: str | None = None) -> Strip:
    """What a `Filmstrip` shows.  The browser sets `alt` as text, so prompts need no escaping."""
    captions = captions_of([picture.request for picture in pictures])
    items = [
        {
            "id": picture.id,
            "src": picture.thumb,
            "full": picture.url,
            "alt": words_of(picture.request),
            "caption": caption,
        }
        for picture, caption in zip(pictures, captions, strict=True)
    ]
    return {"items": items, "selected": selected or ""}


def words_of(request: Request) -> str:
    """What a picture shows, as far as somebody said."""
    if isinstance(request, ClassToImage):
        between = f" → {request.class_to}, {request.blend:g}" if request.class_to else ""
        return (request.class_name or f"class {request.class_id}") + between
    if isinstance(request, Remove):
        return "something removed"
    return request.prompt[:120] or "without words"


class BranchNote(Scripted):
    """Says of which picture the next one is a branch, with a button that drops that; None shows nothing.

    Its value is as `lasting_branch` gives it.
    """

    script = "branch.js"
    classes = ("branch-note", "note")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a picture was made of, and the picture, of the same aspect."""

    before: PngFile
    after: PngFile


class Compare(Scripted):
    """Shows a `Comparison` as two pictures with a line between them; None shows nothing."""

    script = "compare.js"

    def postprocess(self, value: Comparison | None) -> dict[str, object] | None:
        """The value as the browser takes it."""
        if value is None:
            return None
        return {"before": file_data(value.before), "after": file_data(value.after)}


class Legend(Scripted):
    """Shows `app.studio.grids.Progress`: a grid as it fills; None shows nothing."""

    script = "legend.js"

    def postprocess(self, value: Progress | None) -> dict[str, object] | None:
        """The value as the browser takes it."""
        return None if value is None else asdict(value)


@dataclass(frozen=True, slots=True)
class Shown:
    """The picture whose steps a `Timeline` has."""

    steps: Steps
    state: State = "finished"


class Timeline(Scripted):
    """A slider over the steps of a picture that is made or finished; None hides it.

    It fetches previews, decoded steps and the animation itself.  Fires `branch` with `key` and `step` of the
    event's data, `pause` and `proceed`.
    """

    script = "timeline.js"

    def __init__(
        self,
        timelines: Timelines,
        *,
        label: str,
        elem_id: str,
        value: Shown | None = None,
        render: bool = True,
    ) -> None:
        served = _served(timelines)
        super().__init__(label=label, elem_id=elem_id, value=value, render=render, server_functions=served)

    def postprocess(self, value: Shown | None) -> dict[str, object] | None:
        """The value as the browser takes it."""
        return None if value is None else {**asdict(value.steps), "state": value.state}


Answer = dict[str, object]  # to a browser's question; `problem` in it says why there is none


def _served(timelines: Timelines) -> list[Callable[[object, gr.Request], Answer]]:
    """What a browser may ask of the steps of its person's pictures."""

    def previews(key: object, request: gr.Request) -> Answer:
        def find() -> Answer:
            found = timelines.previews(str(key), person_of(request))
            return {"previews": [(step, data_uri(jpeg, "image/jpeg")) for step, jpeg in found]}

        return _answer(find)

    def look(asked: object, request: gr.Request) -> Answer:
        def find() -> Answer:
            key, step = (asked.get(name) if isinstance(asked, dict) else None for name in ("key", "step"))
            kept, jpeg = timelines.look(str(key), person_of(request), step if isinstance(step, int) else 0)
            return {"step": kept, "src": data_uri(jpeg, "image/jpeg")}

        return _answer(find)

    def animation(asked: object, request: gr.Request) -> Answer:
        def find() -> Answer:
            key, kind = (asked.get(name) if isinstance(asked, dict) else None for name in ("key", "kind"))
            name, film = timelines.animation(str(key), person_of(request), "mp4" if kind == "mp4" else "webp")
            return {"name": name, "src": data_uri(film, "video/mp4" if kind == "mp4" else "image/webp")}

        return _answer(find)

    return [previews, look, animation]


def _answer(find: Callable[[], Answer]) -> Answer:
    try:
        return find()
    except AtelierError as error:
        return {"problem": str(error)}


def data_uri(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def file_data(file: PngFile) -> dict[str, object]:
    """A file as gradio gives it to the browser."""
    data = gr.FileData(path=cached(file), orig_name=file.name, mime_type="image/png")
    return dict(data.model_dump())


def cached(file: PngFile) -> str:
    """Path of a copy that gradio may serve."""
    return save_bytes_to_cache(file.data, file.name, cache_dir=get_upload_folder())
