"""From a `config.yaml` in the published schema to a model's description.

`target:` strings are looked up in a table, never imported.  Our additions to the schema:
`parameterization: v`, `zero_terminal_snr`, the first stage's `patch_size`, the UNet's `pooled_context`,
`concat_conditions`, and an optional top-level section `atelier:`.  There, `classes` gives names to prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from ldm_core.errors import ConfigError
from ldm_core.formats import plain_yaml
from ldm_core.formats.config_conditioners import read_conditioners
from ldm_core.formats.section import Section
from ldm_core.spec import (
    AutoencoderSpec,
    ClipSpec,
    ConcatSpec,
    ContextSpec,
    LabelBitsSpec,
    LabelMapSpec,
    ModelSpec,
    Parameterization,
    RefinerSpec,
    ScheduleKind,
    ScheduleSpec,
    Spacing,
    UNetSpec,
    concat_channels,
)

_INPAINT = frozenset({"ldm.models.diffusion.ddpm.LatentInpaintDiffusion"})  # Stable Diffusion's
_DIFFUSION = frozenset({"ldm.models.diffusion.ddpm.LatentDiffusion"}) | _INPAINT
_UNET = frozenset({"ldm.modules.diffusionmodules.openaimodel.UNetModel"})
_KL = frozenset({"ldm.models.autoencoder.AutoencoderKL"})
_VQ = frozenset({"ldm.models.autoencoder.VQModel", "ldm.models.autoencoder.VQModelInterface"})

# Keys that do not change what is computed, or only in training.
_UNET_IGNORED = frozenset({"image_size", "use_checkpoint", "use_fp16", "dropout", "legacy"})
_DD_IGNORED = frozenset({"dropout", "double_z"})


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the `atelier:` section suggests to a page, each with a value for where it does not say.

    width, height: pixels.
    guidance_end: share of the steps after which guidance is left out.
    first_stage: folder beside the model's own that holds its first stage, where several models share one.
    """

    title: str = ""
    description: str = ""
    licence: str = ""
    width: int = 256
    height: int = 256
    steps: int = 30
    guidance_scale: float = 2.5
    guidance_end: float = 1.0
    spacing: Spacing = "trailing"
    first_stage: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration describes: a whole model or a first stage alone."""

    spec: ModelSpec | AutoencoderSpec
    defaults: Defaults | None


def config_beside(file: Path) -> Path | None:
    """The configuration that lies beside a file of weights: `NAME.yaml`, else `config.yaml`."""
    candidates = (file.with_suffix(".yaml"), file.with_name("config.yaml"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_config(path: Path) -> Config:
    """Reads a configuration in the published schema.

    Raises:
        ConfigError: unreadable, incomplete, contradictory, or describes what cannot be built.
    """
    try:
        # Never opens a pipe or device, never reads more than is allowed.
        if not path.is_file():
            raise ConfigError(f"{path.name} is not a file.")
        with open(path, "rb") as file:
            data = file.read(plain_yaml.MAX_BYTES + 1)
    except (OSError, ValueError):
        raise ConfigError(f"{path.name} cannot be read; check that it is there and readable.") from None
    root = Section(plain_yaml.parse(data, path.name), path.name)
    defaults = _defaults(root.section("atelier")) if "atelier" in root else None
    model = root.section("model")
    if model.has_target(_KL | _VQ):
        return Config(_first_stage(model), defaults)
    model.target(_DIFFUSION | _KL | _VQ)
    spec = _diffusion(model.section("params"), mask_first=model.has_target(_INPAINT))
    if defaults is not None and "classes" in root.section("atelier"):
        spec = replace(spec, class_prompts=_class_prompts(root.section("atelier"), spec))
    return Config(spec, defaults)


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


def _class_prompts(section: Section, spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    found = section.values["classes"]
    if not spec.takes_prompts:
        raise section.wrong("classes", "left out, as this model takes no prompts")
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and 0 < len(name) <= 100 and isinstance(prompt, str) and 0 < len(prompt) <= 1000
        for name, prompt in found.items()
    ):
        raise section.wrong("classes", "names, each with its prompt")
    return tuple((str(name), str(prompt)) for name, prompt in found.items())


def _diffusion(params: Section, *, mask_first: bool) -> ModelSpec:
    spec = ModelSpec(
        first_stage=_first_stage(params.section("first_stage_config")),
        unet=_unet(params.section("unet_config")),
        conditioners=read_conditioners(params, mask_first=mask_first),
        schedule=_schedule(params),
        parameterization=cast(
            Parameterization, params.choice("parameterization", get_args(Parameterization), "eps")
        ),
        label_bits=_label_bits(params.section("label_bits")) if "label_bits" in params else None,
        refiner=_refiner(params.section("refiner")) if "refiner" in params else None,
        scale_factor=None if params.flag("scale_by_std") else params.number("scale_factor", 1e-6, 1e6, 1.0),
    )
    check(spec, params.place)
    return spec


def _refiner(section: Section) -> RefinerSpec:
    section.only(frozenset({"below", "unet_config"}), {})
    return RefinerSpec(_unet(section.section("unet_config")), section.whole("below", 1, 10_000))


def _label_bits(section: Section) -> LabelBitsSpec:
    section.only(frozenset({"classes", "scale"}), {})
    names = section.values.get("classes")
    if not isinstance(names, list) or not all(
        isinstance(name, str) and 0 < len(name) <= 100 for name in names
    ):
        raise section.wrong("classes", "a list of names")
    if not 2 <= len(names) <= 255 or len(set(names)) != len(names):
        raise section.wrong("classes", "a list of 2 to 255 different names")
    return LabelBitsSpec(tuple(map(str, names)), section.number("scale", 0.1, 10.0, 1.0))


# The published names of what is linear in t.
_BETA_SCHEDULES: Mapping[str, ScheduleKind] = {
    "linear": "scaled_linear",
    "sqrt_linear": "linear",
    "cosine": "cosine",
}


def _schedule(params: Section) -> ScheduleSpec:
    if "given_betas" in params:
        raise params.wrong(
            "given_betas", "left out, as only linear_start and linear_end are supported so far"
        )
    schedule = ScheduleSpec(
        num_timesteps=params.whole("timesteps", 2, 10_000),
        linear_start=params.number("linear_start", 1e-8, 0.5),
        linear_end=params.number("linear_end", 1e-8, 0.5),
        kind=_BETA_SCHEDULES[params.choice("beta_schedule", tuple(_BETA_SCHEDULES), "linear")],
        zero_terminal_snr=params.flag("zero_terminal_snr"),
    )
    if schedule.linear_start > schedule.linear_end:
        raise params.wrong("linear_end", "at least linear_start")
    return schedule


def _first_stage(section: Section) -> AutoencoderSpec:
    section.target(_KL | _VQ)
    quantized = section.has_target(_VQ)
    params = section.section("params")
    dd = params.section("ddconfig")
    dd.only(
        _DD_IGNORED
        | {"z_channels", "resolution", "in_channels", "out_ch", "ch", "ch_mult", "num_res_blocks"}
        | {"attn_resolutions", "patch_size"},
        fixed={"attn_type": ("vanilla", "none"), "resamp_with_conv": (True,)},
    )
    if dd.values.get("double_z", not quantized) is quantized:
        kind = "false, as quantized latents have no variance" if quantized else "true: a mean and a variance"
        raise dd.wrong("double_z", kind)
    spec = AutoencoderSpec(
        in_channels=dd.whole("in_channels", 1, 16),
        out_channels=dd.whole("out_ch", 1, 16),
        channels=dd.whole("ch", 32, 2048),
        channel_mult=dd.wholes("ch_mult", 1, 32, 8),
        num_res_blocks=dd.whole("num_res_blocks", 1, 16),
        attn_resolutions=dd.wholes("attn_resolutions", 1, 65_536, 16),
        resolution=dd.whole("resolution", 8, 65_536),
        z_channels=dd.whole("z_channels", 1, 1024),
        embed_dim=params.whole("embed_dim", 1, 1024),
        patch_size=dd.whole("patch_size", 1, 16, 1),
        attention=dd.values.get("attn_type", "vanilla") == "vanilla",
        n_embed=params.whole("n_embed", 2, 1_000_000) if quantized else 0,
    )
    if not spec.channel_mult:
        raise dd.wrong("ch_mult", "a list of at least one whole number")
    if spec.channels % 32:
        raise dd.wrong("ch", "a multiple of 32")
    return spec


def _unet(section: Section) -> UNetSpec:
    section.target(_UNET)
    params = section.section("params")
    params.only(
        _UNET_IGNORED
        | {"in_channels", "out_channels", "model_channels", "channel_mult", "num_res_blocks", "context_dim"}
        | {"attention_resolutions", "transformer_depth", "num_heads", "num_head_channels"}
        | {"use_spatial_transformer", "resblock_updown", "use_scale_shift_norm", "pooled_context"}
        | {"patch_size", "use_linear_in_transformer"},
        {
            "use_new_attention_order": (False,),
            "conv_resample": (True,),
            "dims": (2,),
            "num_classes": (None,),
            "n_embed": (None,),
            "num_heads_upsample": (-1,),
        },
    )
    # -1 is the published schema's way to say "not given".
    heads, head_channels = (
        params.whole(key, 1, 512) if params.values.get(key) not in (None, -1) else None
        for key in ("num_heads", "num_head_channels")
    )
    if heads is None and head_channels is None:
        raise ConfigError(f"{params.place} needs one of num_heads and num_head_channels.")
    attends = params.flag("use_spatial_transformer")
    if not attends and "context_dim" in params:
        raise params.wrong("context_dim", "left out where use_spatial_transformer is not true")
    spec = UNetSpec(
        in_channels=params.whole("in_channels", 1, 1024),
        out_channels=params.whole("out_channels", 1, 1024),
        model_channels=params.whole("model_channels", 32, 4096),
        channel_mult=params.wholes("channel_mult", 1, 32, 8),
        num_res_blocks=params.whole("num_res_blocks", 1, 16),
        attention_resolutions=params.wholes("attention_resolutions", 1, 1024, 16),
        context_dim=params.whole("context_dim", 1, 8192) if attends else 0,
        transformer_depth=params.whole("transformer_depth", 1, 32, 1),
        num_heads=None if head_channels else heads,
        num_head_channels=head_channels,
        resblock_updown=params.flag("resblock_updown"),
        use_scale_shift_norm=params.flag("use_scale_shift_norm"),
        linear_projection=params.flag("use_linear_in_transformer"),
        pooled_context=params.flag("pooled_context"),
        patch_size=params.whole("patch_size", 1, 16, 1),
    )
    if not spec.channel_mult:
        raise params.wrong("channel_mult", "a list of at least one whole number")
    if spec.model_channels % 32:
        raise params.wrong("model_channels", "a multiple of 32")
    for mult in spec.channel_mult:
        if (mult * spec.model_channels) % (spec.num_head_channels or spec.num_heads or 1):
            raise params.wrong(
                "num_head_channels" if head_channels else "num_heads", "a divisor of every level's channels"
            )
    return spec


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
    beside = [
        concat_channels(one, spec.first_stage.embed_dim)
        for one in spec.conditioners
        if isinstance(one, ConcatSpec)
    ]
    if unet.in_channels != latent + sum(beside) or unet.out_channels != latent:
        raise ConfigError(
            f"{place}: the latent has {latent} channels and {sum(beside)} are concatenated, "
            f"but the UNet takes {unet.in_channels} and gives {unet.out_channels}; it has to take "
            f"{latent + sum(beside)} and give {latent}."
        )
    if spec.refiner is not None:
        c, refiner = spec.first_stage.embed_dim, spec.refiner.unet
        wanted = (c, c, unet.context_dim)
        found = (refiner.in_channels, refiner.out_channels, refiner.context_dim)
        if found != wanted:
            raise ConfigError(
                f"{place}: the refiner's in_channels, out_channels and context_dim are {found}; they have to "
                f"be {wanted}."
            )
    dims = [one.dim for one in spec.conditioners if isinstance(one, ContextSpec)]
    has_clip = any(isinstance(one, ClipSpec) for one in spec.conditioners)  # its size is the weights' to tell
    if not has_clip and any(dim != unet.context_dim for dim in dims or [0]):
        raise ConfigError(
            f"{place}: the conditioners give {' and '.join(map(str, dims)) or 'no'} numbers a token, but the "
            f"UNet's context_dim is {unet.context_dim or 'not given'}; they have to be equal."
        )
    label_map = spec.conditioner(LabelMapSpec)
    if (
        label_map is not None
        and label_map.channels
        and 2**label_map.halvings != spec.first_stage.downsampling
    ):
        raise ConfigError(
            f"{place}: the rescaler makes label maps {2**label_map.halvings} times smaller, the first stage "
            f"pictures {spec.first_stage.downsampling} times; they have to be equal."
        )
