"""Configurations in the schema that came with Stable Diffusion XL.

github.com/Stability-AI/generative-models, configs/inference.
"""

from __future__ import annotations

from collections.abc import Mapping

from ldm_core.facts import Section, either, read_schedule
from ldm_core.formats.config_conditioners import read_section
from ldm_core.formats.config_networks import read_first_stage, read_unet
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import Parameterization, ScheduleSpec

ENGINE = either("models.diffusion.DiffusionEngine")

_DENOISER = either("modules.diffusionmodules.denoiser.DiscreteDenoiser")
_DISCRETIZATION = either("modules.diffusionmodules.discretizer.LegacyDDPMDiscretization")
_SCALINGS: Mapping[str, Parameterization] = {"EpsScaling": "eps", "VScaling": "v"}


def read_engine(params: Section) -> ModelSpec:
    """The model that the engine's parameters describe.

    Raises:
        ConfigError: a part is missing, or of a kind that is not known.
    """
    denoiser = params.section("denoiser_config")
    denoiser.target(_DENOISER)
    how = denoiser.section("params")
    return ModelSpec(
        first_stage=read_first_stage(params.section("first_stage_config")),
        unet=read_unet(params.section("network_config")),
        conditioners=(read_section(params.section("conditioner_config")),),
        schedule=_schedule(how),
        parameterization=_parameterization(how.section("scaling_config")),
        scale_factor=params.number("scale_factor", 1e-6, 1e6),
    )


def _schedule(denoiser: Section) -> ScheduleSpec:
    section = denoiser.section("discretization_config")
    section.target(_DISCRETIZATION)
    usual = {"linear_start": 0.00085, "linear_end": 0.012, "num_timesteps": 1000}  # of that class
    values = section.values.get("params") or {}
    params = Section(values, f"{section.place}.params")
    params.only(frozenset(usual), {})
    count = params.whole("num_timesteps", 2, 10_000, 1000)
    denoiser.whole("num_idx", count, count)
    return read_schedule(Section({**usual, **params.values}, params.place), count)


def _parameterization(section: Section) -> Parameterization:
    names = {
        target: said
        for name, said in _SCALINGS.items()
        for target in either(f"modules.diffusionmodules.denoiser_scaling.{name}")
    }
    section.target(frozenset(names))
    return names[str(section.values["target"])]
