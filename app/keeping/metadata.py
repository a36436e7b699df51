"""The settings inside a saved picture: written into the PNG, and read back from any PNG.

Two text chunks are written.  `latent-atelier` holds the request as JSON, exactly.  `parameters` holds the
text that other programs of the field write and read:

    prompt, over one or more lines
    Negative prompt: over one or more lines
    Steps: 30, Sampler: DDIM, Schedule type: SGM Uniform, CFG scale: 2.5, Seed: 1, Size: 256x256, ...

A value with a comma, a colon, a quote or a line break stands in JSON quotes.
What a picture says is checked like any other request: files come from anywhere.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from app.keeping.outgoing import outgoing
from ldm_core.errors import AtelierError, FileError
from ldm_core.pictures.writing import encode
from ldm_core.request import SAMPLERS, SPACINGS, Request, TextToImage, parse_request, to_json
from ldm_core.request.raster import Raster, to_uri

CHUNK = "latent-atelier"
VERSION = 1
MAX_FILE = 256 * 1024 * 1024  # bytes
MAX_TEXT = 1_000_000  # characters of the text of other programs
MAX_CHUNK = 65_000_000  # characters of our own, which holds the request's pictures

# Fields that are written only where they differ from their defaults.
_RARE = {
    "eta": "Eta",
    "guidance_rescale": "Guidance rescale",
    "guidance_start": "Guidance start",
    "guidance_end": "Guidance end",
}

_NEGATIVE = "Negative prompt:"
_INPUTS = ("image", "mask", "label_map")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a picture was made with.  `notes` are sentences about what could not be taken over."""

    request: Request
    model_sha256: str | None = None  # of the weights' file; the first 10 digits where only those are known
    notes: tuple[str, ...] = ()


def encode_png(
    pixels: NDArray[np.uint8], request: Request, model_sha256: str | None = None, *, facts: bool = True
) -> bytes:
    """A PNG file of the picture with its settings inside.

    Args:
        pixels: (h, w, 3) RGB, or (h, w, 4) with transparency.
        request: what makes this one picture alone.
        facts: whether the picture keeps what a photograph that it is made of says of itself.
    """
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", to_parameters(request, model_sha256))
    chunks.add_text(CHUNK, json.dumps(_to_chunk(request, model_sha256)))
    made = outgoing(pixels, request, facts=facts)
    return encode(made.content, "PNG", exif=made.exif, xmp=made.xmp, chunks=chunks)


def read_settings(source: Path | bytes) -> Settings:
    """The settings inside a PNG file.

    Raises:
        FileError: the file cannot be read, is no PNG, or carries no settings.
        RequestError: it carries settings, but with a value that is not allowed.
    """
    texts = _texts(source)
    if CHUNK in texts:
        return _from_json(texts[CHUNK])
    if "parameters" in texts:
        return from_parameters(texts["parameters"])
    raise FileError(
        "This picture carries no settings: it was not saved by this program or one that writes them."
    )


def _texts(source: Path | bytes) -> dict[str, str]:
    """The text chunks that stand before the pixels; the pixels are never decoded."""
    try:
        data = source if isinstance(source, bytes) else _read_limited(source)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            info = dict(picture.info)
    except FileError:
        raise
    except OSError:
        raise FileError(
            "This is not a PNG picture, or it is incomplete; only PNG pictures carry settings."
        ) from None
    except (ValueError, SyntaxError, OverflowError, Image.DecompressionBombError):
        raise FileError("This PNG is damaged or far too large, so its settings were not read.") from None
    return {
        str(name): text
        for name, text in info.items()
        if isinstance(text, str) and len(text) <= (MAX_CHUNK if name == CHUNK else MAX_TEXT)
    }


def _read_limited(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise FileError(f"There is no file {path.name}.")
        if path.stat().st_size > MAX_FILE:
            raise FileError(
                f"{path.name} is larger than {MAX_FILE // 2**20} MB, so its settings were not read."
            )
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path.name} cannot be read: {error.strerror or error}.") from None


def _to_chunk(request: Request, model_sha256: str | None) -> dict[str, object]:
    """Our own chunk.  Pictures stand beside the request under their hash, so none is there twice."""
    inputs = {
        f"sha256:{raster.sha256}": to_uri(raster)
        for raster in (getattr(request, field.name) for field in fields(request))
        if isinstance(raster, Raster)
    }
    names = {uri: name for name, uri in inputs.items()}
    values = {
        name: names.get(value, value) if isinstance(value, str) else value
        for name, value in to_json(request).items()
    }
    ours: dict[str, object] = {"version": VERSION, "request": values, "model_sha256": model_sha256}
    return ours | ({"inputs": inputs} if inputs else {})


def _from_json(text: str) -> Settings:
    """From our own chunk."""
    try:
        outer = json.loads(text)
        request, digest, version = outer["request"], outer.get("model_sha256"), outer["version"]
        inputs = outer.get("inputs", {})
        if not isinstance(request, dict) or not isinstance(inputs, dict):
            raise TypeError
        request = {
            name: inputs.get(value, value) if isinstance(value, str) and name in _INPUTS else value
            for name, value in request.items()
        }
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise FileError("The settings inside this picture are damaged.") from None
    if version != VERSION:
        raise FileError("The settings inside this picture were written by a newer version of this program.")
    return Settings(parse_request(request), digest if _is_hash(digest) else None)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64 and all(c in "0123456789abcdef" for c in value)


# The text of other programs -------------------------------------------------------------------------------


def to_parameters(request: Request, model_sha256: str | None = None) -> str:
    """The settings as the text that other programs read."""
    facts: dict[str, object] = {
        "Steps": request.steps,
        "Sampler": SAMPLERS[request.sampler].a1111[0],
        "Schedule type": SPACINGS[request.spacing].a1111[0],
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": request.seed,
        "Size": "x".join(map(str, request.size)),
    }
    if model_sha256:
        facts["Model hash"] = model_sha256[:10]
    facts["Model"] = request.model
    usual = TextToImage()
    facts.update(
        {
            name: f"{getattr(request, field):g}"
            for field, name in _RARE.items()
            if getattr(request, field) != getattr(usual, field)
        }
    )
    lines = [request.prompt] if request.prompt else []
    if request.negative_prompt:
        lines.append(f"{_NEGATIVE} {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(str(value))}" for name, value in facts.items()))
    return "\n".join(lines)


def from_parameters(text: str) -> Settings:
    """The settings that such a text describes; what it does not say keeps its default.

    Raises:
        FileError: it is no such text.
        RequestError: a value is not allowed.
    """
    head, _, last = text.rstrip("\n").rpartition("\n")
    facts = dict(_facts(last))
    if "Steps" not in facts or "Seed" not in facts:
        raise FileError("The settings inside this picture are not in a form that this program reads.")
    prompt, negative = _split_prompts(head)
    fields: dict[str, object] = {"task": "text-to-image", "prompt": prompt, "negative_prompt": negative}
    numbers = {"steps": "Steps", "seed": "Seed", "guidance_scale": "CFG scale", **_RARE}
    fields.update({field: _number(facts[name]) for field, name in numbers.items() if name in facts})
    if "Size" in facts:
        width, _, height = facts["Size"].partition("x")
        fields.update(width=_number(width), height=_number(height))
    if "Model" in facts:
        fields["model"] = facts["Model"]
    method, notes = _method(facts)
    fields.update(method)
    digest = facts.get("Model hash", "").lower()
    return Settings(parse_request(fields), digest if _is_hash(digest) else None, tuple(notes))


def _method(facts: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Sampler and spacing as fields of the request, and notes about what is not known here.

    Programs wrote "Sampler: DPM++ 2M Karras" once and write "Sampler: DPM++ 2M, Schedule type: Karras" now;
    pictures of our first version say "Spacing: trailing".
    """
    fields: dict[str, str] = {}
    notes: list[str] = []
    if "Spacing" in facts:
        fields["spacing"] = facts["Spacing"]
    sampler, kind = facts.get("Sampler", "").lower(), facts.get("Schedule type", "").lower()
    if sampler.endswith(" karras"):
        sampler, kind = sampler.removesuffix(" karras"), "karras"
    if sampler:
        known = {name.lower(): spec.name for spec in SAMPLERS.values() for name in spec.a1111}
        if sampler in known:
            fields["sampler"] = known[sampler]
        else:
            notes.append(f"Its sampler {facts['Sampler'][:40]!r} is not known here; DDIM stands in for it.")
    if kind not in ("", "automatic"):
        spacings = {name.lower(): spec.name for spec in SPACINGS.values() for name in spec.a1111}
        if kind in spacings:
            fields["spacing"] = spacings[kind]
        else:
            notes.append(f"Its schedule type {facts['Schedule type'][:40]!r} is not known here.")
    return fields, notes


def _split_prompts(head: str) -> tuple[str, str]:
    """The prompt and the negative prompt, which begins at the first line that says so."""
    lines = head.split("\n") if head else []
    for i, line in enumerate(lines):
        if line.startswith(_NEGATIVE):
            first = line.removeprefix(_NEGATIVE).removeprefix(" ")
            return "\n".join(lines[:i]), "\n".join([first, *lines[i + 1 :]])
    return head, ""


def _quoted(value: str) -> str:
    needs = any(c in value for c in ',:"\n\\') or value != value.strip()
    return json.dumps(value, ensure_ascii=False) if needs else value


def _facts(line: str) -> Iterator[tuple[str, str]]:
    """The pairs of "Name: value, Name: "quoted, value"", read from left to right in linear time."""
    at = 0
    while at < len(line):
        colon = line.find(":", at)
        if colon < 0:
            return
        name, at = line[at:colon].strip(), colon + 1
        while at < len(line) and line[at] == " ":
            at += 1
        value = None
        if line.startswith('"', at):
            try:
                value, at = json.JSONDecoder().raw_decode(line, at)
            except ValueError:  # a quote that never ends: taken as it stands
                value = None
        comma = line.find(",", at)
        end = len(line) if comma < 0 else comma
        yield name, line[at:end].strip() if value is None else value
        at = end + 1


def _number(text: str) -> object:
    """The number that a text spells, or the text itself, for the request to refuse."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def explain(error: AtelierError) -> str:
    """An error about a picture's settings as a sentence that says where the value came from."""
    return (
        f"The settings inside this picture cannot be used: {error}"
        if not isinstance(error, FileError)
        else str(error)
    )
