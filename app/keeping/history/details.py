"""All that a picture says of how it was made, in words to be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from app.keeping import metadata
from app.keeping.history.facts import read_regular
from ldm_core.errors import AtelierError
from ldm_core.request import Request, to_json
from ldm_core.request.raster import Raster

# The usual fields in the order in which they are read, and their names; others follow under their own.
LABELS = {
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "class_name": "Class",
    "class_to": "Towards class",
    "model": "Model",
    "adapters": "LoRAs",
    "controls": "ControlNets",
    "regions": "Regional prompts",
    "seed": "Seed",
    "steps": "Steps",
    "sampler": "Sampler",
    "spacing": "Timestep spacing",
    "guidance_scale": "Guidance scale",
}
_HIDDEN = ("task", "batch_size", "branch", "width", "height")


def details_of(path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Names and values of a picture's settings, and sentences about them."""
    try:
        settings = metadata.read_settings(read_regular(path)[0])
    except AtelierError as error:
        return [], [metadata.explain(error)]
    shown = [
        (name, value)
        for field, name, value in _lines(settings.request)
        if not settings.fields_set or field in settings.fields_set
    ]
    by = [f"As {settings.program} wrote it."] if settings.program else []
    return shown, [*by, *settings.notes]


def _lines(request: Request) -> Iterator[tuple[str, str, str]]:
    """Field, its name for a person, and its value, of what is not as usual or is always of interest."""
    values = to_json(request)
    kind = {field.name: field for field in fields(request)}
    for field in (*LABELS, *(name for name in kind if name not in LABELS)):
        if field not in values or field in _HIDDEN:
            continue
        value = values[field]
        if field not in LABELS and getattr(request, field) == kind[field].default:
            continue
        if isinstance(getattr(request, field), Raster):
            value = "a picture, inside the file"
        if text := _text(value):
            yield field, LABELS.get(field, field.replace("_", " ").capitalize()), text
    if request.branch is not None:
        yield (
            "branch",
            "Branch",
            f"from step {request.branch.step} of a picture with seed {request.branch.of.seed}",
        )


def _region(value: dict[str, object]) -> str:
    """A regional prompt, and of what."""
    box = value.get("box")
    place = f"box {box + 1}" if isinstance(box, int) else str(value.get("class", "mask"))
    weight = "" if value.get("weight") == 1 else f" ({_text(value.get('weight'))})"
    return f"{place}: {value['prompt']}{weight}"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        numbers = [f"{key} {_text(part)}" for key, part in value.items() if isinstance(part, float)]
        if "prompt" in value:
            return _region(value)
        name = str(value.get("name") or value.get("label") or "")
        return f"{name} ({', '.join(numbers)})" if numbers else name
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return "yes" if value is True else "" if value is False else str(value)
