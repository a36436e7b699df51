"""The syntax of prompts: text -> what is encoded at each step, with weights.  Imports no torch.

`SYNTAXES` has a row for each; what the weights do to an encoding is `conditioners/weighting.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ldm_core.errors import PromptError
from ldm_core.prompts import a1111, comfyui, invokeai
from ldm_core.prompts.phrase import (
    Blend,
    Fixed,
    Joined,
    Part,
    Phrase,
    Prompt,
    Span,
    Syntax,
    Text,
    plain,
    texts_of,
    unreadable,
)

__all__ = [
    "AUTO", "Blend", "Fixed", "Joined", "Part", "Phrase", "Prompt", "SYNTAXES", "Span", "Syntax", "Text",
    "WEIGHTINGS", "Weighting", "composes", "is_plain", "plain", "read_prompt", "texts_of", "unreadable",
]  # fmt: skip

AUTO = "auto"  # in a request: what suits the model
SYNTAXES: Mapping[Syntax, str] = {
    "a1111": "A1111, Forge",
    "comfyui": "ComfyUI",
    "invokeai": "InvokeAI",
    "plain": "None: every character counts as it is",
}
Weighting = str
# What weights do to an encoding (`conditioners/weighting.py`).
WEIGHTINGS: Mapping[Weighting, str] = {
    "a1111": "A1111: times the weight, the mean restored",
    "no_norm": "A1111, “No norm”: times the weight",
    "comfyui": "ComfyUI: away from the empty prompt",
    "invokeai": "InvokeAI: as ComfyUI; less by leaving out",
    "ignore": "Not at all",
}

_READERS: Mapping[Syntax, Callable[[str, bool], Prompt]] = {
    "a1111": lambda text, negative: a1111.read(text, composes=not negative),
    "comfyui": lambda text, _: comfyui.read(text),
    "invokeai": lambda text, _: invokeai.read(text),
    "plain": lambda text, _: Fixed((Part(plain(text)),)),
}


def read_prompt(text: str, syntax: Syntax, *, negative: bool = False) -> Prompt:
    """
    Raises:
        PromptError: it nests too deeply, has too large a weight, or too many parts.
    """
    try:
        return _READERS[syntax](text, negative)
    except PromptError as error:
        if not negative:
            raise
        reason = str(error).replace("prompt", "negative prompt", 1)
        raise PromptError("negative_prompt", reason) from None


def composes(prompt: Prompt) -> bool:
    """Whether it is put together from several conditions, at some step at least."""
    return isinstance(prompt, a1111.A1111Prompt) and prompt.has_parts


def is_plain(text: object) -> bool:
    """Whether a text says the same with syntax and without, LoRAs and their like aside; True of no text."""
    if not isinstance(text, str):
        return True
    text = a1111.without_tags(text)
    spans = (Span(text),) if text else ()
    try:
        for syntax in SYNTAXES:
            prompt = read_prompt(text, syntax)
            said = prompt.at(0, 1)
            if syntax != "plain" and (not prompt.is_fixed or said != (Part(Text((spans,), syntax)),)):
                return False
    except PromptError:
        return False
    return True
