"""Which syntax of prompts goes with which model, and what a person is told of it."""

from __future__ import annotations

from typing import cast

from ldm_core.conditioners.clip import ClipSpec
from ldm_core.errors import PromptError
from ldm_core.model_spec import ModelSpec
from ldm_core.prompts import AUTO, Syntax, read_prompt


def syntax_of(named: str, spec: ModelSpec) -> Syntax:
    """The syntax of a request with a model: by itself A1111's for CLIP, none for what reads whole words."""
    if not any(conditioner.weighs_words for conditioner in spec.conditioners):
        return "plain"
    if named == AUTO:
        return "a1111" if spec.conditioner(ClipSpec) else "plain"
    return cast("Syntax", named)


def syntax_notes(prompt: str, named: str, spec: ModelSpec) -> str:
    """Sentences about what of a prompt is not read as a person may expect; "" where there is none."""
    try:
        return " ".join(read_prompt(prompt.strip(), syntax_of(named, spec)).notes)
    except PromptError as error:
        return str(error)
