"""The prompts of a request as its model reads them: which syntax, what its weights do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldm_core.conditioners import ClipSpec, Inputs
from ldm_core.conditioners.syntax import syntax_of
from ldm_core.errors import PromptError
from ldm_core.model_spec import ModelSpec
from ldm_core.prompts import AUTO, Part, Phrase, Prompt, Syntax, Text, Weighting, composes, read_prompt
from ldm_core.request import RegionPrompt, Request


@dataclass(frozen=True, slots=True)
class StepPrompts:
    """What a wording comes to at a step: the parts of the prompt, the negative one, those of regions."""

    parts: tuple[Part, ...]
    negative: Phrase
    regions: tuple[Phrase, ...] = ()


@dataclass(frozen=True, slots=True)
class Wording:
    """
    Attributes:
        regions: their prompts.
        weighting: what the weights do (`conditioners/weighting.py`).
    """

    prompt: Prompt
    negative: Prompt
    regions: tuple[Prompt, ...]
    weighting: Weighting
    clip_skip: int

    @property
    def is_fixed(self) -> bool:
        return all(prompt.is_fixed for prompt in (self.prompt, self.negative, *self.regions))

    def at(self, step: int, num_steps: int, earlier: int | None = None) -> StepPrompts:
        """What it comes to at a step."""
        negative, *regions = (
            part.phrase
            for prompt in (self.negative, *self.regions)
            for part in prompt.at(step, num_steps, earlier)
        )
        return StepPrompts(self.prompt.at(step, num_steps, earlier), negative, tuple(regions))

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
        PromptError: a prompt nests too deeply, has too large a weight, or too many parts; that of a region is
            composed by AND.
    """
    syntax = syntax_of(request.prompt_syntax, spec)
    of_prompt = syntax if prompt == request.prompt.strip() else "plain"
    return Wording(
        read_prompt(prompt, of_prompt),
        read_prompt(request.negative_prompt.strip(), syntax, negative=True),
        tuple(_region(region, syntax) for region in request.regions or ()),
        _weighting(request.prompt_weighting, syntax, spec),
        request.clip_skip,
    )


def _region(region: RegionPrompt, syntax: Syntax) -> Prompt:
    try:
        prompt = read_prompt(region.prompt, syntax)
    except PromptError as error:
        raise PromptError("regions", f"{region.called.capitalize()}: {error}") from None
    if composes(prompt):
        raise PromptError(
            "regions",
            f"The prompt of {region.called} cannot be read: AND makes several conditions of the whole "
            "picture. Leave it out, or write “and”.",
        )
    return prompt


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
