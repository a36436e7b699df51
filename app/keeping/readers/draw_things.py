"""Draw Things: an XMP packet whose `exif:UserComment` is a JSON object with short names."""

from __future__ import annotations

from app.keeping.readers.carried import Carried, xmp_texts
from app.keeping.readers.said import Control, Lora, Said
from app.keeping.readers.texts import json_object, name_of, objects_of, rest, size_of, text_of, value_of

_KNOWN = (
    "c", "uc", "steps", "sampler", "scale", "seed", "size", "model", "strength", "lora", "control",
    "v2", "profile", "seed_mode", "version",
)  # fmt: skip


def read(carried: Carried) -> Said | None:
    texts = xmp_texts(carried.texts.get("XMP", ""))
    settings = json_object(texts.get("UserComment"))
    if settings is None or not (
        "Draw Things" in texts.get("CreatorTool", "") or {"c", "uc"} <= settings.keys()
    ):
        return None
    width, height = size_of(settings.get("size"))
    strength = value_of(settings.get("strength"))
    is_edit = isinstance(strength, int | float) and strength < 1
    return Said(
        program="Draw Things",
        prompt=text_of(settings.get("c")),
        negative_prompt=text_of(settings.get("uc")),
        steps=value_of(settings.get("steps")),
        sampler=text_of(settings.get("sampler")),
        cfg_scale=value_of(settings.get("scale")),
        seed=value_of(settings.get("seed")),
        width=width,
        height=height,
        model=name_of(settings.get("model")),
        denoising_strength=strength if is_edit else None,
        from_picture=is_edit,
        loras=tuple(
            Lora(name_of(entry.get("model") or entry.get("file")), value_of(entry.get("weight")))
            for entry in objects_of(settings.get("lora"))
        ),
        controls=tuple(
            Control(name_of(entry.get("model") or entry.get("file")), value_of(entry.get("weight")))
            for entry in objects_of(settings.get("control"))
        ),
        others=rest(settings, _KNOWN),
    )
