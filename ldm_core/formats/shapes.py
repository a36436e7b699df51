"""What the parts of a model are, told by their tensors' names and shapes alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import get_args

import torch

from ldm_core.conditioners import CONDITIONERS, Conditioner
from ldm_core.conditioners.base import Found
from ldm_core.diffusion.schedule import betas_of
from ldm_core.errors import ConfigError
from ldm_core.facts import Shapes, Weights
from ldm_core.spec import AutoencoderSpec, DenoiserSpec, Middle, ScheduleKind, ScheduleSpec, UNetSpec

UNET, REFINER = "model.diffusion_model.", "model.refiner."
FIRST_STAGE = "first_stage_model."
COND_STAGE = "cond_stage_model."
HOW = "Put the model's config.yaml beside the file."
# Attention is given by resolution; the published first stages were all trained at this one, and only
# the ratio matters.
_RESOLUTION = 256


def is_whole(names: Iterable[str]) -> bool:
    """Whether tensors are, by their names, those of a model that makes pictures."""
    return any("model.diffusion_model." in name for name in names)


def channels_in(weights: Weights) -> int:
    """Channels that the UNet takes; 0 where there is none."""
    stem = weights.get(f"{UNET}input_blocks.0.0.weight")
    return stem.shape[1] if stem is not None and stem.dim() == 4 else 0


def networks(weights: Weights) -> tuple[AutoencoderSpec, UNetSpec, tuple[Conditioner, ...]]:
    """A whole model's first stage, UNet and conditioners.

    Raises:
        ConfigError: one of them is not there, or is of a kind that cannot be told.
    """
    if f"{UNET}input_blocks.0.0.weight" not in weights:
        raise unknown()
    if f"{FIRST_STAGE}decoder.conv_in.weight" not in weights:
        raise ConfigError(
            "The model has no first stage (VAE) of its own. Put one beside the file, under the same name "
            "with .vae before its ending: NAME.vae.safetensors beside NAME.safetensors."
        )
    autoencoder = first_stage(weights, FIRST_STAGE)
    network = unet(weights)
    return autoencoder, network, conditioners(weights, autoencoder, network)


def unknown() -> ConfigError:
    """The error where nothing that is known is among the tensors."""
    return ConfigError(
        "The tensors' names are not those of a latent diffusion model or a first stage; "
        "choose another file, or put the model's config.yaml beside it."
    )


def first_stage(weights: Weights, prefix: str) -> AutoencoderSpec:
    """The first stage whose tensors' names begin with `prefix`.

    Raises:
        ConfigError: its shapes contradict each other.
    """
    shape = Shapes(weights, prefix)
    channels, stem, *_ = shape.of("encoder.conv_in.weight")
    patch_size = next((p for p in range(1, 17) if stem == 3 * p * p), 1)
    levels = shape.count("encoder.down")
    widths = [shape.of(f"encoder.down.{i}.block.0.conv1.weight")[0] for i in range(levels)]
    start = _RESOLUTION // patch_size
    codebook = "quantize.embedding.weight"
    return AutoencoderSpec(
        in_channels=stem // patch_size**2,
        out_channels=shape.of("decoder.conv_out.weight")[0] // patch_size**2,
        channels=channels,
        channel_mult=_multiples(widths, channels),
        num_res_blocks=shape.count("encoder.down.0.block"),
        attn_resolutions=tuple(start // 2**i for i in range(levels) if shape.count(f"encoder.down.{i}.attn")),
        resolution=_RESOLUTION,
        z_channels=shape.of("decoder.conv_in.weight")[1],
        embed_dim=shape.of("post_quant_conv.weight")[1],
        patch_size=patch_size,
        attention="encoder.mid.attn_1.q.weight" in shape,
        n_embed=shape.of(codebook)[0] if codebook in shape else 0,
    )


def unet(weights: Weights, patch_size: int = 1, prefix: str = UNET) -> UNetSpec:
    """The UNet, without its heads and `patch_size`, which shapes do not tell.

    Raises:
        ConfigError: its shapes contradict each other.
    """
    shape = Shapes(weights, prefix)
    model_channels, in_channels, *_ = shape.of("input_blocks.0.0.weight")
    # The last of a level's output blocks ends with a change of size: a convolution or a residual block.
    num_output_blocks = shape.count("output_blocks")
    ends = [
        i
        for i in range(num_output_blocks)
        if any(f"output_blocks.{i}.{j}.{key}" in shape for j in (1, 2) for key in _RESIZES)
    ]
    blocks_of_level = ends[0] + 1 if ends else num_output_blocks
    levels = len(ends) + 1
    if num_output_blocks != levels * blocks_of_level or shape.count("input_blocks") != num_output_blocks:
        raise ConfigError(f"The UNet's levels are not alike, so what it is cannot be told. {HOW}")
    first = [f"input_blocks.{1 + level * blocks_of_level}" for level in range(levels)]
    widths = [shape.of(f"{block}.0.out_layers.3.weight")[0] for block in first]
    attends = [f"{block}.1.norm.weight" in shape for block in first]
    depths = [shape.count(f"{block}.1.transformer_blocks") for block in first]
    middle = _middle(shape)
    middle_depth = shape.count("middle_block.1.transformer_blocks") if middle == "attention" else depths[-1]
    uneven = _uneven_depths(shape, depths, middle_depth, blocks_of_level)
    noise_levels = shape.of("label_emb.weight")[0] if "label_emb.weight" in shape else 0
    attention = _attention(shape, num_output_blocks)
    return UNetSpec(
        in_channels=in_channels // patch_size**2,
        out_channels=shape.of("out.2.weight")[0] // patch_size**2,
        model_channels=model_channels,
        channel_mult=_multiples(widths, model_channels),
        num_res_blocks=blocks_of_level - 1,
        attention_resolutions=tuple(2**level for level in range(levels) if attends[level]),
        context_dim=shape.of(f"{attention}.transformer_blocks.0.attn2.to_k.weight")[1] if attention else 0,
        transformer_depth=(middle_depth or 1) if uneven else _depth(depths, middle_depth),
        input_depths=uneven[0] if uneven else (),
        output_depths=uneven[1] if uneven else (),
        middle=middle,
        resblock_updown=any(f"output_blocks.{i}.{j}.{_RESIZES[1]}" in shape for i in ends for j in (1, 2)),
        use_scale_shift_norm=shape.of(f"{first[0]}.0.emb_layers.1.weight")[0] == 2 * widths[0],
        linear_projection=attention != "" and len(shape.of(f"{attention}.proj_in.weight")) == 2,
        cross_only=tuple(
            2**level for level in range(levels) if depths[level] and _crosses(shape, first[level])
        ),
        vector_dim=shape.of("label_emb.0.0.weight")[1] if "label_emb.0.0.weight" in shape else 0,
        num_noise_levels=noise_levels,
        guidance_dim=shape.of("guidance_embed.weight")[1] if "guidance_embed.weight" in shape else 0,
        pooled_context="context_embed.0.weight" in shape,
        patch_size=patch_size,
    )


def _middle(shape: Shapes) -> Middle:
    if "middle_block.1.norm.weight" in shape:
        return "attention"
    return "residual" if shape.count("middle_block") else "none"


def _attention(shape: Shapes, num_output_blocks: int) -> str:
    """A place where attention to a context stands, the middle first; "" where there is none."""
    places = ("middle_block.1", *(f"output_blocks.{i}.1" for i in range(num_output_blocks)))
    return next((place for place in places if shape.count(f"{place}.transformer_blocks")), "")


def _uneven_depths(
    shape: Shapes, depths: list[int], middle: int, blocks_of_level: int
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Transformer blocks of every residual block on the way down and up.

    None where those of each level are alike, and the middle's are the last level's.
    """

    def count(side: str, i: int) -> int:
        return shape.count(f"{side}_blocks.{i}.1.transformer_blocks")

    row = blocks_of_level  # on the way down the last of them changes the size
    down = [[count("input", 1 + n * row + i) for i in range(row - 1)] for n in range(len(depths))]
    up = [[count("output", n * row + i) for i in range(row)] for n in range(len(depths))]
    alike = all({*a, *b} == {depth} for a, b, depth in zip(down, reversed(up), depths, strict=True))
    if alike and (depths[-1] == middle or not {*depths, middle} - {0, middle}):
        return None
    return tuple(chain.from_iterable(down)), tuple(chain.from_iterable(up))


def _depth(depths: list[int], middle: int) -> int | tuple[int, ...]:
    """Transformer blocks of the levels and the middle: one number where all that have any have as many."""
    if not {*depths, middle} - {0, middle}:
        return middle or 1
    return tuple(depths)


def _crosses(shape: Shapes, block: str) -> bool:
    """Whether a level's first attention, too, is to the context."""
    attention = f"{block}.1.transformer_blocks.0.attn1"
    return shape.of(f"{attention}.to_k.weight")[1] != shape.of(f"{attention}.to_q.weight")[1]


_RESIZES = ("conv.weight", "in_layers.2.weight")


def conditioners(
    weights: Weights,
    autoencoder: AutoencoderSpec,
    network: DenoiserSpec,
    kinds: Sequence[type[Conditioner]] = CONDITIONERS,
) -> tuple[Conditioner, ...]:
    """The published conditioners, those with networks first.

    Args:
        kinds: are asked in this order; a network belongs to the first that knows it.

    Raises:
        ConfigError: something enters the UNet of which cannot be told what it is.
    """
    found = Found(weights, autoencoder, network, network.in_channels - autoencoder.embed_dim)
    conditioners: list[Conditioner] = []
    for kind in kinds:
        conditioner = kind.recognise(found)
        if conditioner is None or conditioner.module_name in {c.module_name for c in conditioners} - {""}:
            continue
        conditioners.append(conditioner)
        found = replace(found, beside=found.beside - conditioner.concat_channels(autoencoder.embed_dim))
    if found.beside or (network.context_dim and not conditioners):
        raise ConfigError(
            "What the model is conditioned on cannot be told from its weights: the UNet takes "
            f"{found.beside} channels beside the latent that belong to nothing known. {HOW}"
        )
    return tuple(conditioners)


def schedule(weights: Weights) -> ScheduleSpec | None:
    """The noise schedule of the `betas` buffer, or None where there is no such buffer.

    Raises:
        ConfigError: it is none.
    """
    betas = weights.get("betas")
    if betas is None or betas.dim() != 1 or len(betas) < 2:
        return None
    values = betas.double()
    if not 0 < values.min() <= values.max() <= 1:
        raise ConfigError(f"The checkpoint's noise schedule (betas) is damaged. {HOW}")
    # The file's float32 is the rounded value of a short decimal number.
    start, end = (float(f"{float(v):.6g}") for v in (values[0], values[-1]))
    for kind in get_args(ScheduleKind):
        spec = ScheduleSpec(len(values), start, end, kind)
        if torch.allclose(values, torch.from_numpy(betas_of(spec)), rtol=1e-3, atol=0):
            return spec
    # A last beta of 1 leaves nothing of x_0.
    return ScheduleSpec(
        len(values), start, end, betas=tuple(values.tolist()), zero_terminal_snr=float(values[-1]) == 1
    )


def scale_factor(weights: Weights) -> float | None:
    """The latent's scale, where training measured and stored it."""
    stored = weights.get("scale_factor")
    return float(stored) if stored is not None and stored.numel() == 1 else None


def _multiples(widths: list[int], base: int) -> tuple[int, ...]:
    if not widths or any(width < base or width % base for width in widths):
        raise ConfigError(
            f"The levels' channels {widths} are no multiples of the first one's {base}, so what the model is "
            "cannot be told; it is not of a known kind."
        )
    return tuple(width // base for width in widths)
