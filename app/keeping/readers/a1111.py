"""A1111's text, which its relatives (Forge, SD.Next) and many others write as well.

    prompt, over one or more lines
    Negative prompt: over one or more lines
    Steps: 30, Sampler: DDIM, Schedule type: Karras, CFG scale: 2.5, Seed: 1, Size: 256x256, ...
    Template: lines of extensions, over one or more lines

A value with a comma, a colon, a quote or a line break stands in JSON quotes; some stand as JSON objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from app.keeping.readers.carried import Carried
from app.keeping.readers.said import Control, Lora, Said, Value
from app.keeping.readers.texts import hash_of, name_of, size_of

NEGATIVE = "Negative prompt:"
_TAIL = ("Template:", "Negative Template:", "Wildcard Prompt:", "Wildcard Negative Prompt:")
_MAX_JSON_FAULTS = 20  # each costs up to the whole text
_SPACINGS = {"uniform": "DDIM"}  # what our own first pictures called it
# What a fact is in `Said`; several names for one, the first that is there counts.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "steps": ("Steps",),
    "sampler": ("Sampler",),
    "schedule": ("Schedule type", "Scheduler"),
    "cfg_scale": ("CFG scale", "Guidance Scale"),
    "eta": ("Eta DDIM", "Eta"),
    "guidance_rescale": ("Guidance rescale", "CFG Rescale", "CFG Rescale φ"),
    "guidance_start": ("Guidance start",),
    "guidance_end": ("Guidance end",),
    "seed": ("Seed",),
    "variation_seed": ("Variation seed",),
    "variation_strength": ("Variation seed strength",),
    "vae": ("VAE",),
    "denoising_strength": ("Denoising strength", "Strength"),
    "clip_skip": ("Clip skip",),
}
_EMPHASIS = {
    "original": "a1111", "no norm": "no_norm", "ignore": "ignore", "none": "ignore",
    "comfyui": "comfyui", "invokeai": "invokeai",  # as we write them
}  # fmt: skip
_TEXTS = ("sampler", "schedule", "vae")
_TAKEN = {"Size", "Model", "Model hash", "Spacing", "Lora hashes", "Lora weights", "Emphasis"}
_TAKEN |= {"Prompt syntax", "TI hashes", "TI", "Hashes"}
# What has no effect on the picture, or is said elsewhere as well.
_IDLE = {
    "Version", "User", "App", "Created Date", "VAE hash", "Raw prompt", "Raw negative prompt",
    "Performance", "Civitai resources", "Civitai metadata", "Parser", "Backend", "Operations", "Styles",
}  # fmt: skip
# <lora:name:1>, <lora:name:1:0.5> with the text encoders' weight first, <lora:name:te=1:unet=0.5>
LORA = re.compile(r" ?<(?:lora|lyco):([^:>]{1,200})((?::[^:>]{0,40}){0,6})>")


def read(carried: Carried) -> Said | None:
    """None where it carries no such text."""
    return said_in(carried.texts.get("parameters", ""))


def said_in(text: str, program: str = "A1111") -> Said | None:
    """What such a text says; None where it is none."""
    lines = text.replace("\r\n", "\n").split("\n")
    at = _settings_line(lines)
    if at is None:
        return None
    prompt, negative, unread = _prompts(lines[:at])
    facts = dict(_facts(lines[at]))
    tail = "\n".join(lines[at + 1 :]).strip()
    if tail and not tail.startswith(_TAIL):
        unread.append(f"Behind its settings stands more text: {tail[:60]!r}.")
    return _said(facts, prompt, negative, program, unread)


def _settings_line(lines: list[str]) -> int | None:
    """The last line of settings, since a prompt may hold anything, even such a line; where something stands
    behind that, the first that is followed by an extension's lines, which may repeat the prompt."""
    found = [i for i, line in enumerate(lines) if line.startswith("Steps:") and _is_settings(line)]
    if not found or not "".join(lines[found[-1] + 1 :]).strip():
        return found[-1] if found else None
    followed = (i for i in found if i + 1 < len(lines) and lines[i + 1].startswith(_TAIL))
    return next(followed, found[-1])


def _is_settings(line: str) -> bool:
    return bool(re.search(r",\s*(Seed|Sampler):", line))


def _prompts(lines: list[str]) -> tuple[str, str, list[str]]:
    """The prompt, and the negative prompt, which begins at the first line that says so."""
    starts = [i for i, line in enumerate(lines) if line.startswith(NEGATIVE)]
    if not starts:
        return "\n".join(lines), "", []
    first = lines[starts[0]].removeprefix(NEGATIVE).removeprefix(" ")
    negative = "\n".join([first, *lines[starts[0] + 1 :]])
    unread = (
        ["Several of its lines begin with “Negative prompt:”; the first is taken for where it begins."]
        if len(starts) > 1
        else []
    )
    return "\n".join(lines[: starts[0]]), negative, unread


def _said(facts: dict[str, str], prompt: str, negative: str, program: str, unread: list[str]) -> Said:
    written: dict[str, str] = {}
    for field, names in _FIELDS.items():
        name = next((name for name in names if name in facts), None)
        if name is not None:
            written[field] = facts[name]
    if "Spacing" in facts:
        written["schedule"] = _SPACINGS.get(facts["Spacing"], facts["Spacing"])
    width, height = size_of(facts.get("Size"))
    if "Size" in facts and width is None:
        unread.append(f"Its size {facts['Size'][:40]!r} is not understood.")
    names_of_fields = {name for names in _FIELDS.values() for name in names}
    hires = {name: value for name, value in facts.items() if name.startswith("Hires ")}
    controls = {name: value for name, value in facts.items() if re.match(r"ControlNet( \d+)?$", name)}
    known = names_of_fields | _TAKEN | _IDLE | hires.keys() | controls.keys()
    hashes = _hashes(facts.get("Hashes", ""))
    digest = facts.get("Model hash") or hash_of(hashes.get("model", ""))
    texts = {name: written.get(name, "") for name in _TEXTS}
    numbers: dict[str, Value] = {name: written.get(name) for name in _FIELDS if name not in _TEXTS}
    ours = "Prompt syntax" in facts
    return Said(
        program=program,
        prompt=prompt,
        negative_prompt=negative,
        steps=numbers["steps"],
        sampler=texts["sampler"],
        schedule=texts["schedule"],
        cfg_scale=numbers["cfg_scale"],
        eta=numbers["eta"],
        guidance_rescale=numbers["guidance_rescale"],
        guidance_start=numbers["guidance_start"],
        guidance_end=numbers["guidance_end"],
        seed=numbers["seed"],
        variation_seed=numbers["variation_seed"],
        variation_strength=numbers["variation_strength"],
        width=width,
        height=height,
        model=facts.get("Model", ""),
        model_hash=hash_of(digest),
        vae=name_of(texts["vae"]),
        denoising_strength=numbers["denoising_strength"],
        from_picture="Denoising strength" in facts and not hires,
        clip_skip=numbers["clip_skip"],
        prompt_syntax=facts.get("Prompt syntax", "a1111"),
        prompt_weighting=_EMPHASIS.get(facts.get("Emphasis", "" if ours else "Original").lower(), ""),
        hires=tuple(hires.items()),
        loras=_loras(prompt, facts, hashes),
        embeddings=_embeddings(facts, hashes),
        controls=tuple(_control(value) for value in controls.values()),
        others=tuple((name, value) for name, value in facts.items() if name not in known),
        unread=(
            *unread,
            *([f"Its model hash {digest[:40]!r} is none."] if digest and not hash_of(digest) else []),
        ),
    )


def _hashes(text: str) -> dict[str, str]:
    """Of `Hashes: {"model": "...", "lora:name": "...", "embed:name": "..."}`, which some programs write."""
    try:
        read = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    pairs = read.items() if isinstance(read, dict) else ()
    return {name: value for name, value in pairs if isinstance(value, str)}


def _part(hashes: Mapping[str, str], kind: str) -> dict[str, str]:
    return {name.removeprefix(kind): value for name, value in hashes.items() if name.startswith(kind)}


def _embeddings(facts: Mapping[str, str], hashes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """(name, hash) of each that the prompts name; SD.Next writes the names alone."""
    names = dict.fromkeys((name.strip() for name in facts.get("TI", "").split(",") if name.strip()), "")
    return tuple((names | _part(hashes, "embed:") | _pairs(facts.get("TI hashes", ""))).items())


def _loras(prompt: str, facts: Mapping[str, str], others: Mapping[str, str]) -> tuple[Lora, ...]:
    """From the prompt, with the hashes and weights that stand as "name: hash, name: hash"."""
    hashes, weights = (_pairs(facts.get(name, "")) for name in ("Lora hashes", "Lora weights"))
    hashes = _part(others, "lora:") | hashes
    found = {entry.name: entry for entry in map(lora_of, LORA.finditer(prompt))}
    names = dict.fromkeys((*found, *hashes, *weights))
    used = (found.get(name, Lora(name, weights.get(name))) for name in names)
    return tuple(replace(entry, digest=hashes.get(entry.name, "")) for entry in used)


def lora_of(match: re.Match[str]) -> Lora:
    """A LoRA of a prompt; https://github.com/AUTOMATIC1111/stable-diffusion-webui `extra_networks`."""
    words = [word.strip() for word in match[2].split(":")[1:]]
    named = {name: value for name, equals, value in (word.partition("=") for word in words) if equals}
    text, unet, *_ = [*(word for word in words if word and "=" not in word), None, None]
    text = named.get("te", text)
    unet = named.get("unet", unet) or text
    return Lora(match[1].strip(), unet, None if text == unet else text)


def _pairs(text: str) -> dict[str, str]:
    halves = (entry.partition(":") for entry in text.split(","))
    return {name.strip(): value.strip() for name, _, value in halves if name.strip()}


def _control(text: str) -> Control:
    facts = {name.lower(): value for name, value in _pairs(text).items()}
    return Control(
        facts.get("model", ""), facts.get("weight"), facts.get("module", facts.get("preprocessor", ""))
    )


def _facts(line: str) -> Iterator[tuple[str, str]]:
    """The pairs of `Name: value, Name: "quoted, value", Name: {"of": "JSON"}`, from left to right."""
    at, faults = 0, 0
    while at < len(line):
        colon = line.find(":", at)
        if colon < 0:
            return
        name, at = line[at:colon].strip(), colon + 1
        while at < len(line) and line[at] == " ":
            at += 1
        value = None
        if line[at : at + 1] in ('"', "{", "[") and faults < _MAX_JSON_FAULTS:
            try:
                read, end = json.JSONDecoder().raw_decode(line, at)
                value, at = (read if isinstance(read, str) else line[at:end]), end
            except (ValueError, RecursionError):  # taken as it stands
                faults += 1
        comma = line.find(",", at)
        end = len(line) if comma < 0 else comma
        yield name, line[at:end].strip() if value is None else value
        at = end + 1
