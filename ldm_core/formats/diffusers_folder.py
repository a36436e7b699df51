"""Folders in the layout of diffusers as one checkpoint with our names, and what they describe."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ldm_core.conditioners import ClipSpec, Conditioner, LowResolutionSpec
from ldm_core.errors import ConfigError, ModelFileError
from ldm_core.facts import Section, Weights
from ldm_core.formats import shapes
from ldm_core.formats.config import Config, check, usual_defaults
from ldm_core.formats.diffusers_config import (
    Index,
    Sampling,
    UNetFacts,
    first_stage_scale,
    latent_moments,
    read_index,
    read_part,
    sampling,
    unet_facts,
)
from ldm_core.formats.diffusers_names import bert_recipes, clip_recipes, first_stage_recipes, unet_recipes
from ldm_core.formats.family import Opened
from ldm_core.formats.few_steps import suited
from ldm_core.formats.folders import weights_in
from ldm_core.formats.reading import Checkpoint
from ldm_core.formats.renaming import Joined, Recipes, Renamed
from ldm_core.formats.shapes import FIRST_STAGE
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import Defaults

_TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
_WHOLE_MIDDLE = "UNetMidBlock2DCrossAttn"
_MAX_SIDE, _MIN_SIDE = 2048, 64  # pixels


def open_folder(folder: Path, stack: ExitStack) -> Opened:
    """Opens the weights of all parts until `stack` is closed; reads their JSON and headers.

    Raises:
        ModelFileError: a part's weights or JSON are missing, damaged or not safe to read.
        ConfigError: a part that is not known, or cannot be built.
    """
    index = read_index(folder)
    sections = {part: read_part(folder, part) for part in index.parts}
    facts = unet_facts(sections["unet"], index.parts["unet"])
    encoders = [part for part in _TEXT_ENCODERS if part in index.parts]
    opened = {}
    for part in index.parts:
        pieces = [stack.enter_context(Checkpoint(file)) for file in _weights(folder, part)]
        tensors = Joined(pieces) if len(pieces) > 1 else pieces[0]
        place = encoders.index(part) if part in encoders else 0
        opened[part] = Renamed(tensors, _recipes(part, tensors.shapes, sections[part], facts, place))
    joined = Joined(list(opened.values()))
    tokenizers = [(folder / part.replace("text_encoder", "tokenizer"),) for part in encoders]
    config = _describe(folder, index, sections, facts, joined.shapes)
    return Opened(joined, config, tuple(tokenizers) or ((folder / "tokenizer",),))


def _weights(folder: Path, part: str) -> tuple[Path, ...]:
    try:
        found = weights_in(folder / part)
    except OSError:
        found = ()
    if not found:
        raise ModelFileError(
            f"The folder {folder.name} has no whole weights of its part {part}: a file as "
            "diffusion_pytorch_model.safetensors or model.safetensors has to lie there, or all its pieces."
        )
    return found


def _recipes(part: str, weights: Weights, section: Section, facts: UNetFacts, place: int) -> Recipes:
    match part:
        case "unet":
            return unet_recipes(weights, facts.heads)
        case "vae" | "vqvae":
            return first_stage_recipes(weights)
        case "bert":
            return bert_recipes(weights)
    return clip_recipes(weights, place, open_clip=_is_open_clip(section))


def _is_open_clip(section: Section) -> bool:
    """By the activation, in which the two differ."""
    return section.choice("hidden_act", ("quick_gelu", "gelu"), "quick_gelu") == "gelu"


def _describe(
    folder: Path, index: Index, sections: dict[str, Section], facts: UNetFacts, weights: Weights
) -> Config:
    """The JSON says what shapes cannot tell; all else is told by them."""
    part = "vae" if "vae" in index.parts else "vqvae"
    first_stage = shapes.first_stage(weights, FIRST_STAGE)
    unet = replace(
        shapes.unet(weights),
        num_heads=facts.num_heads,
        num_head_channels=facts.num_head_channels,
        cross_only=facts.cross_only,
    )
    if sections["unet"].values.get("mid_block_type") == _WHOLE_MIDDLE and unet.middle != "attention":
        raise ConfigError("The middle of the UNet is not among its weights; download the folder again.")
    how = sampling(folder)
    mean, std = latent_moments(sections[part], first_stage.embed_dim)
    scale = first_stage_scale(sections[part], index.parts[part], index.pipeline)
    spec = ModelSpec(
        first_stage=first_stage,
        unet=unet,
        conditioners=(),
        schedule=how.schedule,
        parameterization=how.parameterization,
        scale_factor=scale / how.schedule.sigma_data,  # ours has about unit variance
        latent_mean=mean,
        latent_std=std,
        half_first_stage="force_upcast" in sections[part] and not sections[part].flag("force_upcast"),
    )
    spec = replace(spec, conditioners=_conditioners(folder, index, sections, spec, weights))
    check(spec, "model_index.json")
    return Config(spec, _defaults(folder, spec, facts, how))


def _conditioners(
    folder: Path, index: Index, sections: dict[str, Section], spec: ModelSpec, weights: Weights
) -> tuple[Conditioner, ...]:
    if "bert" in index.parts:
        _require_bert(sections["bert"])
    found = shapes.conditioners(weights, spec.first_stage, spec.unet)
    noised = spec.unet.num_noise_levels > 0
    noise = sampling(folder, "low_res_scheduler").schedule if noised else None
    return tuple(
        _with_heads(c, index, sections)
        if isinstance(c, ClipSpec)
        else replace(c, noise=noise)
        if isinstance(c, LowResolutionSpec)
        else c
        for c in found
    )


def _with_heads(clip: ClipSpec, index: Index, sections: dict[str, Section]) -> ClipSpec:
    """Heads as the encoders' JSON says.

    Raises:
        ConfigError: they do not divide the encoder's width.
    """
    used = [sections[part] for part in _TEXT_ENCODERS if part in sections]
    towers = []
    for tower, section in zip(clip.towers, used, strict=True):
        heads = section.whole("num_attention_heads", 1, 1024, tower.heads)
        if tower.dim % heads:
            raise section.wrong("num_attention_heads", f"a divisor of {tower.dim}")
        section.number("layer_norm_eps", 1e-5, 1e-5, 1e-5)
        towers.append(replace(tower, heads=heads))
    return replace(clip, towers=tuple(towers), zero_empty=clip.num_sizes > 0 and index.zero_empty)


def _require_bert(section: Section) -> None:
    """The sizes that are the same in all published ones."""
    section.whole("encoder_attention_heads", 8, 8, 8)
    section.whole("head_dim", 64, 64, 64)
    section.choice("activation_function", ("gelu",), "gelu")


def _defaults(folder: Path, spec: ModelSpec, facts: UNetFacts, how: Sampling) -> Defaults:
    usual = suited(folder.name, {}, spec.guidance_dim > 0, usual_defaults(spec))
    if how.spacing == "trailing" and not usual.reason:
        usual = replace(usual, sampler="euler", spacing="trailing")
    side = facts.sample_size * spec.first_stage.downsampling
    return replace(usual, width=side, height=side) if _MIN_SIDE <= side <= _MAX_SIDE else usual
