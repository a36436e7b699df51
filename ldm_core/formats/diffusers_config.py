"""What the JSON of folders in the layout of diffusers says that shapes do not tell.

The words in it are looked up in tables and never imported.  A setting that changes what is computed, and that
is not known, is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ldm_core.errors import ConfigError
from ldm_core.facts import Section, Value
from ldm_core.formats.folders import PARTS, read_json
from ldm_core.spec import Parameterization, ScheduleKind, ScheduleSpec, Spacing

SUPER_RESOLUTION = "LDMSuperResolutionPipeline"

_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", "latent_diffusion")
_CLASSES: Mapping[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel", "UNet2DModel"),
    "vae": ("AutoencoderKL",),
    "vqvae": ("VQModel", "AutoencoderKL"),
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "text_encoder_2": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "bert": ("LDMBertModel",),
}
_SCHEDULERS = frozenset(
    f"{name}Scheduler"
    for name in "DDIM DDPM PNDM LMSDiscrete EulerDiscrete EulerAncestralDiscrete HeunDiscrete KDPM2Discrete "
    "KDPM2AncestralDiscrete DPMSolverMultistep DPMSolverSinglestep DPMSolverSDE DEISMultistep UniPCMultistep "
    "LCM TCD EDMEuler EDMDPMSolverMultistep".split()
)

_UNET_KNOWN = frozenset(
    "sample_size in_channels out_channels block_out_channels layers_per_block down_block_types "
    "up_block_types cross_attention_dim attention_head_dim num_attention_heads dropout "
    "transformer_layers_per_block use_linear_projection upcast_attention only_cross_attention "
    "num_class_embeds num_train_timesteps projection_class_embeddings_input_dim "
    "addition_embed_type_num_heads reverse_transformer_layers_per_block time_cond_proj_dim".split()
)
_UNET_FIXED: dict[str, tuple[Value, ...]] = {
    "act_fn": ("silu",),
    "add_attention": (True,),
    "addition_embed_type": ("text_time",),
    "addition_time_embed_dim": (256,),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embeddings_concat": (False,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "downsample_padding": (1,),
    "downsample_type": ("conv",),
    "dual_cross_attention": (False,),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "mid_block_only_cross_attention": (False,),
    "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn", "UNetMidBlock2D"),
    "norm_eps": (1e-5,),
    "norm_num_groups": (32,),
    "resnet_out_scale_factor": (1.0,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "time_embedding_type": ("positional",),
    "upsample_type": ("conv",),
}
_FIRST_STAGE_KNOWN = frozenset(
    "block_out_channels down_block_types up_block_types in_channels out_channels latent_channels sample_size "
    "layers_per_block scaling_factor force_upcast num_vq_embeddings vq_embed_dim latents_mean "
    "latents_std".split()
)
_FIRST_STAGE_FIXED: dict[str, tuple[Value, ...]] = {
    "act_fn": ("silu",),
    "lookup_from_codebook": (False,),
    "mid_block_add_attention": (True,),
    "norm_num_groups": (32,),
    "norm_type": ("group",),
    "use_post_quant_conv": (True,),
    "use_quant_conv": (True,),
}
_BLOCKS = frozenset(
    "DownBlock2D CrossAttnDownBlock2D AttnDownBlock2D DownEncoderBlock2D AttnDownEncoderBlock2D "
    "UpBlock2D CrossAttnUpBlock2D AttnUpBlock2D UpDecoderBlock2D AttnUpDecoderBlock2D".split()
)


@dataclass(frozen=True, slots=True)
class Index:
    """`model_index.json`.

    Attributes:
        pipeline: the class.
        parts: with weights -> its class.
        zero_empty: whether an empty prompt is all zeros, in models with a pooled prompt.
    """

    pipeline: str
    parts: Mapping[str, str]
    zero_empty: bool


def pipeline_of(folder: Path) -> object:
    """What a folder names as its pipeline's class; None where it names none.

    Raises:
        ModelFileError, ConfigError: `model_index.json` cannot be read.
    """
    return _read(folder / "model_index.json", "model_index.json").values.get("_class_name")


def read_index(folder: Path) -> Index:
    """What a folder consists of.

    Raises:
        ConfigError: a part is of a class that is not known.
    """
    section = _read(folder / "model_index.json", "model_index.json")
    parts: dict[str, str] = {}
    for name, value in section.values.items():
        if not isinstance(value, list) or value == [None, None]:
            continue
        library, kind = value if len(value) == 2 else (None, None)
        if library not in _LIBRARIES or (name in _CLASSES and kind not in _CLASSES[name]):
            raise section.wrong(name, f"one of {', '.join(_CLASSES.get(name, _LIBRARIES))}")
        if name in PARTS:
            parts[name] = str(kind)
    if "unet" not in parts or not {"vae", "vqvae"} & parts.keys():
        raise ConfigError("model_index.json names no UNet or no first stage (vae); download it again.")
    pipeline = str(section.values.get("_class_name"))
    return Index(pipeline, parts, section.values.get("force_zeros_for_empty_prompt", True) is True)


def read_part(folder: Path, part: str) -> Section:
    """A part's `config.json`.

    Raises:
        ConfigError: it is damaged, or asks for code of its own.
    """
    return _read(folder / part / "config.json", f"{part}/config.json")


def _read(path: Path, place: str) -> Section:
    """What is null, and notes on the program that wrote it, are left out."""
    values = {key: cast(Value, value) for key, value in read_json(path).items() if value is not None}
    if "auto_map" in values:
        raise ConfigError(f"{place} asks to run code of its own (auto_map), which is never done.")
    kept = {key: value for key, value in values.items() if key[:1] != "_" or key == "_class_name"}
    return Section(kept, place)


@dataclass(frozen=True, slots=True)
class UNetFacts:
    """What shapes do not tell of a UNet; `cross_only`: of each level, or None where all have both kinds."""

    num_heads: int | None
    num_head_channels: int | None
    cross_only: tuple[int, ...]
    sample_size: int  # cells of the latent's side, 0 where not said

    def heads(self, channels: int) -> int:
        """Attention heads of a level of so many channels."""
        return channels // self.num_head_channels if self.num_head_channels else self.num_heads or 1


def unet_facts(section: Section, kind: str) -> UNetFacts:
    """Raises ConfigError: a setting that cannot be built, or heads that no rule gives."""
    section.only(_UNET_KNOWN | {"_class_name"}, _UNET_FIXED)
    _require_blocks(section)
    widths = section.wholes("block_out_channels", 32, 8192, 8)
    size = section.values.get("sample_size", 0)
    cells = size if isinstance(size, int) and 0 < size <= 1024 else 0
    if kind == "UNet2DModel":
        # Here the word means what it says: channels of a head; left out, there is one head.
        per_head = section.whole("attention_head_dim", 1, 8192) if "attention_head_dim" in section else None
        if per_head is not None and any(width % per_head for width in widths):
            raise section.wrong("attention_head_dim", "a divisor of every level's channels")
        return UNetFacts(None if per_head else 1, per_head, (), cells)
    # Historically `attention_head_dim` is the number of heads.
    key = "num_attention_heads" if "num_attention_heads" in section else "attention_head_dim"
    value = section.values.get(key, 8)
    heads = value if isinstance(value, list) else [value] * len(widths)
    if len(heads) != len(widths) or any(
        type(h) is not int or h < 1 or w % h for h, w in zip(heads, widths, strict=True)
    ):
        raise section.wrong(key, "for each level a divisor of its channels")
    counts = {cast(int, h) for h in heads}
    per_heads = {w // cast(int, h) for h, w in zip(heads, widths, strict=True)}
    if len(counts) == 1:
        return UNetFacts(counts.pop(), None, _cross_only(section, len(widths)), cells)
    if len(per_heads) == 1:
        return UNetFacts(None, per_heads.pop(), _cross_only(section, len(widths)), cells)
    raise section.wrong(key, "the same for all levels, or in proportion to their channels")


def _cross_only(section: Section, levels: int) -> tuple[int, ...]:
    """The downsampling factors at which tokens never attend to each other."""
    value = section.values.get("only_cross_attention", False)
    flags = value if isinstance(value, list) else [value] * levels
    if len(flags) != levels or any(type(flag) is not bool for flag in flags) or value is True:
        raise section.wrong("only_cross_attention", "false, or true or false for each level")
    return tuple(2**level for level, flag in enumerate(flags) if flag)


def _require_blocks(section: Section) -> None:
    for key in ("down_block_types", "up_block_types"):
        value = section.values.get(key)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise section.wrong(key, "a list of names")
        strange = [str(name) for name in value if name not in _BLOCKS]
        if strange:
            raise ConfigError(
                f"{section.place}.{key} names {strange[0][:60]!r}; known are {', '.join(sorted(_BLOCKS))}."
            )


def first_stage_scale(section: Section, kind: str, pipeline: str) -> float:
    """What the latent is multiplied by.

    Raises:
        ConfigError: a setting that cannot be built.
    """
    section.only(_FIRST_STAGE_KNOWN | {"_class_name"}, _FIRST_STAGE_FIXED)
    _require_blocks(section)
    # Of the published folders those with a codebook say nothing, and were trained on the latent as it is.
    usual = 1.0 if kind == "VQModel" else 0.18215
    value = section.number("scaling_factor", 1e-6, 1e6, usual)
    return 1.0 if pipeline == SUPER_RESOLUTION else value  # its latent is decoded as it is


def latent_moments(section: Section, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, standard deviation) of the latent's channels; both empty where the first stage does not say."""
    value = [section.values.get(key) for key in ("latents_mean", "latents_std")]
    if value == [None, None]:
        return (), ()
    for key, row in zip(("latents_mean", "latents_std"), value, strict=True):
        if (
            not isinstance(row, list)
            or len(row) != channels
            or not all(isinstance(v, float) and (key != "latents_std" or v > 0) for v in row)
        ):
            raise section.wrong(key, f"a list of {channels} numbers")
    mean, std = (tuple(cast("list[float]", row)) for row in value)
    return mean, std


@dataclass(frozen=True, slots=True)
class Sampling:
    """A scheduler's configuration, as far as it belongs to the model."""

    schedule: ScheduleSpec
    parameterization: Parameterization
    spacing: Spacing


_KINDS: Mapping[str, ScheduleKind] = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "squaredcos_cap_v2": "cosine",
}
_PREDICTIONS: Mapping[str, Parameterization] = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


def sampling(folder: Path, part: str = "scheduler") -> Sampling:
    """Of a scheduler; which sampler it is does not matter.

    Raises:
        ConfigError: its class, or what it makes of the betas, is not known.
    """
    section = _read(folder / part / "scheduler_config.json", f"{part}/scheduler_config.json")
    kind = section.values.get("_class_name")
    if not isinstance(kind, str) or kind not in _SCHEDULERS:
        raise ConfigError(f"{section.place} is for {str(kind)[:60]!r}, which is no scheduler of this family.")
    predicted = section.choice("prediction_type", tuple(_PREDICTIONS), "epsilon")
    count = section.whole("num_train_timesteps", 2, 10_000, 1000)
    if kind.startswith("EDM"):
        low, high = (section.number(f"sigma_{end}", 1e-8, 1e6) for end in ("min", "max"))
        of_data = section.number("sigma_data", 1e-3, 1e3, 0.5)
        schedule = ScheduleSpec(count, low, high, "edm", sigma_data=of_data)
        if predicted == "sample":
            raise section.wrong("prediction_type", "'epsilon' or 'v_prediction' of this scheduler")
        return Sampling(schedule, "edm" if predicted == "epsilon" else "v", "karras")
    trained = section.values.get("trained_betas") or []
    if not isinstance(trained, list) or not all(isinstance(b, float) and 0 < b < 1 for b in trained):
        raise section.wrong("trained_betas", "a list of numbers between 0 and 1")
    if trained and len(trained) != count:
        raise section.wrong("trained_betas", f"a list of {count} numbers")
    schedule = ScheduleSpec(
        num_timesteps=count,
        linear_start=section.number("beta_start", 1e-8, 0.5, 0.0001),
        linear_end=section.number("beta_end", 1e-8, 0.5, 0.02),
        kind=_KINDS[section.choice("beta_schedule", tuple(_KINDS), "linear")],
        betas=tuple(cast(float, b) for b in trained),
        zero_terminal_snr=section.flag("rescale_betas_zero_snr"),
    )
    trailing = section.values.get("timestep_spacing") == "trailing"
    return Sampling(schedule, _PREDICTIONS[predicted], "trailing" if trailing else "uniform")
