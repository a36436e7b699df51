"""The networks of a configuration in the published schemas."""

from __future__ import annotations

from ldm_core.errors import ConfigError
from ldm_core.facts import Section, either
from ldm_core.spec import AutoencoderSpec, UNetSpec

KL = either("models.autoencoder.AutoencoderKL", "models.autoencoder.AutoencoderKLInferenceWrapper")
VQ = frozenset({"ldm.models.autoencoder.VQModel", "ldm.models.autoencoder.VQModelInterface"})
_UNET = either("modules.diffusionmodules.openaimodel.UNetModel")

# Keys that do not change what is computed, or only in training.
_UNET_IGNORED = frozenset(
    {"image_size", "use_checkpoint", "use_fp16", "dropout", "legacy", "spatial_transformer_attn_type"}
)
_DD_IGNORED = frozenset({"dropout", "double_z"})


def read_first_stage(section: Section) -> AutoencoderSpec:
    """The first stage.

    Raises:
        ConfigError: incomplete, contradictory, or a setting that cannot be built.
    """
    section.target(KL | VQ)
    quantized = section.has_target(VQ)
    params = section.section("params")
    dd = params.section("ddconfig")
    dd.only(
        _DD_IGNORED
        | {"z_channels", "resolution", "in_channels", "out_ch", "ch", "ch_mult", "num_res_blocks"}
        | {"attn_resolutions", "patch_size"},
        fixed={"attn_type": ("vanilla", "vanilla-xformers", "none"), "resamp_with_conv": (True,)},
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
        attention=dd.values.get("attn_type") != "none",
        n_embed=params.whole("n_embed", 2, 1_000_000) if quantized else 0,
    )
    if not spec.channel_mult:
        raise dd.wrong("ch_mult", "a list of at least one whole number")
    if spec.channels % 32:
        raise dd.wrong("ch", "a multiple of 32")
    return spec


def read_unet(section: Section) -> UNetSpec:
    """The UNet.

    Raises:
        ConfigError: incomplete, contradictory, or a setting that cannot be built.
    """
    section.target(_UNET)
    params = section.section("params")
    params.only(
        _UNET_IGNORED
        | {"in_channels", "out_channels", "model_channels", "channel_mult", "num_res_blocks", "context_dim"}
        | {"attention_resolutions", "transformer_depth", "num_heads", "num_head_channels"}
        | {"use_spatial_transformer", "resblock_updown", "use_scale_shift_norm", "pooled_context"}
        | {"patch_size", "use_linear_in_transformer", "num_classes", "adm_in_channels"}
        | {"disable_self_attentions"},
        {
            "use_new_attention_order": (False,),
            "conv_resample": (True,),
            "dims": (2,),
            "n_embed": (None,),
            "num_heads_upsample": (-1,),
            "disable_middle_self_attn": (False,),
        },
    )
    params.whole("image_size", 1, 65_536, 64)  # of no use, but a wrong one tells of a wrong file
    channel_mult = params.wholes("channel_mult", 1, 32, 8)
    if not channel_mult:
        raise params.wrong("channel_mult", "a list of at least one whole number")
    attention = params.wholes("attention_resolutions", 1, 1024, 16)
    attends = [2**level in attention for level in range(len(channel_mult))]
    heads, head_channels = _heads(params)
    noise_levels, vector_dim = _classes(params)
    spec = UNetSpec(
        in_channels=params.whole("in_channels", 1, 1024),
        out_channels=params.whole("out_channels", 1, 1024),
        model_channels=params.whole("model_channels", 32, 4096),
        channel_mult=channel_mult,
        num_res_blocks=params.whole("num_res_blocks", 1, 16),
        attention_resolutions=attention,
        context_dim=_context_dim(section, params),
        transformer_depth=_depth(params, attends),
        num_heads=None if head_channels else heads,
        num_head_channels=head_channels,
        resblock_updown=params.flag("resblock_updown"),
        use_scale_shift_norm=params.flag("use_scale_shift_norm"),
        linear_projection=params.flag("use_linear_in_transformer"),
        pooled_context=params.flag("pooled_context"),
        cross_only=_cross_only(params, attends),
        vector_dim=vector_dim,
        num_noise_levels=noise_levels,
        patch_size=params.whole("patch_size", 1, 16, 1),
    )
    if spec.model_channels % 32:
        raise params.wrong("model_channels", "a multiple of 32")
    for mult in spec.channel_mult:
        if (mult * spec.model_channels) % (spec.num_head_channels or spec.num_heads or 1):
            raise params.wrong(
                "num_head_channels" if head_channels else "num_heads", "a divisor of every level's channels"
            )
    return spec


def _heads(params: Section) -> tuple[int | None, int | None]:
    """(number of heads, channels of a head), at least one of them given."""
    # -1 is the published schema's way to say "not given".
    heads, head_channels = (
        params.whole(key, 1, 512) if params.values.get(key) not in (None, -1) else None
        for key in ("num_heads", "num_head_channels")
    )
    if heads is None and head_channels is None:
        raise ConfigError(f"{params.place} needs one of num_heads and num_head_channels.")
    return heads, head_channels


def _context_dim(section: Section, params: Section) -> int:
    """0 for plain self-attention.  The later schema says by it alone that there is a context."""
    later = str(section.values.get("target")).startswith("sgm.") and "context_dim" in params
    if not later and not params.flag("use_spatial_transformer"):
        if "context_dim" in params:
            raise params.wrong("context_dim", "left out where use_spatial_transformer is not true")
        return 0
    value = params.values.get("context_dim")
    if isinstance(value, list):  # of each level
        found = params.wholes("context_dim", 1, 8192, 8)
        if len(set(found)) != 1:
            raise params.wrong("context_dim", "the same for all levels")
        return found[0]
    return params.whole("context_dim", 1, 8192)


def _depth(params: Section, attends: list[bool]) -> int | tuple[int, ...]:
    """Of all levels, or of each; one without attention has none."""
    if not isinstance(params.values.get("transformer_depth"), list):
        return params.whole("transformer_depth", 1, 32, 1)
    found = params.wholes("transformer_depth", 0, 32, 8)
    if len(found) != len(attends) or not found[-1]:
        raise params.wrong("transformer_depth", "a number, or one for each level")
    depths = tuple(depth if there else 0 for depth, there in zip(found, attends, strict=True))
    return found[-1] if set(depths) <= {0, found[-1]} else depths


def _cross_only(params: Section, attends: list[bool]) -> tuple[int, ...]:
    """The downsampling factors at which tokens never attend to each other."""
    value = params.values.get("disable_self_attentions") or [False] * len(attends)
    if (
        not isinstance(value, list)
        or len(value) != len(attends)
        or not all(isinstance(off, bool) for off in value)
    ):
        raise params.wrong("disable_self_attentions", "true or false for each level")
    return tuple(
        2**level for level, (off, there) in enumerate(zip(value, attends, strict=True)) if off and there
    )


def _classes(params: Section) -> tuple[int, int]:
    """What joins the embedding of t: (noise levels, numbers of a vector), one of them 0."""
    if params.values.get("num_classes") == "sequential":
        return 0, params.whole("adm_in_channels", 1, 65_536)
    if "num_classes" not in params:
        return 0, 0
    return params.whole("num_classes", 1, 10_000), 0
