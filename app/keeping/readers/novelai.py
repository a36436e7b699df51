"""NovelAI: PNG chunks Software, Source, Description and Comment, the last a JSON object; in a WebP, and in
pixels, one JSON object that holds these texts."""

from __future__ import annotations

import re

from app.keeping.readers.carried import Carried
from app.keeping.readers.said import Said
from app.keeping.readers.texts import Object, json_object, object_of, objects_of, rest, text_of, value_of

_KNOWN = (
    "prompt", "uc", "steps", "sampler", "noise_schedule", "scale", "cfg_rescale", "seed", "width", "height",
    "strength", "v4_prompt", "v4_negative_prompt", "signed_hash", "n_samples", "request_type", "version",
)  # fmt: skip
_CHARACTERS = (
    "Its characters' own prompts are joined to the prompt; where they stand in the picture is not kept."
)


def read(carried: Carried) -> Said | None:
    texts = carried.texts
    settings = json_object(texts.get("Comment"))
    if settings is None or not ("NovelAI" in texts.get("Software", "") or {"uc", "scale"} <= settings.keys()):
        return None
    prompt, characters = _caption(settings, "v4_prompt")
    negative, negatives = _caption(settings, "v4_negative_prompt")
    source = re.fullmatch(r"(.*?)(?: ([0-9A-F]{8}))?", texts.get("Source", "").strip())
    strength = value_of(settings.get("strength"))
    is_edit = text_of(settings.get("request_type")) not in ("", "PromptGenerateRequest") or (
        "strength" in settings and "request_type" not in settings
    )
    return Said(
        program="NovelAI",
        prompt=_joined(prompt or text_of(settings.get("prompt")) or texts.get("Description", ""), characters),
        negative_prompt=_joined(negative or text_of(settings.get("uc")), negatives),
        steps=value_of(settings.get("steps")),
        sampler=text_of(settings.get("sampler")),
        schedule=""
        if settings.get("noise_schedule") == "native"
        else text_of(settings.get("noise_schedule")),
        cfg_scale=value_of(settings.get("scale")),
        guidance_rescale=value_of(settings.get("cfg_rescale")),
        seed=value_of(settings.get("seed")),
        width=value_of(settings.get("width")),
        height=value_of(settings.get("height")),
        model=source[1] if source else "",
        denoising_strength=strength if is_edit else None,
        from_picture=is_edit,
        others=tuple(pair for pair in rest(settings, _KNOWN) if pair[1] not in (0, 1, 0.0, 1.0)),
        unread=(_CHARACTERS,) if characters or negatives else (),
    )


def _joined(first: str, more: list[str]) -> str:
    return ", ".join(entry for entry in (first, *more) if entry)


def _caption(settings: Object, name: str) -> tuple[str, list[str]]:
    """The prompt of version 4, and its characters' own."""
    caption = object_of(object_of(settings.get(name)).get("caption"))
    captions = (text_of(entry.get("char_caption")) for entry in objects_of(caption.get("char_captions")))
    return text_of(caption.get("base_caption")), [entry for entry in captions if entry]
