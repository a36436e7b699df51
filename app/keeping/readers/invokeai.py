"""InvokeAI's three generations: a command line as `Dream`, then `sd-metadata`, then `invokeai_metadata`."""

from __future__ import annotations

import re
import shlex

from app.keeping.readers.carried import Carried
from app.keeping.readers.said import Control, Lora, Said, Value
from app.keeping.readers.texts import (
    MAX_TEXT,
    Object,
    hash_of,
    json_object,
    name_of,
    object_of,
    objects_of,
    rest,
    text_of,
    value_of,
)

PROGRAM = "InvokeAI"
_MAX_SWITCHES = 20_000  # characters
_KNOWN = (
    "positive_prompt", "negative_prompt", "steps", "scheduler", "cfg_scale", "cfg_rescale_multiplier", "seed",
    "width", "height", "model", "vae", "strength", "init_image", "clip_skip", "loras", "controlnets",
    "ipAdapters", "t2iAdapters", "generation_mode", "app_version", "created_by", "rand_device",
    # For the second text encoder of SDXL; listed where they differ from the prompt:
    "positive_style_prompt", "negative_style_prompt",
)  # fmt: skip
_KNOWN_BEFORE = (
    "prompt", "steps", "cfg_scale", "seed", "width", "height", "sampler", "strength", "type", "orig_hash",
    "app_version",
)  # fmt: skip
_SWITCHES = {
    "s": "steps", "steps": "steps", "S": "seed", "seed": "seed", "W": "width", "width": "width",
    "H": "height", "height": "height", "C": "cfg_scale", "cfg_scale": "cfg_scale",
    "A": "sampler", "sampler": "sampler", "f": "strength", "strength": "strength", "I": "init_image",
    "init_img": "init_image", "v": "variation_strength", "variation_amount": "variation_strength",
}  # fmt: skip


def read(carried: Carried) -> Said | None:
    for keyword, reading in (("invokeai_metadata", _latest), ("sd-metadata", _second)):
        settings = json_object(carried.texts.get(keyword))
        said = None if settings is None else reading(settings)
        if said is not None:
            return said
    return _dream(carried.texts.get("Dream", ""))


def _latest(settings: Object) -> Said:
    model = object_of(settings.get("model"))
    mode = text_of(settings.get("generation_mode"))
    styles = {
        name: entry
        for name, entry in settings.items()
        if name.endswith("_style_prompt") and entry not in ("", settings.get(name.replace("_style", "")))
    }
    hires = {name: entry for name, entry in settings.items() if name.startswith(("hrf_", "refiner_"))}
    return Said(
        program=PROGRAM,
        prompt=text_of(settings.get("positive_prompt")),
        negative_prompt=text_of(settings.get("negative_prompt")),
        steps=value_of(settings.get("steps")),
        sampler=text_of(settings.get("scheduler")),
        cfg_scale=value_of(settings.get("cfg_scale")),
        guidance_rescale=value_of(settings.get("cfg_rescale_multiplier")),
        seed=value_of(settings.get("seed")),
        width=value_of(settings.get("width")),
        height=value_of(settings.get("height")),
        model=_model(model),
        model_hash=hash_of(model.get("hash")),
        vae=_model(object_of(settings.get("vae"))),
        denoising_strength=value_of(settings.get("strength")),
        from_picture=bool(mode) and "txt2img" not in mode,
        clip_skip=_clip_skip(settings.get("clip_skip")),
        hires=() if settings.get("hrf_enabled") is False else rest(hires, ()),
        loras=tuple(
            Lora(_model(object_of(entry.get("model") or entry.get("lora"))), value_of(entry.get("weight")))
            for entry in objects_of(settings.get("loras"))
        ),
        controls=_controls(settings),
        others=(
            *rest(styles, ()),
            *rest({name: entry for name, entry in settings.items() if name not in hires}, _KNOWN),
        ),
    )


def _clip_skip(thing: object) -> Value:
    """It counts what is left out; A1111 counts from 1."""
    return thing + 1 if isinstance(thing, int) and not isinstance(thing, bool) else value_of(thing)


def _model(field: Object) -> str:
    return name_of(field.get("name") or field.get("model_name"))


def _controls(settings: Object) -> tuple[Control, ...]:
    kinds = (
        ("controlnets", "control_model", "control_weight"),
        ("ipAdapters", "ip_adapter_model", "weight"),
        ("t2iAdapters", "t2i_adapter_model", "weight"),
    )
    return tuple(
        Control(_model(object_of(entry.get(model))), value_of(entry.get(weight)))
        for kind, model, weight in kinds
        for entry in objects_of(settings.get(kind))
    )


def _second(settings: Object) -> Said | None:
    image = object_of(settings.get("image"))
    if not image:
        return None
    parts = image.get("prompt")
    listed = objects_of(parts) or [{"prompt": parts}]
    prompt, negative = _brackets(", ".join(text_of(entry.get("prompt")) for entry in listed))
    return Said(
        program=PROGRAM,
        prompt=prompt,
        negative_prompt=negative,
        steps=value_of(image.get("steps")),
        sampler=text_of(image.get("sampler")),
        cfg_scale=value_of(image.get("cfg_scale")),
        seed=value_of(image.get("seed")),
        width=value_of(image.get("width")),
        height=value_of(image.get("height")),
        model=name_of(settings.get("model_weights")),
        model_hash=hash_of(settings.get("model_hash")),
        denoising_strength=value_of(image.get("strength")),
        from_picture=image.get("type") == "img2img",
        others=tuple(pair for pair in rest(image, _KNOWN_BEFORE) if pair[1] != 0),
        unread=("Its prompt is of several parts with weights, which are joined.",) if len(listed) > 1 else (),
    )


def _dream(text: str) -> Said | None:
    """`"prompt [what to leave out]" -s 50 -S 123 -W 512 -H 512 -C 7.5 -A k_lms`"""
    match = re.match(r'\s*"(.*)"((?:\s+-.*)?)$', text[:MAX_TEXT], re.DOTALL)
    if match is None:
        return None
    prompt, negative = _brackets(match[1])
    switches = match[2][:_MAX_SWITCHES]
    try:
        words = shlex.split(switches)
    except ValueError:
        words = switches.split()
    said: dict[str, str] = {}
    others: list[tuple[str, Value]] = []
    at = 0
    while at < len(words):
        switch, value, at = _switch(words, at)
        name = _SWITCHES.get(switch)
        if name is None:
            others.append((switch, value))
        else:
            said.setdefault(name, value)
    return Said(
        program=PROGRAM,
        prompt=prompt,
        negative_prompt=negative,
        steps=said.get("steps"),
        sampler=said.get("sampler", ""),
        cfg_scale=said.get("cfg_scale"),
        seed=said.get("seed"),
        variation_strength=said.get("variation_strength"),
        width=said.get("width"),
        height=said.get("height"),
        denoising_strength=said.get("strength") if "init_image" in said else None,
        from_picture="init_image" in said,
        others=tuple(others),
    )


def _switch(words: list[str], at: int) -> tuple[str, str, int]:
    """A switch, its value, and where the next one is: "-s 50", "-s50", "--steps=50", "--seamless"."""
    word = words[at]
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
    elif len(word) > 2 and word[1] in _SWITCHES and re.match(r"[\d.]", word[2:]):
        return word[1], word[2:], at + 1
    else:
        name, equals, value = word.lstrip("-"), "", ""
    follows = not equals and at + 1 < len(words) and not re.match(r"-[A-Za-z-]", words[at + 1])
    return (name, words[at + 1], at + 2) if follows else (name, value, at + 1)


def _brackets(text: str) -> tuple[str, str]:
    """The prompt, and what stood in square brackets: to leave out."""
    negative = [part.strip(" ,") for part in re.findall(r"\[([^\[\]]*)\]", text)]
    prompt = re.sub(r" ?\[[^\[\]]*\]", "", text).strip(" ,")
    return prompt, ", ".join(part for part in negative if part)
