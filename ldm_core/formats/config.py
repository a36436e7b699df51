"""From a `config.yaml` in the published schema to a model's description.

`target:` strings are looked up in a table, never imported.  Our additions to the schema:
`parameterization: v`, `zero_terminal_snr`, the first stage's `patch_size`, and an optional top-level section
`atelier:`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from ldm_core.errors import ConfigError
from ldm_core.formats import plain_yaml
from ldm_core.formats.plain_yaml import Value
from ldm_core.spec import (
    AutoencoderSpec,
    ModelSpec,
    Parameterization,
    ScheduleKind,
    ScheduleSpec,
    Spacing,
    TextSpec,
    UNetSpec,
)

_DIFFUSION = frozenset({"ldm.models.diffusion.ddpm.LatentDiffusion"})
_UNET = frozenset({"ldm.modules.diffusionmodules.openaimodel.UNetModel"})
_KL = frozenset({"ldm.models.autoencoder.AutoencoderKL"})
_VQ = frozenset({"ldm.models.autoencoder.VQModel", "ldm.models.autoencoder.VQModelInterface"})
_BERT = frozenset({"ldm.modules.encoders.modules.BERTEmbedder"})
# Published parts that are known but cannot be built yet -> what they are.
_NOT_YET = {
    "ldm.modules.encoders.modules.ClassEmbedder": "conditioning on classes",
    "ldm.modules.encoders.modules.SpatialRescaler": "conditioning on label maps",
    "torch.nn.Identity": "conditioning by concatenation",
    "__is_first_stage__": "conditioning by concatenation",
    "__is_unconditional__": "unconditional models",
}

# Keys that do not change what is computed, or only in training.
_UNET_IGNORED = frozenset({"image_size", "use_checkpoint", "use_fp16", "dropout", "legacy"})
_DD_IGNORED = frozenset({"dropout", "double_z"})


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the `atelier:` section suggests to a page, each with a value for where it does not say.

    width, height: pixels.
    first_stage: folder beside the model's own that holds its first stage, where several models share one.
    """

    title: str = ""
    description: str = ""
    licence: str = ""
    width: int = 256
    height: int = 256
    steps: int = 30
    guidance_scale: float = 2.5
    spacing: Spacing = "trailing"
    first_stage: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration describes: a whole model or a first stage alone."""

    spec: ModelSpec | AutoencoderSpec
    defaults: Defaults | None


class Section:
    """A map of a configuration, with its place in it for messages."""

    def __init__(self, values: Value, place: str) -> None:
        if not isinstance(values, dict):
            raise ConfigError(
                f"{place} is missing or not a section; put the model's own configuration there."
            )
        self.values = values
        self.place = place

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def section(self, key: str) -> Section:
        return Section(self.values.get(key), f"{self.place}.{key}")

    def wrong(self, key: str, allowed: str) -> ConfigError:
        if key not in self.values:
            return ConfigError(f"{self.place}.{key} is missing; it has to be {allowed}.")
        shown = repr(self.values[key])[:60]
        return ConfigError(f"{self.place}.{key} is {shown}; it has to be {allowed}.")

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.values.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self.values.get(key, default)
        if type(value) not in (int, float) or not low <= cast(float, value) <= high:
            raise self.wrong(key, f"a number from {low:g} to {high:g}")
        return cast(float, value) * 1.0

    def wholes(self, key: str, low: int, high: int, longest: int) -> tuple[int, ...]:
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) > longest:
            raise self.wrong(key, f"a list of at most {longest} whole numbers")
        found = tuple(v for v in value if type(v) is int and low <= v <= high)
        if len(found) != len(value):
            raise self.wrong(key, f"a list of whole numbers from {low} to {high}")
        return found

    def text(self, key: str, longest: int) -> str:
        value = self.values.get(key, "")
        if not isinstance(value, str) or len(value) > longest:
            raise self.wrong(key, f"a text of at most {longest:,} characters")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or value not in allowed:
            raise self.wrong(key, " or ".join(repr(a) for a in allowed))
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def has_target(self, known: frozenset[str]) -> bool:
        target = self.values.get("target")
        return isinstance(target, str) and target in known

    def target(self, known: frozenset[str]) -> None:
        """Requires `target` to be one of the known names."""
        target = self.values.get("target")
        if self.has_target(known):
            return
        if isinstance(target, str) and target in _NOT_YET:
            raise _not_yet(_NOT_YET[target])
        raise self.wrong("target", " or ".join(sorted(known)))

    def only(self, known: frozenset[str], fixed: dict[str, tuple[Value, ...]]) -> None:
        """Refuses keys that are not known, and values other than the ones that can be built."""
        for key, value in self.values.items():
            if key in fixed:
                if value not in fixed[key] or (value is not None and type(value) is not type(fixed[key][0])):
                    raise self.wrong(key, f"{fixed[key][0]!r}, the only kind that is supported so far")
            elif key not in known:
                raise ConfigError(f"{self.place}.{key[:60]} is not known; the model may be of a newer kind.")


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
    return Config(_diffusion(model.section("params")), defaults)


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
        spacing=cast(Spacing, section.choice("spacing", get_args(Spacing), usual.spacing)),
        first_stage=section.text("first_stage", 200),
    )


def _diffusion(params: Section) -> ModelSpec:
    for key in ("first_stage_config", "cond_stage_config"):
        part = params.values.get(key)
        if isinstance(part, str) and part in _NOT_YET:
            raise _not_yet(_NOT_YET[part])
    params.section("first_stage_config").target(_KL | _VQ)
    params.section("cond_stage_config").target(_BERT)
    if params.values.get("conditioning_key") != "crossattn":
        raise params.wrong("conditioning_key", "'crossattn', the only kind that is supported so far")
    if params.values.get("scale_by_std") not in (None, False):
        raise params.wrong("scale_by_std", "false, with the latent's scale in scale_factor")
    spec = ModelSpec(
        first_stage=_first_stage(params.section("first_stage_config")),
        unet=_unet(params.section("unet_config")),
        text=_text(params.section("cond_stage_config").section("params")),
        schedule=_schedule(params),
        parameterization=cast(
            Parameterization, params.choice("parameterization", get_args(Parameterization), "eps")
        ),
        scale_factor=params.number("scale_factor", 1e-6, 1e6, 1.0),
    )
    check(spec, params.place)
    return spec


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
        | {"pooled_context"},
        {
            "use_spatial_transformer": (True,),
            "resblock_updown": (False,),
            "use_scale_shift_norm": (False,),
            "use_new_attention_order": (False,),
            "use_linear_in_transformer": (False,),
            "conv_resample": (True,),
            "dims": (2,),
            "num_classes": (None,),
            "n_embed": (None,),
            "num_heads_upsample": (-1,),
        },
    )
    if "use_spatial_transformer" not in params:
        raise params.wrong("use_spatial_transformer", "True, the only kind that is supported so far")
    # -1 is the published schema's way to say "not given".
    heads, head_channels = (
        params.whole(key, 1, 512) if params.values.get(key) not in (None, -1) else None
        for key in ("num_heads", "num_head_channels")
    )
    if (heads is None) == (head_channels is None):
        raise ConfigError(f"{params.place} needs exactly one of num_heads and num_head_channels.")
    pooled = params.values.get("pooled_context", False)
    if not isinstance(pooled, bool):
        raise params.wrong("pooled_context", "true or false")
    spec = UNetSpec(
        in_channels=params.whole("in_channels", 1, 1024),
        out_channels=params.whole("out_channels", 1, 1024),
        model_channels=params.whole("model_channels", 32, 4096),
        channel_mult=params.wholes("channel_mult", 1, 32, 8),
        num_res_blocks=params.whole("num_res_blocks", 1, 16),
        attention_resolutions=params.wholes("attention_resolutions", 1, 1024, 16),
        context_dim=params.whole("context_dim", 1, 8192),
        transformer_depth=params.whole("transformer_depth", 1, 32, 1),
        num_heads=heads,
        num_head_channels=head_channels,
        pooled_context=pooled,
    )
    if not spec.channel_mult:
        raise params.wrong("channel_mult", "a list of at least one whole number")
    if spec.model_channels % 32:
        raise params.wrong("model_channels", "a multiple of 32")
    for mult in spec.channel_mult:
        if (mult * spec.model_channels) % math.prod(n or 1 for n in (heads, head_channels)):
            raise params.wrong(
                "num_heads" if heads else "num_head_channels", "a divisor of every level's channels"
            )
    return spec


def _text(params: Section) -> TextSpec:
    params.only(
        frozenset({"n_embed", "n_layer", "vocab_size", "max_seq_len"})
        | {"use_tokenizer", "device", "embedding_dropout"},
        {},
    )
    return TextSpec(
        dim=params.whole("n_embed", 1, 8192),
        depth=params.whole("n_layer", 1, 128),
        vocab_size=params.whole("vocab_size", 1, 1_000_000, 30_522),
        max_length=params.whole("max_seq_len", 1, 4096, 77),
    )


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
    latent, unet = spec.first_stage.embed_dim, spec.unet
    if unet.in_channels != latent or unet.out_channels != latent:
        raise ConfigError(
            f"{place}: the first stage's latent has {latent} channels, but the UNet takes {unet.in_channels} "
            f"and gives {unet.out_channels}; they have to be equal."
        )
    if unet.context_dim != spec.text.dim:
        raise ConfigError(
            f"{place}: the text transformer gives {spec.text.dim} numbers a token, but the UNet's "
            f"context_dim is {unet.context_dim}; they have to be equal."
        )


def _not_yet(what: str) -> ConfigError:
    return ConfigError(
        f"The model uses {what}, which cannot be loaded yet; text-to-image models and first stages can."
    )
