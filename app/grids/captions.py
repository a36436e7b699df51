"""What is said under each picture of a batch: in what it differs from the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from app.grids.axes import KINDS
from ldm_core.request import Request

# Field of a request -> what stands before its value.
_FIELDS = {"class_name": ""} | {
    kind.field: f"{kind.title} " for kind in KINDS.values() if kind.field not in ("", "adapters")
}


def captions_of(requests: Sequence[Request]) -> list[str]:
    """A caption for each request of a batch; empty where there is no difference that has a name.

    Of prompts the parts between commas are compared: those that not all have are said.
    """
    found: list[list[str]] = [[] for _ in requests]
    if len({request.prompt for request in requests}) > 1:
        for caption, words in zip(found, _own_parts([request.prompt for request in requests]), strict=True):
            caption.append(words)
    for name, title in _FIELDS.items():
        values = [getattr(request, name, None) for request in requests]
        if len(set(values)) > 1:
            for caption, value in zip(found, values, strict=True):
                caption.append(title + (f"{value:g}" if isinstance(value, float) else f"{value}"))
    return [" · ".join(filter(None, caption)) for caption in found]


def _own_parts(prompts: Sequence[str]) -> list[str]:
    """Of each prompt the parts that not all prompts have; where they differ in order only, the prompt."""
    parts = [[part.strip() for part in prompt.split(",") if part.strip()] for prompt in prompts]
    holders = Counter(part for each in parts for part in set(each))
    return [
        ", ".join(part for part in each if holders[part] < len(prompts)) or prompt
        for each, prompt in zip(parts, prompts, strict=True)
    ]
