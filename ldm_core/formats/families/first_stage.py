"""A first stage (VAE) alone: as published, cut out of a whole model, or as diffusers names it."""

from __future__ import annotations

from ldm_core.facts import Weights
from ldm_core.formats import shapes
from ldm_core.formats.diffusers_names import first_stage_recipes
from ldm_core.formats.family import FIRST_STAGE, Family
from ldm_core.formats.renaming import Recipe, Recipes, unchanged
from ldm_core.spec import AutoencoderSpec

_MARKS = ("first_stage_model.decoder.", "decoder.conv_in.", "decoder.up_blocks.")


def recipes(weights: Weights, prefix: str) -> Recipes:
    """Its tensors under names that begin with `prefix`."""
    if "decoder.mid_block.resnets.0.conv1.weight" in weights:
        return first_stage_recipes(weights, prefix)
    # What the trainer of a first stage left behind is told of as that.
    beside = ("loss.", "model_ema.")
    return {
        (name if name.startswith(beside) else prefix + name.removeprefix(shapes.FIRST_STAGE)): Recipe((name,))
        for name in weights
    }


def _recognise(weights: Weights) -> str:
    return "first stage" if any(mark in name for name in weights for mark in _MARKS) else ""


def _recipes(weights: Weights) -> Recipes:
    whole = any(name.startswith(("model.", shapes.FIRST_STAGE)) for name in weights)
    return unchanged(weights) if whole else recipes(weights, "")


def _describe(weights: Weights) -> AutoencoderSpec:
    if "encoder.conv_in.weight" not in weights:
        raise shapes.unknown()
    return shapes.first_stage(weights, "")


FIRST_STAGE_ALONE = Family("first stage", _recognise, _recipes, _describe, FIRST_STAGE)
