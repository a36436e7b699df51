"""Configurations in the schema that came with Stable Diffusion XL.

github.com/Stability-AI/generative-models, configs/inference.
"""

from __future__ import annotations

from collections.abc import Mapping

from ldm_core.facts import Section, either, read_schedule
from ldm_core.formats.config_conditioners import VIT_L
from ldm_core.formats.config_networks import read_first_stage, read_unet
from ldm_core.spec import ClipSpec, ClipTower, ModelSpec, Parameterization, ScheduleSpec

ENGINE = either("models.diffusion.DiffusionEngine")

_DENOISER = either("modules.diffusionmodules.denoiser.DiscreteDenoiser")
_DISCRETIZATION = either("modules.diffusionmodules.discretizer.LegacyDDPMDiscretization")
_SCALINGS: Mapping[str, Parameterization] = {"EpsScaling": "eps", "VScaling": "v"}
_CONDITIONER = either("modules.GeneralConditioner")
_CLIP = either("modules.encoders.modules.FrozenCLIPEmbedder")
_OPEN_CLIP = either("modules.encoders.modules.FrozenOpenCLIPEmbedder2")
_SIZE = either("modules.encoders.modules.ConcatTimestepEmbedderND")

_VIT_BIG_G = ClipTower(1280, 32, 20, 5120, 49_408, 77, open_clip=True, projection_dim=1280)
# The numbers on the picture's size, in the order that the base and the refiner take them.
_SIZES: tuple[tuple[str, ...], ...] = (
    ("original_size_as_tuple", "crop_coords_top_left", "target_size_as_tuple"),
    ("original_size_as_tuple", "crop_coords_top_left", "aesthetic_score"),
)


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
        conditioners=(_clip(params.section("conditioner_config")),),
        schedule=_schedule(how),
        parameterization=_parameterization(how.section("scaling_config")),
        scale_factor=params.number("scale_factor", 1e-6, 1e6),
    )


def _schedule(denoiser: Section) -> ScheduleSpec:
    section = denoiser.section("discretization_config")
    section.target(_DISCRETIZATION)
    usual = {"linear_start": 0.00085, "linear_end": 0.012, "num_timesteps": 1000}  # of that class
    given = section.values.get("params") or {}
    own = Section(given, f"{section.place}.params")
    own.only(frozenset(usual), {})
    count = own.whole("num_timesteps", 2, 10_000, 1000)
    denoiser.whole("num_idx", count, count)
    return read_schedule(Section({**usual, **own.values}, own.place), count)


def _parameterization(section: Section) -> Parameterization:
    names = {
        target: said
        for name, said in _SCALINGS.items()
        for target in either(f"modules.diffusionmodules.denoiser_scaling.{name}")
    }
    section.target(frozenset(names))
    return names[str(section.values["target"])]


def _clip(section: Section) -> ClipSpec:
    """The text encoders and the numbers beside them."""
    section.target(_CONDITIONER)
    params = section.section("params")
    models = params.values.get("emb_models")
    if not isinstance(models, list) or len(models) > 8:
        raise params.wrong("emb_models", "a list of the conditioners")
    towers: list[ClipTower] = []
    sizes: list[str] = []
    for i, model in enumerate(models):
        one = Section(model, f"{params.place}.emb_models[{i}]")
        one.target(_CLIP | _OPEN_CLIP | _SIZE)
        own = one.section("params")
        if one.has_target(_SIZE):
            own.only(frozenset(), {"outdim": (256,)})
            sizes.append(one.choice("input_key", tuple({name for row in _SIZES for name in row}), ""))
            continue
        one.choice("input_key", ("txt",), "txt")
        towers.append(_tower(own, open_clip=one.has_target(_OPEN_CLIP)))
    if tuple(sizes) not in _SIZES or not towers or not towers[-1].open_clip:
        raise params.wrong(
            "emb_models",
            "FrozenOpenCLIPEmbedder2 (of the base, after FrozenCLIPEmbedder), then "
            + " or ".join(", ".join(row) for row in _SIZES),
        )
    return ClipSpec(
        tuple(towers),
        penultimate=True,
        num_sizes=5 if "aesthetic_score" in sizes else 6,
        zero_empty=len(towers) > 1,
    )


def _tower(params: Section, *, open_clip: bool) -> ClipTower:
    if not open_clip:
        params.only(
            frozenset({"version", "freeze", "device"}),
            {"layer": ("hidden",), "layer_idx": (11,), "max_length": (77,)},
        )
        params.choice("layer", ("hidden",), "")
        return VIT_L
    params.only(
        frozenset({"version", "freeze", "device"}),
        {
            "arch": ("ViT-bigG-14",),
            "layer": ("penultimate",),
            "always_return_pooled": (True,),
            "legacy": (False,),
            "max_length": (77,),
        },
    )
    params.choice("layer", ("penultimate",), "")
    return _VIT_BIG_G
