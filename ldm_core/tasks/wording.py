"""The prompts of a request as its model reads them: which syntax, what its weights do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldm_core.conditioners import ClipSpec, Inputs
from ldm_core.conditioners.syntax import syntax_of
from ldm_core.model_spec import ModelSpec
from ldm_core.prompts import AUTO, Part, Phrase, Prompt, Syntax, Text, Weighting, read_prompt
from ldm_core.request import Request


@dataclass(frozen=True, slots=True)
class Wording:
    """
    Attributes:
        weighting: what the weights do (`conditioners/weighting.py`).
    """

    prompt: Prompt
    negative: Prompt
    weighting: Weighting
    clip_skip: int

    @property
    def is_fixed(self) -> bool:
        return self.prompt.is_fixed and self.negative.is_fixed

    def at(self, step: int, num_steps: int, earlier: int | None = None) -> tuple[tuple[Part, ...], Phrase]:
        """The parts of the prompt at a step, and the negative prompt."""
        (negative,) = self.negative.at(step, num_steps, earlier)
        return self.prompt.at(step, num_steps, earlier), negative.phrase

    def inputs(self, inputs: Inputs, phrase: Phrase, negative: Phrase) -> Inputs:
        """With a prompt and a negative one."""
        return replace(
            inputs,
            prompt=_said(phrase),
            negative_prompt=_said(negative),
            weighting=self.weighting,
            clip_skip=self.clip_skip,
        )


def wording_of(request: Request, spec: ModelSpec, prompt: str) -> Wording:
    """
    Args:
        prompt: the request's, or what a class is called.

    Raises:
        PromptError: a prompt nests too deeply, has too large a weight, or too many parts.
    """
    syntax = syntax_of(request.prompt_syntax, spec)
    of_prompt = syntax if prompt == request.prompt.strip() else "plain"
    return Wording(
        read_prompt(prompt, of_prompt),
        read_prompt(request.negative_prompt.strip(), syntax, negative=True),
        _weighting(request.prompt_weighting, syntax, spec),
        request.clip_skip,
    )


def _weighting(named: str, syntax: Syntax, spec: ModelSpec) -> Weighting:
    """By itself that of the syntax; A1111's loses the picture's colours with XL, where ComfyUI's does not."""
    if named != AUTO:
        return named
    clip = spec.conditioner(ClipSpec)
    is_xl = clip is not None and clip.num_sizes > 0
    return "comfyui" if syntax == "a1111" and is_xl else "a1111" if syntax == "plain" else syntax


def _said(phrase: Phrase) -> str | Phrase:
    """A plain text as that, which any conditioner reads."""
    if isinstance(phrase, Text) and phrase.syntax == "plain":
        return "".join(span.text for section in phrase.sections for span in section)
    return phrase
