"""Fooocus: a JSON object as `parameters`, or A1111's text with a few facts more (its "a1111" scheme)."""

from __future__ import annotations

import re

from app.keeping.readers import a1111
from app.keeping.readers.carried import Carried
from app.keeping.readers.said import Lora, Said
from app.keeping.readers.texts import Object, hash_of, json_object, name_of, rest, size_of, text_of, value_of

PROGRAM = "Fooocus"
_KNOWN = (
    "prompt", "negative_prompt", "full_prompt", "full_negative_prompt", "steps", "sampler", "scheduler",
    "guidance_scale", "seed", "resolution", "base_model", "base_model_hash", "vae", "clip_skip", "loras",
    # Said by the full prompt, or of no effect on the picture:
    "styles", "prompt_expansion", "performance", "metadata_scheme", "version", "created_by", "refiner_switch",
)  # fmt: skip


def read(carried: Carried) -> Said | None:
    text = carried.texts.get("parameters", "")
    scheme = carried.texts.get("fooocus_scheme") or carried.texts.get("MakerNote", "")
    settings = json_object(text)
    if settings is None:
        is_ours = scheme == "a1111" or re.search(r"Version: \"?Fooocus", text)
        return a1111.said_in(text, PROGRAM) if is_ours else None
    if "base_model" not in settings or ("metadata_scheme" not in settings and scheme != "fooocus"):
        return None
    width, height = size_of(settings.get("resolution"))
    vae = name_of(settings.get("vae"))
    return Said(
        program=PROGRAM,
        prompt_syntax="comfyui",
        prompt=_full(settings, "prompt"),
        negative_prompt=_full(settings, "negative_prompt"),
        steps=value_of(settings.get("steps")),
        sampler=text_of(settings.get("sampler")),
        schedule=text_of(settings.get("scheduler")),
        cfg_scale=value_of(settings.get("guidance_scale")),
        seed=value_of(settings.get("seed")),
        width=width,
        height=height,
        model=name_of(settings.get("base_model")),
        model_hash=hash_of(settings.get("base_model_hash")),
        vae="" if vae.startswith("Default") else vae,
        clip_skip=value_of(settings.get("clip_skip")),
        loras=_loras(settings),
        others=tuple(
            (name, value) for name, value in rest(settings, _KNOWN) if not name.startswith("lora_combined_")
        ),
        unread=_about_styles(settings),
    )


def _full(settings: Object, name: str) -> str:
    """What the network was told: the prompt with its styles, joined as Fooocus's own A1111 scheme does."""
    parts = settings.get(f"full_{name}")
    if isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts):
        return ", ".join(part for part in parts if part)
    return text_of(settings.get(name))


def _about_styles(settings: Object) -> tuple[str, ...]:
    typed = text_of(settings.get("prompt"))
    if typed and _full(settings, "prompt") != typed:
        return (f"The prompt is the one with its styles written out; typed was {typed[:80]!r}.",)
    return ()


def _loras(settings: Object) -> tuple[Lora, ...]:
    """Name, weight and hash; older versions: "lora_combined_1": "name : weight"."""
    listed = settings.get("loras")
    if isinstance(listed, list) and listed:
        rows = [row for row in listed if isinstance(row, list) and row]
        return tuple(
            Lora(
                name_of(row[0]),
                value_of(row[1]) if len(row) > 1 else None,
                digest=hash_of(row[2]) if len(row) > 2 else "",
            )
            for row in rows
        )
    combined = (
        text_of(entry).rpartition(" : ")
        for name, entry in settings.items()
        if name.startswith("lora_combined_")
    )
    return tuple(Lora(name_of(name), weight) for name, colon, weight in combined if colon)
