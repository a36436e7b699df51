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
    given = json_object(texts.get("Comment"))
    if given is None or not ("NovelAI" in texts.get("Software", "") or {"uc", "scale"} <= given.keys()):
        return None
    prompt, characters = _caption(given, "v4_prompt")
    negative, negatives = _caption(given, "v4_negative_prompt")
    source = re.fullmatch(r"(.*?)(?: ([0-9A-F]{8}))?", texts.get("Source", "").strip())
    strength = value_of(given.get("strength"))
    is_edit = text_of(given.get("request_type")) not in ("", "PromptGenerateRequest") or (
        "strength" in given and "request_type" not in given
    )
    return Said(
        program="NovelAI",
        prompt=_joined(prompt or text_of(given.get("prompt")) or texts.get("Description", ""), characters),
        negative_prompt=_joined(negative or text_of(given.get("uc")), negatives),
        steps=value_of(given.get("steps")),
        sampler=text_of(given.get("sampler")),
        schedule="" if given.get("noise_schedule") == "native" else text_of(given.get("noise_schedule")),
        cfg_scale=value_of(given.get("scale")),
        guidance_rescale=value_of(given.get("cfg_rescale")),
        seed=value_of(given.get("seed")),
        width=value_of(given.get("width")),
        height=value_of(given.get("height")),
        model=source[1] if source else "",
        denoising_strength=strength if is_edit else None,
        from_picture=is_edit,
        others=tuple(pair for pair in rest(given, _KNOWN) if pair[1] not in (0, 1, 0.0, 1.0)),
        unread=(_CHARACTERS,) if characters or negatives else (),
    )


def _joined(first: str, more: list[str]) -> str:
    return ", ".join(one for one in (first, *more) if one)


def _caption(given: Object, name: str) -> tuple[str, list[str]]:
    """The prompt of version 4, and its characters' own."""
    caption = object_of(object_of(given.get(name)).get("caption"))
    own = (text_of(one.get("char_caption")) for one in objects_of(caption.get("char_captions")))
    return text_of(caption.get("base_caption")), [one for one in own if one]
