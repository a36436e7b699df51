"""The endpoints for programs: a request as JSON in, PNG files and their requests out.

Pictures in a request are `data:` URIs, or files that the program uploaded here; a path is never opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import gradio as gr

from app.form.picture_input import uploaded
from app.studio.frames import Finished
from app.studio.jobs import Studio
from app.widgets.asking import person_of
from app.widgets.components import PngFile, cached
from ldm_core.errors import AtelierError
from ldm_core.request import RULES, TASKS, parse_request, to_json
from ldm_core.request.rules import RasterOf

Json = dict[str, object]


def serve(studio: Studio) -> None:
    """Adds `/generate` for any request, and one endpoint for each task, `/text_to_image` and so on, whose
    request may leave the task out."""
    gr.api(_endpoint(studio), api_name="generate", concurrency_limit=8)
    for task in TASKS:
        gr.api(_endpoint(studio, task), api_name=task.replace("-", "_"), concurrency_limit=8)


def _endpoint(studio: Studio, task: str | None = None) -> Callable[[Json, gr.Request], Json]:
    def generate(request: Json, asked_by: gr.Request) -> Json:
        start, person = time.monotonic(), person_of(asked_by)
        try:
            implied = {} if task is None else {"task": task}
            asked = parse_request({**with_uploads(request), **implied})
            pictures = [
                picture
                for planned in studio.words.expanded(asked)
                for picture in studio.make(planned, person)
            ]
        except AtelierError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return {
            "images": [_file(picture) for picture in pictures],
            "requests": [to_json(picture.request) for picture in pictures],
            "notes": [*asked.notes(), *filter(None, [studio.models.told(pictures[0].request)])],
            "seconds": round(time.monotonic() - start, 3),
        }

    return generate


def with_uploads(request: object) -> Mapping[str, object]:
    """A request's JSON with the files that were uploaded for it read.

    Raises:
        FileError: a file is not at hand or no picture.
    """
    if not isinstance(request, Mapping):
        return {}
    return {name: _with_upload(name, value) for name, value in request.items()}


def _with_upload(name: object, value: object) -> object:
    rule = RULES.get(name) if isinstance(name, str) else None
    if isinstance(rule, RasterOf) and isinstance(value, Mapping):
        return uploaded(value, rule.kind)
    return value


def _file(picture: Finished) -> Json:
    """A picture as gradio's clients download it."""
    path = cached(PngFile(picture.png, picture.name))
    data = gr.FileData(
        path=path, url=f"/gradio_api/file={path}", orig_name=picture.name, mime_type="image/png"
    )
    return dict(data.model_dump())
