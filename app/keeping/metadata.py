"""The settings inside a saved picture: written into its file, and read back from any picture.

Two texts are written.  One is ours: the request as JSON, exactly.  The other is A1111's, which other programs
of the field write and read (`readers/a1111.py` describes it).

    PNG         chunks `latent-atelier` and `parameters`
    JPEG        blocks APP15 that begin with `latent-atelier`, and EXIF's UserComment
    WebP, AVIF  EXIF's MakerNote that begins with `latent-atelier`, and its UserComment

What a picture says is checked like any other request: files come from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from app.keeping import originals
from app.keeping.outgoing import Outgoing, outgoing
from app.keeping.readers import Settings, carried_by, said_by, translated
from app.keeping.readers.a1111 import NEGATIVE, said_in
from app.keeping.readers.carried import EXIF_IFD, MAKER_NOTE, MAX_OURS, OURS, USER_COMMENT
from ldm_core.errors import AtelierError, FileError
from ldm_core.pictures import writing
from ldm_core.pictures.writing import Format
from ldm_core.prompts import AUTO, is_plain
from ldm_core.prompts.a1111 import escaped
from ldm_core.request import SAMPLERS, SPACINGS, Remove, Request, TextToImage, parse_request, to_json
from ldm_core.request.extensions import AdapterUse
from ldm_core.request.raster import Kind, Raster, file_of, to_uri

VERSION = 1
MAX_FILE = 512 * 1024 * 1024  # bytes

# Fields that are written only where they differ from their defaults.
_RARE = {
    "eta": "Eta",
    "guidance_rescale": "Guidance rescale",
    "guidance_start": "Guidance start",
    "guidance_end": "Guidance end",
    "clip_skip": "Clip skip",
}
_INPUTS: Mapping[str, Kind] = {"image": "picture", "mask": "mask", "label_map": "label map"}
_HASH = "sha256:"
MAX_CARRIED = 40_000_000  # bytes of a picture inside another one
_EMPHASIS = {"a1111": "Original", "no_norm": "No norm", "ignore": "Ignore"}  # as A1111 calls them
_PROMPTS = ("prompt", "negative_prompt")
_DAMAGED = "Its exact settings are damaged; these are from the text beside them, which says less."
_NOT_KEPT = (
    "The picture that it was made of is too large to be carried inside and is not kept on this computer; "
    "these are its other settings."
)
_MARK = OURS.encode() + b"\0"
_BLOCK = 65_533 - len(_MARK)  # bytes of the text in one block of a JPEG
_APP15 = b"\xff\xef"
_MAX_COMMENT = 50_000  # bytes; a JPEG has 65,533 for all EXIF data


def encode_png(
    pixels: NDArray[np.uint8], request: Request, model_sha256: str | None = None, *, facts: bool = True
) -> bytes:
    """A PNG file of the picture with its settings inside; arguments as of `encode`."""
    return encode(pixels, request, model_sha256, facts=facts)


def encode(
    pixels: NDArray[np.uint8],
    request: Request,
    model_sha256: str | None = None,
    format: Format = "PNG",
    *,
    quality: int = 90,
    facts: bool = True,
) -> bytes:
    """A file of the picture with its settings inside.

    Args:
        pixels: (h, w, 3) RGB, or (h, w, 4) with transparency.
        request: what makes this one picture alone.
        quality: 1 to 100, of all but PNG.
        facts: whether the picture keeps what a photograph that it is made of says of itself.
    """
    for raster in _pictures(request):
        if is_large(raster):
            originals.keep(raster)
    texts = to_ours(request, model_sha256), to_parameters(request, model_sha256)
    return written(outgoing(pixels, request, facts=facts), *texts, format, quality=quality)


def written(made: Outgoing, ours: str, theirs: str, format: Format = "PNG", *, quality: int = 90) -> bytes:
    """A picture's file with our text inside and that of other programs, each where it is not empty."""
    if format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        # Pillow would write Latin-1, which readers cannot tell from UTF-8.
        if theirs:
            (chunks.add_text if theirs.isascii() else chunks.add_itxt)("parameters", theirs)
        if ours:
            chunks.add_text(OURS, ours)
        return writing.encode(made.content, "PNG", exif=made.exif, xmp=made.xmp, chunks=chunks)
    inside = dict(made.exif.get(EXIF_IFD, {}))
    comment = b"UNICODE\0" + theirs.encode("utf-16-be")
    if ours and format != "JPEG":
        inside[MAKER_NOTE] = _MARK + ours.encode()
    if theirs and (format != "JPEG" or len(comment) <= _MAX_COMMENT):
        inside[USER_COMMENT] = comment
    if inside:
        made.exif[EXIF_IFD] = inside
    file = writing.encode(made.content, format, quality=quality, exif=made.exif, xmp=made.xmp)
    return _with_blocks(file, ours.encode()) if format == "JPEG" else file


def _with_blocks(jpeg: bytes, text: bytes) -> bytes:
    """The text behind the first block, which has to be JFIF's or EXIF's."""
    at = 4 + int.from_bytes(jpeg[4:6], "big")
    parts = [text[i : i + _BLOCK] for i in range(0, len(text), _BLOCK)]
    blocks = [_APP15 + (2 + len(_MARK) + len(part)).to_bytes(2, "big") + _MARK + part for part in parts]
    return jpeg[:at] + b"".join(blocks) + jpeg[at:]


def read_settings(source: Path | bytes) -> Settings:
    """The settings inside a picture's file, whoever wrote them.

    Raises:
        FileError: the file cannot be read, is no picture, or carries no settings that are understood.
        RequestError: this program's own settings have a value that is not allowed.
    """
    carried = carried_by(source if isinstance(source, bytes) else _read_limited(source))
    lost = _DAMAGED if OURS in carried.damaged else ""
    if carried.ours is not None and len(carried.ours) <= MAX_OURS:
        try:
            return _from_json(carried.ours)
        except originals.NotKept:
            lost = _NOT_KEPT
    said = said_by(carried)
    if said is not None:
        settings = translated(said)
        return replace(settings, notes=(*settings.notes, lost)) if lost else settings
    if carried.damaged:
        raise FileError("The settings inside this picture are damaged.")
    raise FileError(
        "This picture carries no settings that are understood here: it was not saved by a program that "
        "writes them, or they were taken out."
    )


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


def to_ours(request: Request, model_sha256: str | None) -> str:
    """Our own text.  Pictures stand beside the request under their hash, so none is there twice.

    Large ones do not stand there at all: Pillow opens no PNG with more than 64 MiB of text.
    """
    inputs: dict[str, str] = {}

    def name_of(raster: Raster) -> str:
        name = _HASH + raster.sha256
        if name not in inputs and not is_large(raster):
            inputs[name] = to_uri(raster)
        return name

    values = to_json(request, name_of)
    ours: dict[str, object] = {"version": VERSION, "request": values, "model_sha256": model_sha256}
    return json.dumps(ours | ({"inputs": inputs} if inputs else {}))


def _from_json(text: str) -> Settings:
    """From our own text."""
    try:
        outer = json.loads(text)
        request, digest, version = outer["request"], outer.get("model_sha256"), outer["version"]
        inputs = outer.get("inputs", {})
        if not isinstance(request, dict) or not isinstance(inputs, dict):
            raise TypeError
        request = _with_pictures(request, inputs)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise FileError("The settings inside this picture are damaged.") from None
    if version != VERSION:
        raise FileError("The settings inside this picture were written by a newer version of this program.")
    if "prompt_syntax" not in request and not all(is_plain(request.get(name)) for name in _PROMPTS):
        request["prompt_syntax"] = "plain"  # as it was made, before syntax was read
    read = parse_request(request)
    fields_set = frozenset(field.name for field in fields(read))
    return Settings(read, fields_set, digest if _is_hash(digest) else None)


def _with_pictures(values: Mapping[str, object], inputs: Mapping[str, object]) -> dict[str, object]:
    """The request's values with its pictures, from beside it or from where large ones are kept.

    Raises:
        NotKept: a large one is gone.
    """
    found = dict(values)
    for name, kind in _INPUTS.items():
        value = values.get(name)
        if isinstance(value, str) and value.startswith(_HASH):
            found[name] = inputs[value] if value in inputs else originals.find(value[len(_HASH) :], kind)
    branch = values.get("branch")
    if isinstance(branch, dict) and isinstance(branch.get("of"), dict):
        found["branch"] = {**branch, "of": _with_pictures(branch["of"], inputs)}
    return found


def is_large(raster: Raster) -> bool:
    """Whether a picture is kept beside the files that are made of it, not in them."""
    return len(file_of(raster)) > MAX_CARRIED


def _pictures(request: Request) -> Iterator[Raster]:
    """Those that it is made of."""
    for field in fields(request):
        raster = getattr(request, field.name)
        if isinstance(raster, Raster):
            yield raster
    if request.branch is not None:
        yield from _pictures(request.branch.of)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64 and all(c in "0123456789abcdef" for c in value)


# The text of other programs -------------------------------------------------------------------------------


def to_parameters(request: Request, model_sha256: str | None = None) -> str:
    """The settings as the text that other programs read; empty where no model made the picture."""
    if isinstance(request, Remove):
        return ""
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
    rare = _RARE | ({"eta": "Eta DDIM"} if SAMPLERS[request.sampler].uses_eta else {})
    facts.update(
        {
            name: f"{getattr(request, field):g}"
            for field, name in rare.items()
            if getattr(request, field) != getattr(usual, field)
        }
    )
    words, negative = request.prompt, request.negative_prompt
    if request.prompt_syntax == "plain":
        words, negative = escaped(words), escaped(negative)
    elif not (is_plain(words) and is_plain(negative)):
        facts["Prompt syntax"] = request.prompt_syntax
    if request.prompt_weighting != AUTO:
        facts["Emphasis"] = _EMPHASIS.get(request.prompt_weighting, request.prompt_weighting)
    tags = [lora_tag(use) for use in request.adapters or ()]
    prompt = " ".join([words, *tags] if words else tags)
    lines = [prompt] if prompt else []
    if negative:
        lines.append(f"{NEGATIVE} {negative}")
    lines.append(", ".join(f"{name}: {_quoted(str(value))}" for name, value in facts.items()))
    # As A1111's extension for dynamic prompts writes them, behind the settings.
    templates = {"Template": request.template, "Negative Template": request.negative_template}
    lines += [f"{name}: {text}" for name, text in templates.items() if text]
    return "\n".join(lines)


def lora_tag(use: AdapterUse) -> str:
    """As A1111 writes it into the prompt: the text encoders' strength first."""
    strengths = dict.fromkeys((use.text, use.unet))
    return f"<lora:{use.name}:{':'.join(f'{strength:g}' for strength in strengths)}>"


def from_parameters(text: str) -> Settings:
    """The settings that such a text describes; what it does not say keeps its default.

    Raises:
        FileError: it is no such text.
    """
    said = said_in(text)
    if said is None:
        raise FileError("These settings are not in a form that this program reads.")
    return translated(said)


def _quoted(value: str) -> str:
    needs = any(c in value for c in ',:"\n\\') or value != value.strip() or value.startswith(("{", "["))
    return json.dumps(value, ensure_ascii=False) if needs else value


def explain(error: AtelierError) -> str:
    """An error about a picture's settings as a sentence that says where the value came from."""
    return (
        f"The settings inside this picture cannot be used: {error}"
        if not isinstance(error, FileError)
        else str(error)
    )
