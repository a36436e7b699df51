"""The families of models that are known, one file and one row each.  A script puts its own before them."""

from __future__ import annotations

from pathlib import Path

from ldm_core.errors import ConfigError
from ldm_core.facts import Weights
from ldm_core.formats.diffusers_config import pipeline_of
from ldm_core.formats.families.first_stage import FIRST_STAGE_ALONE
from ldm_core.formats.families.latent_diffusion import LATENT_DIFFUSION
from ldm_core.formats.families.stable_diffusion import STABLE_DIFFUSION
from ldm_core.formats.family import Family

# The first that recognises a file counts, so those that ask for more come first.
FAMILIES: list[Family] = [STABLE_DIFFUSION, LATENT_DIFFUSION, FIRST_STAGE_ALONE]


def family_of(weights: Weights) -> tuple[Family, str] | None:
    """The family of a file, by its own tensors, and the variant's title; None where it is of none."""
    found = ((family, family.recognise(weights)) for family in FAMILIES)
    return next(((family, title) for family, title in found if title), None)


def family_of_folder(folder: Path) -> tuple[Family, str]:
    """The same of a folder in the layout of diffusers, by its pipeline.

    Raises:
        ConfigError: the pipeline is not known.
    """
    pipeline = pipeline_of(folder)
    for family in FAMILIES:
        if isinstance(pipeline, str) and pipeline in family.pipelines:
            return family, family.pipelines[pipeline]
    named = repr(pipeline)[:60] if pipeline is not None else "no pipeline"
    raise ConfigError(f"model_index.json names {named}, which is none of the latent diffusion family.")
