"""What a person gives beside numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ldm_core.prompts import Phrase, Weighting, plain, texts_of

if TYPE_CHECKING:
    from torch import Tensor

    from ldm_core.model_spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled box.  Edges in fractions of the picture from its top left; x0 <= x1, y0 <= y1."""

    class_id: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What is given for one picture.  A conditioner takes its part; what is None or empty is not given.

    Attributes:
        prompt: a text, or one whose syntax was read.
        negative_prompt, negative_aesthetic_score: take the others' place on guidance's other side.
        weighting: what the weights of a prompt do to its encoding.
        clip_skip: which of CLIP's layers is read, counted from the last: 1, 2 ...; 0: as the model learnt.
        label_map: (H, W) uint8, class ids, 255 where nothing is said.
        image: (3, H, W) in [-1, 1], a picture with a hole.
        mask: (1, H, W), 1 in the hole and 0 elsewhere; belongs to `image`.
        low_res: (3, h, w) in [-1, 1], a small picture of the latent's height and width.
        low_res_noise: (3, h, w), standard normal; belongs to `noise_level`.
        noise_level: of what is added to `low_res`, for models that are conditioned on it; a timestep.
        aesthetic_score: 0 .. 10, for models that are conditioned on it.
        others: by what a conditioner `takes`, for those of a script's own.
    """

    prompt: str | Phrase = ""
    negative_prompt: str | Phrase = ""
    weighting: Weighting = "a1111"
    clip_skip: int = 0
    class_id: int | None = None
    boxes: tuple[Box, ...] = ()
    label_map: Tensor | None = None
    image: Tensor | None = None
    mask: Tensor | None = None
    low_res: Tensor | None = None
    low_res_noise: Tensor | None = None
    noise_level: int = 20
    aesthetic_score: float = 6.0
    negative_aesthetic_score: float = 2.5  # as github.com/Stability-AI/generative-models has it
    others: Mapping[str, Tensor] = field(default_factory=dict)

    def uncond(self, spec: ModelSpec) -> Inputs:
        """What guidance goes away from: without all that the model learnt to do without.

        Itself where that is no different.
        """
        inputs = self
        for conditioner in spec.conditioners:
            inputs = conditioner.without(inputs)
        return inputs


def phrase_of(prompt: str | Phrase) -> Phrase:
    return plain(prompt) if isinstance(prompt, str) else prompt


def text_of(prompt: str | Phrase) -> str:
    """All that it says, for what reads no syntax."""
    if isinstance(prompt, str):
        return prompt
    return " ".join(span.text for text in texts_of(prompt) for section in text.sections for span in section)
