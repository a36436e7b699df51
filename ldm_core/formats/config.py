"""From a `config.yaml` in the published schema to a model's description.

`target:` strings are looked up in a table, never imported.  Our additions to the schema:
`parameterization: v`, `zero_terminal_snr`, the first stage's `patch_size`, the UNet's `pooled_context`,
`concat_conditions`, and an optional top-level section `atelier:`.  There, `classes` gives names to prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from ldm_core.conditioners import ClipSpec
from ldm_core.errors import ConfigError
from ldm_core.facts import Section, read_schedule
from ldm_core.formats import plain_yaml
from ldm_core.formats.config_conditioners import read_conditioners
from ldm_core.formats.config_engine import ENGINE, read_engine
from ldm_core.formats.config_networks import KL, VQ, read_first_stage, read_unet
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import AutoencoderSpec, Defaults, Parameterization, RefinerSpec, Spacing

_LATENT = frozenset({"ldm.models.diffusion.ddpm.LatentDiffusion"})
# Stable Diffusion's.
_INPAINT = frozenset({"ldm.models.diffusion.ddpm.LatentInpaintDiffusion"})
_UPSCALE = frozenset({"ldm.models.diffusion.ddpm.LatentUpscaleDiffusion"})


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration describes: a whole model or a first stage alone."""

    spec: ModelSpec | AutoencoderSpec
    defaults: Defaults


def usual_defaults(spec: ModelSpec | AutoencoderSpec) -> Defaults:
    """How the published models are sampled."""
    if isinstance(spec, AutoencoderSpec) or spec.conditioner(ClipSpec) is None:
        return Defaults(steps=50, guidance_scale=5.0, spacing="uniform")
    if spec.unet.num_noise_levels:
        return Defaults(width=512, height=512, steps=50, guidance_scale=9.0, spacing="uniform")
    size = 1024 if spec.unet.vector_dim else 768 if spec.parameterization == "v" else 512
    scale = 5.0 if spec.unet.vector_dim else 7.5
    usual = Defaults(width=size, height=size, steps=30, guidance_scale=scale)
    if spec.schedule.zero_terminal_snr:  # which only what starts at the very last timestep makes use of
        return replace(usual, sampler="euler", spacing="trailing")
    if spec.parameterization == "edm":
        usual = replace(usual, guidance_scale=3.0)  # by the card of Playground 2.5
    return replace(usual, sampler="dpmpp_2m", spacing="karras")


def config_beside(file: Path) -> Path | None:
    """The configuration that lies beside a file of weights: `NAME.yaml`, else `config.yaml`.

    Raises:
        ConfigError: it is a link to a file elsewhere, and the weights do not lie there either.
    """
    candidates = (file.with_suffix(".yaml"), file.with_name("config.yaml"))
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is not None:
        lies = found.resolve()
        if lies.parent != file.resolve().parent and not lies.is_relative_to(found.parent.resolve()):
            raise ConfigError(f"{found.name} is a link to a file elsewhere; put the file itself there.")
    return found


@dataclass(frozen=True, slots=True)
class Additions:
    """What a person says of a file that is else recognised by its weights.

    parameterization: what it predicts; None: as its weights tell.
    base: of a UNet alone, the whole model that it goes with.
    """

    parameterization: Parameterization | None = None
    base: str = ""


def read_additions(path: Path) -> Additions | None:
    """What a configuration says that has a section `atelier:`, but describes no model; None of any other.

    Raises:
        ConfigError: it cannot be read, or says what is not known.
    """
    root = _read(path)
    if "model" in root or "atelier" not in root:
        return None
    atelier = root.section("atelier")
    atelier.only(frozenset({"parameterization", "base"}), {})
    said = "parameterization" in atelier
    predicts = atelier.choice("parameterization", ("eps", "v"), "") if said else None
    return Additions(cast("Parameterization | None", predicts), atelier.text("base", 200))


def _read(path: Path) -> Section:
    try:
        # Never opens a pipe or device, never reads more than is allowed.
        if not path.is_file():
            raise ConfigError(f"{path.name} is not a file.")
        with open(path, "rb") as file:
            data = file.read(plain_yaml.MAX_BYTES + 1)
    except (OSError, ValueError):
        raise ConfigError(f"{path.name} cannot be read; check that it is there and readable.") from None
    return Section(plain_yaml.parse(data, path.name), path.name)


def read_config(path: Path) -> Config:
    """Reads a configuration in the published schema.

    Raises:
        ConfigError: unreadable, incomplete, contradictory, or describes what cannot be built.
    """
    root = _read(path)
    model = root.section("model")
    model.target(_LATENT | _INPAINT | _UPSCALE | ENGINE | KL | VQ)
    spec = read_first_stage(model) if model.has_target(KL | VQ) else _model(model)
    if "atelier" not in root:
        return Config(spec, usual_defaults(spec))
    atelier = root.section("atelier")
    if "classes" in atelier:
        spec = _with_class_prompts(spec, atelier)
    return Config(spec, _defaults(atelier))


def _defaults(section: Section) -> Defaults:
    usual = Defaults()
    return Defaults(
        title=section.text("title", 200),
        description=section.text("description", 10_000),
        licence=section.text("licence", 2_000),
        width=section.whole("width", 64, 2048, usual.width),
        height=section.whole("height", 64, 2048, usual.height),
        steps=section.whole("steps", 1, 250, usual.steps),
        guidance_scale=section.number("guidance_scale", 0.0, 30.0, usual.guidance_scale),
        guidance_end=section.number("guidance_end", 0.0, 1.0, usual.guidance_end),
        spacing=cast(Spacing, section.choice("spacing", get_args(Spacing), usual.spacing)),
        first_stage=section.text("first_stage", 200),
    )


def _with_class_prompts(spec: ModelSpec | AutoencoderSpec, section: Section) -> ModelSpec:
    found = section.values["classes"]
    if not isinstance(spec, ModelSpec) or not spec.takes_prompts:
        raise section.wrong("classes", "left out, as this model takes no prompts")
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and 0 < len(name) <= 100 and isinstance(prompt, str) and 0 < len(prompt) <= 1000
        for name, prompt in found.items()
    ):
        raise section.wrong("classes", "names, each with its prompt")
    return replace(spec, class_prompts=tuple((str(name), str(prompt)) for name, prompt in found.items()))


def _model(section: Section) -> ModelSpec:
    params = section.section("params")
    if section.has_target(ENGINE):
        spec = read_engine(params)
    else:
        if section.has_target(_UPSCALE):
            params.section("low_scale_config")  # has to be there
        spec = _diffusion(params, str(section.values["target"]))
    check(spec, params.place)
    return spec


def _diffusion(params: Section, target: str) -> ModelSpec:
    params.whole("image_size", 1, 65_536, 64)  # of no use, but a wrong one tells of a wrong file
    params.whole("channels", 1, 1024, 4)
    return ModelSpec(
        first_stage=read_first_stage(params.section("first_stage_config")),
        unet=read_unet(params.section("unet_config")),
        conditioners=read_conditioners(params, target),
        schedule=read_schedule(params),
        parameterization=cast(
            Parameterization, params.choice("parameterization", get_args(Parameterization), "eps")
        ),
        refiner=_refiner(params.section("refiner")) if "refiner" in params else None,
        scale_factor=None if params.flag("scale_by_std") else params.number("scale_factor", 1e-6, 1e6, 1.0),
    )


def _refiner(section: Section) -> RefinerSpec:
    section.only(frozenset({"below", "unet_config"}), {})
    return RefinerSpec(read_unet(section.section("unet_config")), section.whole("below", 1, 10_000))


def check(spec: ModelSpec, place: str) -> None:
    """Refuses parts that do not fit together.

    Raises:
        ConfigError: naming both sides.
    """
    if spec.schedule.zero_terminal_snr and spec.parameterization == "eps":
        raise ConfigError(
            f"{place}: with zero_terminal_snr the network is also asked at pure noise, of which eps says "
            "nothing; parameterization has to be 'v' or 'x0'."
        )
    latent, unet = spec.latent_channels, spec.unet
    beside = [c.concat_channels(spec.first_stage.embed_dim) for c in spec.conditioners]
    if unet.in_channels != latent + sum(beside) or unet.out_channels != latent:
        raise ConfigError(
            f"{place}: the latent has {latent} channels and {sum(beside)} are concatenated, "
            f"but the UNet takes {unet.in_channels} and gives {unet.out_channels}; it has to take "
            f"{latent + sum(beside)} and give {latent}."
        )
    if spec.refiner is not None:
        refiner = spec.refiner.unet
        wanted, found = ((u.in_channels, u.out_channels, u.context_dim) for u in (unet, refiner))
        if found != wanted:
            raise ConfigError(
                f"{place}: the refiner's in_channels, out_channels and context_dim are {found}; they have to "
                f"be {wanted}, as the UNet's are."
            )
    joins = {c.vector for c in spec.conditioners}
    if ("sizes" in joins, "noise level" in joins) != (unet.vector_dim > 0, unet.num_noise_levels > 0):
        raise ConfigError(
            f"{place}: the UNet's num_classes does not suit the conditioners; it has to be 'sequential' with "
            "sizes, a number with a small picture that is noised, else left out."
        )
    if unet.context_dim and all(c.context_dim == 0 for c in spec.conditioners):
        raise ConfigError(
            f"{place}: the conditioners give no numbers a token, but the UNet's context_dim is "
            f"{unet.context_dim}; they have to be equal."
        )
    networks = [c.module_name for c in spec.conditioners if c.module_name]
    if len(set(networks)) != len(networks):
        raise ConfigError(
            f"{place}: two conditioners have their networks under one name, {' and '.join(networks)}; "
            "leave out one."
        )
    for conditioner in spec.conditioners:
        conditioner.check(spec, place)
