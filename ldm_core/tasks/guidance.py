"""What guidance goes towards, and what it goes away from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from ldm_core.conditioners import Cond, Inputs
from ldm_core.conditioners.inputs import text_of
from ldm_core.diffusion.guidance import Guidance
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.coupling import Coupling
from ldm_core.nn.unet import guidance_embedding
from ldm_core.prompts import Phrase
from ldm_core.request import Request
from ldm_core.tasks.base import Conditioning
from ldm_core.tasks.wording import StepPrompts, Wording, wording_of

_MOST_KEPT = 32  # wordings of one prompt that changes with the step


def conditioning_of(
    request: Request,
    model: LatentDiffusion,
    inputs: Inputs,
    cells: tuple[int, int],
    shares: Tensor | None = None,
) -> Conditioning:
    """With the guidance that a request asks for, and its prompts' syntax read.

    Args:
        shares: of the request's regions, as `tasks/regions.py` has them.
    """
    guidance = Guidance(
        request.guidance_scale, request.guidance_rescale, request.guidance_start, request.guidance_end
    )
    wording = wording_of(request, model.spec, text_of(inputs.prompt))
    rewording = _Rewording(wording, model, inputs, cells, shares)
    first = rewording.conditioning(wording.at(0, 1), guidance)
    return first if wording.is_fixed else replace(first, rewording=rewording)


def conditioning(
    model: LatentDiffusion, inputs: Inputs, negative_prompt: str, guidance: Guidance, cells: tuple[int, int]
) -> Conditioning:
    """Guided away from the negative prompt, no boxes, no label map, no hole's surroundings or no class.

    Both sides get the rest.  A scale of 0, the field's word for no guidance, is one of 1.  A network that
    guides itself takes the scale as an input, and the negative prompt is not read.
    """
    if negative_prompt:
        inputs = replace(inputs, negative_prompt=negative_prompt.strip())
    return _conditioning(model, [(inputs, 1.0)], guidance, cells)


def _conditioning(
    model: LatentDiffusion,
    parts: Sequence[tuple[Inputs, float]],
    guidance: Guidance,
    cells: tuple[int, int],
    like: Cond | None = None,
    *,
    has_regions: bool = False,
) -> Conditioning:
    """Of conditions with their weights.

    Args:
        like: one that differs in its prompt alone.
        has_regions: whether there is something to go towards beside these.
    """

    guides_itself = model.spec.guidance_dim > 0  # it was trained to, and is asked once

    def encode(rows: Sequence[Inputs]) -> Cond:
        if guides_itself:
            waves = guidance_embedding(max(guidance.scale, 1.0), model.spec.guidance_dim).to(model.device)
            return model.condition(rows, cells).with_vector(waves.expand(len(rows), -1))
        return model.condition(rows, cells) if like is None else model.reworded(like, rows, cells)

    inputs = parts[0][0]
    without = inputs.uncond(model.spec)
    is_unguided = guidance.scale in (0, 1) and sum(weight for _, weight in parts) == 1
    same = without is inputs and not has_regions
    beside = [] if same or is_unguided or guides_itself else [without]
    if guidance.scale == 0:
        guidance = replace(guidance, scale=1.0)
    if len(parts) == 1:
        both = encode([inputs, *beside])
        return Conditioning(both[:1], both[1:] if beside else None, guidance, weight=parts[0][1])
    # Conditions of different lengths go on with their last token; uncond with chunks of the empty prompt.
    conds = [encode([part]) for part, _ in parts]
    lengths = [0 if cond.context is None else cond.context.shape[1] for cond in conds]
    longest = lengths.index(max(lengths))
    both = encode([parts[longest][0], *beside])
    conds[longest] = both[:1]
    if both.context is not None:
        conds = [cond.lengthened(both.context.shape[1]) for cond in conds]
    also = tuple((cond, weight) for cond, (_, weight) in zip(conds[1:], parts[1:]))
    return Conditioning(conds[0], both[1:] if beside else None, guidance, weight=parts[0][1], also=also)


def _coupled(made: Conditioning, contexts: Tensor, shares: Tensor) -> Conditioning:
    """With regions, in the first of its conditions; the other side of guidance has none.

    Args:
        contexts: (n, tokens, d) of its conditions, of regions, and of the other side: all of one length.
        shares: (k, h, w).
    """
    parts, count = len(made.conds), len(shares)
    coupling = Coupling(contexts[parts : parts + count], shares, (count,))
    cond, *others = (replace(cond, context=contexts[i : i + 1]) for i, cond in enumerate(made.conds))
    also = tuple((other, weight) for other, (_, weight) in zip(others, made.also))
    uncond = None if made.uncond is None else replace(made.uncond, context=contexts[-1:])
    return replace(made, cond=replace(cond, coupling=coupling), uncond=uncond, also=also)


@dataclass(frozen=True, slots=True, eq=False)
class _Rewording:
    """Conditions of a prompt, another where it changes with the step; each wording is encoded once."""

    wording: Wording
    model: LatentDiffusion
    inputs: Inputs
    cells: tuple[int, int]
    shares: Tensor | None
    kept: OrderedDict[StepPrompts, Conditioning] = field(default_factory=OrderedDict)

    def conditioning(
        self, prompts: StepPrompts, guidance: Guidance, like: Cond | None = None
    ) -> Conditioning:
        """Of the prompts of a step; `like` differs in its prompt alone."""

        def worded(phrase: Phrase) -> Inputs:
            return self.wording.inputs(self.inputs, phrase, prompts.negative)

        rows = [(worded(part.phrase), part.weight) for part in prompts.parts]
        regions = [worded(phrase) for phrase in prompts.regions]
        made = _conditioning(self.model, rows, guidance, self.cells, like, has_regions=bool(regions))
        if self.shares is None:
            return made
        without = [] if made.uncond is None else [rows[0][0].uncond(self.model.spec)]
        texts = self.model.worded([*(one for one, _ in rows), *regions, *without], self.cells)
        assert texts.context is not None
        return _coupled(made, texts.context, self.shares.to(self.model.device))

    def __call__(self, conditioning: Conditioning, step: int, num_steps: int) -> Conditioning:
        prompts = self.wording.at(step, num_steps, conditioning.earlier)
        if prompts not in self.kept:
            self.kept[prompts] = self.conditioning(prompts, conditioning.guidance, conditioning.cond)
            if len(self.kept) > _MOST_KEPT:
                self.kept.popitem(last=False)
        now = self.kept[prompts]
        return replace(conditioning, cond=now.cond, uncond=now.uncond, weight=now.weight, also=now.also)
