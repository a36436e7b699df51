"""`launch.py generate`: pictures without a page.  Imports no gradio.

The last line printed is `{"images": [paths], "seconds": ...}`; everything else goes to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app import metadata
from app.library import Library
from app.places import open_models
from ldm_core.errors import AtelierError, FileError, RequestError
from ldm_core.models import ModelLibrary
from ldm_core.request import JSON_BYTES, TextToImage, parse_json, parse_request, to_json

WRONG_INPUT = 2


def generate(source: str, out: str, changes: Sequence[str], models: Sequence[str], device: str | None) -> int:
    """Makes the pictures of a request file or of a saved picture; returns the exit status.

    Args:
        source: path of a request's JSON or of a PNG; "-" reads JSON from stdin.
        out: folder for the pictures.
        changes: KEY=VALUE, each another value for a field of the request.
        models: folders to look for models in; none means the usual ones.
        device: as the engine takes it.
    """
    library = open_models(models)
    try:
        settings = _read(source)
        request = with_changes(settings.request, changes)
        _compare(library, settings)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return WRONG_INPUT
    try:
        print(json.dumps(_make(library, request, Path(out), device)), flush=True)
    except AtelierError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


def _make(library: ModelLibrary, request: TextToImage, out: Path, device: str | None) -> dict[str, object]:
    from ldm_core.engine import Engine
    from ldm_core.events import Failed, Picture, Step

    start = time.monotonic()
    files = Library(out, dated=False)
    paths: list[str] = []
    engine = Engine(library, device=device)
    try:
        job = engine.submit(request)
        for event in job.events():
            if isinstance(event, Step):
                _show_progress(event)
            elif isinstance(event, Picture):
                png = metadata.encode_png(event.pixels, event.request, library.sha256(request.model))
                paths.append(str(files.save(png, event.request)))
            elif isinstance(event, Failed):
                raise event.error
    finally:
        engine.close()
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return {"images": paths, "seconds": round(time.monotonic() - start, 3)}


def _show_progress(step: object) -> None:
    """A line that is written over, where somebody looks."""
    from ldm_core.events import Step

    if isinstance(step, Step) and sys.stderr.isatty():
        text = f"picture {step.image + 1} of {step.num_images}, step {step.step} of {step.num_steps}"
        print(f"\r{text}, {step.seconds_left:.1f} s left ", end="", file=sys.stderr, flush=True)


def _read(source: str) -> metadata.Settings:
    """The settings in a file, told apart by its first bytes."""
    if source == "-":
        return metadata.Settings(parse_json(sys.stdin.buffer.read(JSON_BYTES + 1)))
    path = Path(source)
    try:
        with path.open("rb") as file:
            head = file.read(JSON_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    if head.startswith(b"\x89PNG"):
        return metadata.read_settings(path)
    return metadata.Settings(parse_json(head))


def with_changes(request: TextToImage, changes: Sequence[str]) -> TextToImage:
    """The request with other values for some fields, each as "key=value".

    Raises:
        RequestError: a change names no field or gives a value that is not allowed.
    """
    fields: dict[str, object] = dict(to_json(request))
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise RequestError("--set", change, "KEY=VALUE, for example steps=50")
        value: object = text
        if not isinstance(fields.get(name), str):
            try:
                value = json.loads(text)
            except ValueError:
                value = text  # for the request to refuse
        fields[name] = value
    return parse_request(fields)


def _compare(library: ModelLibrary, settings: metadata.Settings) -> None:
    """Says when a picture's model is not the one that is here now."""
    model, digest = settings.request.model, settings.model_sha256
    if digest and model in library.names() and not library.sha256(model).startswith(digest):
        print("The model has changed since this picture was made: the new one will differ.", file=sys.stderr)
    for note in settings.notes:
        print(note, file=sys.stderr)
