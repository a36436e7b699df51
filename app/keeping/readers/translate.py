"""What another program said as our request: field by field, with a sentence about whatever is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.keeping.readers.names import parted, sampler_of, spacing_of
from app.keeping.readers.said import Lora, Said, Value
from ldm_core.errors import RequestError
from ldm_core.prompts import AUTO, is_plain
from ldm_core.request import RULES, SAMPLERS, Request, parse_request
from ldm_core.request.rules import brief

_SHOWN = 60  # characters of a value
_LISTED = 14  # things that are not kept
# Field of `Said` -> field of the request, and what a person calls it.
_NUMBERS = {
    "steps": ("steps", "number of steps"),
    "cfg_scale": ("guidance_scale", "guidance scale"),
    "seed": ("seed", "seed"),
    "eta": ("eta", "eta"),
    "guidance_rescale": ("guidance_rescale", "guidance rescale"),
    "guidance_start": ("guidance_start", "guidance start"),
    "guidance_end": ("guidance_end", "guidance end"),
    "clip_skip": ("clip_skip", "clip skip"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a picture was made with.

    Attributes:
        fields_set: the request's fields that the picture itself told; the others have their defaults.
        model_sha256: of the weights' file; the first digits where only those are known.
        notes: sentences about what could not be taken over.
        loras, embeddings: that it names; `readers.models` finds them.
        program: that wrote it; "" for this one.
    """

    request: Request
    fields_set: frozenset[str] = frozenset()
    model_sha256: str | None = None
    notes: tuple[str, ...] = ()
    program: str = ""
    loras: tuple[Lora, ...] = ()
    embeddings: tuple[tuple[str, str], ...] = ()


def translated(said: Said) -> Settings:
    """Our request with as much of it as can be kept."""
    notes: list[str] = []
    fields: dict[str, object] = {}
    for name, label in (("prompt", "prompt"), ("negative_prompt", "negative prompt")):
        fields |= _checked(name, label, getattr(said, name), notes)
    if not (is_plain(said.prompt) and is_plain(said.negative_prompt)):
        for name, label in (("prompt_syntax", "prompt's syntax"), ("prompt_weighting", "weighting")):
            fields |= _checked(name, label, getattr(said, name) or AUTO, notes)
    for attribute, (name, label) in _NUMBERS.items():
        value = getattr(said, attribute)
        if value is not None:
            fields |= _checked(name, label, number_of(value), notes)
    fields |= _size(said, notes)
    fields |= _method(said, fields, notes)
    if said.model:
        fields |= _checked("model", "model's name", said.model, notes)
    if said.from_picture:
        notes.append("It went on from another picture, which is not in the file.")
    request, lost = _fitted(fields)
    notes += [*lost, *_not_kept(said), *said.unread]
    return Settings(
        request,
        frozenset(fields) - {"task"},
        said.model_hash or None,
        tuple(dict.fromkeys(notes)),
        said.program,
        said.loras,
        said.embeddings,
    )


def number_of(value: Value) -> Value:
    """The number that a text spells, or the text itself, for a rule to refuse."""
    if not isinstance(value, str) or len(value) > _SHOWN:
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value


def _checked(name: str, label: str, value: object, notes: list[str]) -> dict[str, object]:
    """The field where its rule takes the value; else a note."""
    rule = RULES[name]
    read = rule.read(value)
    if read is None:
        notes.append(f"Its {label} {shown(value)} is not kept: here it has to be {rule.allowed}.")
        return {}
    if isinstance(value, str) and read != value.replace("\r\n", "\n").replace("\r", "\n"):
        notes.append(f"Its {label} held control characters, which are left out.")
    return {name: read}


def shown(value: object) -> str:
    text = repr(brief(value))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _size(said: Said, notes: list[str]) -> dict[str, object]:
    """Both sides, or neither: one of them alone would be another shape."""
    if said.width is None or said.height is None:
        return {}
    sides = {"width": number_of(said.width), "height": number_of(said.height)}
    read = {name: RULES[name].read(value) for name, value in sides.items()}
    if None in read.values():
        size = f"{said.width} × {said.height}"[:_SHOWN]
        notes.append(f"Its size {size} is not kept: here each side has to be {RULES['width'].allowed}.")
        return {}
    return read


def _method(said: Said, fields: dict[str, object], notes: list[str]) -> dict[str, object]:
    """Sampler and spacing.

    Programs wrote "Sampler: DPM++ 2M Karras" once and write "Sampler: DPM++ 2M, Schedule type: Karras" now.
    """
    name, schedule = parted(said.sampler, said.schedule)
    method: dict[str, object] = {}
    sampler = sampler_of(name) if name else None
    if sampler is not None:
        method["sampler"] = sampler
    elif name:
        notes.append(f"Its sampler {shown(name)} is not known here.")
    takes_eta = sampler is not None and SAMPLERS[sampler].uses_eta
    if said.eta is not None and not takes_eta and number_of(said.eta) != 0:
        notes.append(f"Its eta {shown(said.eta)} has no effect on its sampler here.")
    is_told = schedule.lower() not in ("", "automatic")
    spacing = spacing_of(schedule) if is_told else _own_spacing(said.program, name, schedule)
    if spacing is not None:
        return {**method, "spacing": spacing}
    if sampler is None:
        if is_told:
            notes.append(f"Its schedule type {shown(schedule)} is not known here.")
        return method
    stands = parse_request({"task": "text-to-image", **method}).spacing  # what suits the sampler here
    if is_told:
        notes.append(f"Its schedule type {shown(schedule)} is not known here; {stands} stands in for it.")
    else:
        how = "leaves its schedule type to its program" if schedule else "does not say its schedule type"
        notes.append(f"It {how}; {stands}, which suits {name} here, stands in for it.")
    return {**method, "spacing": stands}


def _own_spacing(program: str, name: str, schedule: str) -> str | None:
    """Where the steps fall without a word, as far as that is certain: DDIM and PLMS bring their own.

    A1111 left it to k-diffusion before it said anything ("DPM++ 2M" beside "DPM++ 2M Karras"); since it says
    "Automatic", that is Karras's for DPM++ 2M and its SDE.
    """
    sampler = sampler_of(name)
    if sampler in ("ddim", "plms"):
        return "uniform"
    if sampler in ("dpmpp_2m", "dpmpp_2m_sde"):
        return "karras" if schedule else None
    return "linspace" if program == "A1111" and sampler in ("euler", "euler_ancestral", "heun") else None


def _fitted(fields: dict[str, object]) -> tuple[Request, list[str]]:
    """A request of the fields; one that does not go with the others is left out."""
    lost: list[str] = []
    left = dict(fields)
    while True:
        try:
            return parse_request({"task": "text-to-image", **left}), lost
        except RequestError as error:
            if left.pop(error.field, None) is None:
                raise
            fields.pop(error.field, None)
            lost.append(f"Not kept: {error}")


def _not_kept(said: Said) -> Iterator[str]:
    """One sentence that names what a request has no field for."""
    things = [_named(name, value) for name, value in _extras(said)]
    if things:
        more = f"; and {len(things) - _LISTED} more" if len(things) > _LISTED else ""
        yield f"Not kept: {'; '.join(things[:_LISTED])}{more}."


def _named(name: str, value: object) -> str:
    text = re.sub(r"\s+", " ", f"{name} {value}"[: 2 * _SHOWN])
    return text if len(text) <= _SHOWN + 20 else f"{text[: _SHOWN + 19]}…"


def _extras(said: Said) -> Iterator[tuple[str, object]]:
    if said.denoising_strength is not None:
        yield "denoising strength", said.denoising_strength
    if said.variation_strength is not None and number_of(said.variation_strength) != 0:
        yield "variation", f"seed {said.variation_seed}, strength {said.variation_strength}"
    if said.vae:
        yield "VAE", said.vae
    yield from (("control", control) for control in said.controls)
    yield from said.hires
    yield from said.others
