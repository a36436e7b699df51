"""`launch.py generate`: pictures without a page.  Imports no gradio.

The last line printed is `{"images": [paths], "seconds": ...}`; with `events`, each event is a JSON line
before it.  Everything else goes to stderr.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.grids.axes import axis_of
from app.grids.legend import save_grid, smaller
from app.grids.plan import Plan, plan
from app.keeping import metadata
from app.keeping.library import Library
from app.keeping.places import open_models, prompts_folder
from app.keeping.readers import Settings
from app.keeping.readers.models import at_home
from app.prompts.dynamic import escaped
from app.prompts.words import PAIRS, Words
from ldm_core.errors import AtelierError, FileError, PictureError, RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.pictures.reading import read_bytes
from ldm_core.request import JSON_BYTES, RULES, Remove, Request, decode_json, parse_request, to_json
from ldm_core.request.raster import read_raster
from ldm_core.request.rules import RasterOf
from ldm_core.wording import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ldm_core.engine.engine import Engine
    from ldm_core.engine.events import Again, Event, Fetching, Step

WRONG_INPUT = 2
# What suits a model, where a picture of another program does not say it.
_USUAL = ("width", "height", "steps", "sampler", "spacing", "guidance_scale", "seed")


def generate(
    source: str,
    out: str,
    changes: Sequence[str],
    models: Sequence[str],
    device: str | None,
    events: bool = False,
    grid: Sequence[str] = (),
) -> int:
    """Makes the pictures of a request file or of a saved picture; returns the exit status.

    Args:
        source: path of a request's JSON or of a picture with settings; "-" reads JSON from stdin.
        out: folder for the pictures.
        changes: KEY=VALUE, each another value for a field of the request.
        models: folders to look for models in; none means the usual ones.
        device: as the engine takes it.
        events: whether to print what happens meanwhile.
        grid: FIELD=VALUES, each an axis of a grid (`app.grids.axes`).
    """
    library = open_models(models)
    try:
        settings = _read(source)
        if settings.program or settings.model_sha256:
            usable = [entry for entry in library.entries() if entry.is_usable]
            settings = at_home(settings, usable, library.entries(), library.sha256)
        for note in settings.notes:
            print(note, file=sys.stderr)
        request = with_changes(settings.request, changes)
        if settings.program:
            fields_set = settings.fields_set.union(change.partition("=")[0] for change in changes)
            request = _completed(library, request, fields_set)
        print(f"Seed: {request.seed}", file=sys.stderr)  # which may have been drawn
        words = Words(prompts_folder(), library.entries)
        planned = None if not grid else _planned(library, words, request, grid)
        requests = words.expanded(request) if planned is None else planned.requests
        _tell(library, requests[0])
    except AtelierError as error:
        print(error, file=sys.stderr)
        return WRONG_INPUT
    try:
        for note in request.notes():
            print(note, file=sys.stderr)
        made = _make(library, requests, Path(out), device, events, planned)
        print(json.dumps(made), flush=True)
    except AtelierError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


def _make(
    library: ModelLibrary,
    requests: Sequence[Request],
    out: Path,
    device: str | None,
    events: bool,
    planned: Plan | None = None,
) -> dict[str, object]:
    from ldm_core.engine.engine import Engine
    from ldm_core.engine.events import Again, Failed, Fetching, PictureDone, Step

    start = time.monotonic()
    files = Library(out, dated=False)
    files.require_room()
    paths: list[str] = []
    pictures: dict[tuple[int, ...], NDArray[np.uint8]] = {}
    cells = iter(planned.cells if planned else ())
    engine = Engine(library, device=device)
    try:
        for event in _events(engine, requests):
            if isinstance(event, PictureDone):
                model = event.request.model
                png = metadata.encode_png(
                    event.pixels, event.request, library.sha256(model) if model else None
                )
                paths.append(str(_saved(files, png, event.request)))
                if cell := next(cells, None):
                    pictures[cell.at] = smaller(event.pixels)
            if events:
                print(json.dumps(event_json(event, paths)), flush=True)
            elif isinstance(event, Step | Fetching | Again):
                _show_progress(event)
            if isinstance(event, Failed):
                raise event.error
    finally:
        engine.close()
    if sys.stderr.isatty():
        print(file=sys.stderr)
    result: dict[str, object] = {"images": paths, "seconds": round(time.monotonic() - start, 3)}
    if planned is not None:
        result["grid"] = [str(path) for path in save_grid(planned, pictures, Path(paths[-1]))]
    return result


def _saved(files: Library, png: bytes, request: Request) -> Path:
    """Saves a picture.

    Raises:
        FileError: it could not be saved there; the sentence says where it is kept instead.
    """
    try:
        return files.save(png, request)
    except FileError as error:
        kept = Library(Path(tempfile.mkdtemp(prefix="latent-atelier-unsaved-")), dated=False)
        try:
            path = kept.save(png, request)
        except FileError:
            raise error from None
        raise FileError(f"{error} The picture is kept as {path}.") from None


def _events(engine: Engine, requests: Sequence[Request]) -> Iterator[Event]:
    """Of several requests, as many at once as the engine lets take turns."""
    from ldm_core.engine.engine import MAX_RUNNING

    if any(isinstance(request, Remove) for request in requests):
        yield from _removed(requests)
        return
    for start in range(0, len(requests), MAX_RUNNING):
        jobs = [engine.submit(request) for request in requests[start : start + MAX_RUNNING]]
        for job in jobs:
            yield from job.events()


def _removed(requests: Sequence[Request]) -> Iterator[Event]:
    """What needs no model and no engine."""
    from ldm_core.engine.events import Done, PictureDone
    from ldm_core.tasks.removal import removed

    for request in requests:
        assert isinstance(request, Remove)  # what stands for several stands for several of a kind
        began = time.monotonic()
        yield PictureDone(0, removed(request), request)
        yield Done(time.monotonic() - began)


def _planned(library: ModelLibrary, words: Words, request: Request, grid: Sequence[str]) -> Plan:
    """The grid around a request; says how large it is.

    Raises:
        AtelierError: an axis is not understood, or names a model that is not there.
    """
    fields: dict[str, object] = {
        field.name: getattr(request, field.name) for field in dataclasses.fields(request)
    }
    for name, template in PAIRS:
        # What varies words works on what was written.
        fields[template] = fields[template] or escaped(str(fields[name]))
        fields[name] = ""
    axes = []
    for axis in grid:
        kind, equals, text = axis.partition("=")
        if not equals:
            raise RequestError("--grid", axis, "FIELD=VALUES, for example steps=10-50 (+10)")
        axes.append(axis_of(kind.strip(), text, fields))
    planned = plan(fields, axes, lambda changed: words.expanded(parse_request(changed))[0])
    for each in {cell.request.model: cell.request for cell in planned.cells}.values():
        library.info(each.model or library.best(each.task))
    print(planned.extent, file=sys.stderr)
    return planned


def event_json(event: Event, paths: Sequence[str]) -> dict[str, object]:
    """An event as a JSON object; `paths` are those of the pictures so far."""
    from ldm_core.engine.events import Again, Done, Failed, Fetching, PictureDone, Queued, Step, Tiles

    facts: dict[str, object] = {"event": type(event).__name__.lower()}
    match event:
        case Queued():
            facts |= {"position": event.position}
            facts |= {} if event.seconds is None else {"seconds": round(event.seconds, 1)}
        case Fetching() | Again():
            facts |= {"text": event.text}
        case Step() | Tiles():
            facts |= {"image": event.image, "num_images": event.num_images}
            facts |= {"step": event.step, "num_steps": event.num_steps}
            facts |= {"share": round(event.share, 3)} if isinstance(event, Tiles) else {}
            facts |= {"seconds_left": round(event.seconds_left, 3)}
        case PictureDone():
            facts |= {"event": "picture", "image": event.index}
            facts |= {"path": paths[-1], "seed": event.request.seed}
        case Done():
            facts |= {"seconds": round(event.seconds, 3)}
        case Failed():
            facts |= {"error": str(event.error)}
    return facts


def _show_progress(event: Step | Fetching | Again) -> None:
    """A line that is written over, where somebody looks."""
    from ldm_core.engine.events import Step

    if not sys.stderr.isatty():
        return
    if isinstance(event, Step):
        text = f"picture {event.image + 1} of {event.num_images}, step {event.step} of {event.num_steps}, "
        text += f"{event.seconds_left:.1f} s left"
    else:
        text = event.text
    print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)


def _read(source: str) -> Settings:
    """The settings in a file, told apart by its first bytes."""
    if source == "-":
        text = sys.stdin.buffer.read(JSON_BYTES + 1)
        return Settings(parse_request(with_files(decode_json(text), Path())))
    path = Path(source)
    try:
        with path.open("rb") as file:
            head = file.read(JSON_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    if not _is_text(head):
        return metadata.read_settings(path)
    return Settings(parse_request(with_files(decode_json(head), path.parent)))


def _is_text(head: bytes) -> bool:
    """Whether it begins like a text, of which the request's own reader says what is wrong."""
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head[:64]) and not head.startswith(b"RIFF")


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
            if "." in value and "://" not in value:  # no base64 has the first, and addresses are told as such
                raise PictureError(str(name), f"there is no file {shown(value)} beside the request.")
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
        if template := dict(PAIRS).get(name):  # the one is not drawn from the other any more
            fields.pop(template, None)
        for prompt, template in PAIRS:
            if name == template:
                fields[prompt] = ""
    return parse_request(fields)


def _tell(library: ModelLibrary, request: Request) -> None:
    """Says what of the prompts the model does not read."""
    if told := library.request_notes(request):
        print(told, file=sys.stderr)


def _completed(library: ModelLibrary, request: Request, fields_set: Collection[str]) -> Request:
    """The request with what suits its model where the picture of another program said nothing."""
    unset = [name for name in _USUAL if name not in fields_set]
    if not unset or request.model not in library.names():
        return request
    usual = library.info(request.model).defaults
    completed = replace(request, **{name: getattr(usual, name) for name in unset})
    words = ", ".join(f"{name} {getattr(completed, name)}" for name in unset)
    print(f"What the picture does not say is what suits the model: {words}.", file=sys.stderr)
    return completed
