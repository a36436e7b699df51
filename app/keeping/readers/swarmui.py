"""SwarmUI: one JSON object as `parameters`; its docs/Image Metadata Format.md describes it."""

from __future__ import annotations

from app.keeping.readers.carried import Carried
from app.keeping.readers.said import Lora, Said
from app.keeping.readers.texts import (
    Object,
    json_object,
    name_of,
    object_of,
    objects_of,
    rest,
    text_of,
    value_of,
)

_KNOWN = (
    "prompt", "negativeprompt", "model", "seed", "steps", "cfgscale", "width", "height", "sampler",
    "scheduler", "comfyuisampler", "autowebuisampler", "comfyuischeduler", "vae", "variationseed",
    "variationseedstrength", "initimagecreativity", "initimage", "clipstopatlayer", "loras", "loraweights",
    # No effect on the picture:
    "images", "aspectratio", "automaticvae", "nopreviews", "wildcardseed", "imageformat", "swarm_version",
    "date", "generation_time", "personalnote", "modelspecific", "batchsize", "original_prompt",
    "used_wildcards",
)  # fmt: skip


def read(carried: Carried) -> Said | None:
    outer = json_object(carried.texts.get("parameters")) or {}
    if not isinstance(outer.get("sui_image_params"), dict):
        return None
    settings = object_of(outer["sui_image_params"])
    skip = _number(settings.get("clipstopatlayer"))  # from the end: -2 is A1111's 2
    refiner = {name: entry for name, entry in settings.items() if name.startswith(("refiner", "upscale"))}
    return Said(
        program="SwarmUI",
        prompt_syntax="comfyui",
        prompt=text_of(settings.get("prompt")),
        negative_prompt=text_of(settings.get("negativeprompt")),
        steps=value_of(settings.get("steps")),
        sampler=text_of(
            settings.get("sampler") or settings.get("comfyuisampler") or settings.get("autowebuisampler")
        ),
        schedule=text_of(settings.get("scheduler") or settings.get("comfyuischeduler")),
        cfg_scale=value_of(settings.get("cfgscale")),
        seed=value_of(settings.get("seed")),
        variation_seed=value_of(settings.get("variationseed")),
        variation_strength=value_of(settings.get("variationseedstrength")),
        width=value_of(settings.get("width")),
        height=value_of(settings.get("height")),
        model=name_of(settings.get("model")),
        vae=name_of(settings.get("vae")),
        denoising_strength=value_of(settings.get("initimagecreativity")),
        from_picture="initimagecreativity" in settings or "initimage" in settings,
        clip_skip=None if skip is None else -skip,
        hires=rest(refiner, ()),
        loras=_loras(settings, outer),
        others=rest({n: v for n, v in settings.items() if n not in refiner}, _KNOWN),
    )


def _number(thing: object) -> int | None:
    try:
        return int(str(thing)[:20])
    except ValueError:
        return None


def _loras(settings: Object, outer: Object) -> tuple[Lora, ...]:
    names, weights = (_listed(settings.get(name)) for name in ("loras", "loraweights"))
    digests = {
        name_of(entry.get("name")): text_of(entry.get("hash")).removeprefix("0x")[:12]
        for entry in objects_of(outer.get("sui_models"))
    }
    paired = zip(names, [*weights, *[""] * len(names)], strict=False)
    return tuple(
        Lora(name_of(name), weight or None, digest=digests.get(name_of(name), "")) for name, weight in paired
    )


def _listed(thing: object) -> list[str]:
    """A list, or one as text with commas."""
    if isinstance(thing, list):
        return [str(entry) for entry in thing if isinstance(entry, str | int | float)]
    return [entry.strip() for entry in text_of(thing).split(",") if entry.strip()]
