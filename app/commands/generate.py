"""`launch.py generate`: pictures without a page.  Imports no gradio.

The last line printed is `{"images": [paths], "seconds": ...}`; with `events`, each event is a JSON line
before it.  Everything else goes to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.keeping import metadata
from app.keeping.library import Library
from app.keeping.places import open_models
from ldm_core.errors import AtelierError, FileError, PictureError, RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.pictures.reading import read_bytes
from ldm_core.request import JSON_BYTES, RULES, Request, decode_json, parse_request, to_json
from ldm_core.request.raster import read_raster
from ldm_core.request.rules import RasterOf

if TYPE_CHECKING:
    from ldm_core.engine.events import Event, Fetching, Step

WRONG_INPUT = 2


def generate(
    source: str,
    out: str,
    changes: Sequence[str],
    models: Sequence[str],
    device: str | None,
    events: bool = False,
) -> int:
    """Makes the pictures of a request file or of a saved picture; returns the exit status.

    Args:
        source: path of a request's JSON or of a PNG; "-" reads JSON from stdin.
        out: folder for the pictures.
        changes: KEY=VALUE, each another value for a field of the request.
        models: folders to look for models in; none means the usual ones.
        device: as the engine takes it.
        events: whether to print what happens meanwhile.
    """
    library = open_models(models)
    try:
        settings = _read(source)
        request = with_changes(settings.request, changes)
        _compare(library, settings)
        _tell(library, request)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return WRONG_INPUT
    try:
        print(json.dumps(_make(library, request, Path(out), device, events)), flush=True)
    except AtelierError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


def _make(
    library: ModelLibrary, request: Request, out: Path, device: str | None, events: bool
) -> dict[str, object]:
    from ldm_core.engine.engine import Engine
    from ldm_core.engine.events import Failed, Fetching, Picture, Step

    start = time.monotonic()
    files = Library(out, dated=False)
    paths: list[str] = []
    engine = Engine(library, device=device)
    try:
        job = engine.submit(request)
        for event in job.events():
            if isinstance(event, Picture):
                png = metadata.encode_png(event.pixels, event.request, library.sha256(event.request.model))
                paths.append(str(files.save(png, event.request)))
            if events:
                print(json.dumps(event_json(event, paths)), flush=True)
            elif isinstance(event, Step | Fetching):
                _show_progress(event)
            if isinstance(event, Failed):
                raise event.error
    finally:
        engine.close()
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return {"images": paths, "seconds": round(time.monotonic() - start, 3)}


def event_json(event: Event, paths: Sequence[str]) -> dict[str, object]:
    """An event as a JSON object; `paths` are those of the pictures so far."""
    from ldm_core.engine.events import Done, Failed, Fetching, Picture, Queued, Step, Tiles

    facts: dict[str, object] = {"event": type(event).__name__.lower()}
    match event:
        case Queued():
            facts |= {"position": event.position}
        case Fetching():
            facts |= {"text": event.text}
        case Step() | Tiles():
            facts |= {"image": event.image, "num_images": event.num_images}
            facts |= {"step": event.step, "num_steps": event.num_steps}
            facts |= {"share": round(event.share, 3)} if isinstance(event, Tiles) else {}
            facts |= {"seconds_left": round(event.seconds_left, 3)}
        case Picture():
            facts |= {"image": event.index, "path": paths[-1], "seed": event.request.seed}
        case Done():
            facts |= {"seconds": round(event.seconds, 3)}
        case Failed():
            facts |= {"error": str(event.error)}
    return facts


def _show_progress(event: Step | Fetching) -> None:
    """A line that is written over, where somebody looks."""
    from ldm_core.engine.events import Fetching

    if not sys.stderr.isatty():
        return
    if isinstance(event, Fetching):
        text = event.text
    else:
        text = f"picture {event.image + 1} of {event.num_images}, step {event.step} of {event.num_steps}, "
        text += f"{event.seconds_left:.1f} s left"
    print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)


def _read(source: str) -> metadata.Settings:
    """The settings in a file, told apart by its first bytes."""
    if source == "-":
        text = sys.stdin.buffer.read(JSON_BYTES + 1)
        return metadata.Settings(parse_request(with_files(decode_json(text), Path())))
    path = Path(source)
    try:
        with path.open("rb") as file:
            head = file.read(JSON_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    if head.startswith(b"\x89PNG"):
        return metadata.read_settings(path)
    return metadata.Settings(parse_request(with_files(decode_json(head), path.parent)))


def with_files(obj: object, folder: Path) -> object:
    """A request's JSON whose pictures may be paths, relative to a folder, with these pictures read.

    Raises:
        RequestError: a file cannot be read as a picture.
    """
    if not isinstance(obj, Mapping):
        return obj
    return {name: _with_file(name, value, folder) for name, value in obj.items()}


def _with_file(name: object, value: object, folder: Path) -> object:
    rule = RULES.get(name) if isinstance(name, str) else None
    if not isinstance(rule, RasterOf) or not isinstance(value, str) or value.startswith("data:"):
        return value
    try:
        path = folder / value
        if not path.is_file():
            return value  # for the request to read, or to refuse
        return read_raster(read_bytes(path, path.name), rule.kind)
    except FileError as error:
        raise PictureError(str(name), str(error)) from None
    except (OSError, ValueError):  # no path at all
        return value


def with_changes(request: Request, changes: Sequence[str]) -> Request:
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
        rule = RULES.get(name)
        if isinstance(rule, RasterOf):
            value = _with_file(name, text, Path())
        elif not isinstance(fields.get(name), str):
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


def _tell(library: ModelLibrary, request: Request) -> None:
    """Says which words of the prompts the model never learnt."""
    prompts = (getattr(request, name, "") for name in ("prompt", "negative_prompt"))
    if told := library.told_of(request.model, *prompts):
        print(told, file=sys.stderr)
