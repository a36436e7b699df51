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
    given = object_of(outer["sui_image_params"])
    skip = _number(given.get("clipstopatlayer"))  # from the end: -2 is A1111's 2
    refiner = {name: one for name, one in given.items() if name.startswith(("refiner", "upscale"))}
    return Said(
        program="SwarmUI",
        prompt=text_of(given.get("prompt")),
        negative_prompt=text_of(given.get("negativeprompt")),
        steps=value_of(given.get("steps")),
        sampler=text_of(given.get("sampler") or given.get("comfyuisampler") or given.get("autowebuisampler")),
        schedule=text_of(given.get("scheduler") or given.get("comfyuischeduler")),
        cfg_scale=value_of(given.get("cfgscale")),
        seed=value_of(given.get("seed")),
        variation_seed=value_of(given.get("variationseed")),
        variation_strength=value_of(given.get("variationseedstrength")),
        width=value_of(given.get("width")),
        height=value_of(given.get("height")),
        model=name_of(given.get("model")),
        vae=name_of(given.get("vae")),
        denoising_strength=value_of(given.get("initimagecreativity")),
        from_picture="initimagecreativity" in given or "initimage" in given,
        clip_skip=None if skip is None else -skip,
        hires=rest(refiner, ()),
        loras=_loras(given, outer),
        others=rest({n: v for n, v in given.items() if n not in refiner}, _KNOWN),
    )


def _number(thing: object) -> int | None:
    try:
        return int(str(thing)[:20])
    except ValueError:
        return None


def _loras(given: Object, outer: Object) -> tuple[Lora, ...]:
    names, weights = (_listed(given.get(name)) for name in ("loras", "loraweights"))
    digests = {
        name_of(one.get("name")): text_of(one.get("hash")).removeprefix("0x")[:12]
        for one in objects_of(outer.get("sui_models"))
    }
    paired = zip(names, [*weights, *[""] * len(names)], strict=False)
    return tuple(
        Lora(name_of(name), weight or None, digest=digests.get(name_of(name), "")) for name, weight in paired
    )


def _listed(thing: object) -> list[str]:
    """A list, or one as text with commas."""
    if isinstance(thing, list):
        return [str(one) for one in thing if isinstance(one, str | int | float)]
    return [one.strip() for one in text_of(thing).split(",") if one.strip()]
