"""A configuration beside weights: whether they agree, and what only the weights tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

import torch

from ldm_core.conditioners import Conditioner
from ldm_core.conditioners.base import Found
from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.errors import ConfigError
from ldm_core.facts import Weights
from ldm_core.formats import shapes
from ldm_core.formats.shapes import FIRST_STAGE, HOW, REFINER, UNET
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import AutoencoderSpec, ScheduleSpec


def with_stored_scale(spec: ModelSpec, weights: Weights) -> ModelSpec:
    """The description with the latent's scale from the checkpoint, where the description has none."""
    stored = shapes.scale_factor(weights)
    return replace(spec, scale_factor=stored) if spec.scale_factor is None and stored else spec


def require_agreement(spec: ModelSpec | AutoencoderSpec, weights: Weights) -> None:
    """Compares a configuration with what the shapes tell, before anything of that size is built.

    Raises:
        ConfigError: naming the fact, what the configuration says and what the weights say.
    """
    whole = isinstance(spec, ModelSpec)
    if whole != (f"{UNET}input_blocks.0.0.weight" in weights):
        described, found = ("a whole model", "a first stage") if whole else ("a first stage", "a whole model")
        raise ConfigError(
            f"The configuration describes {described}, but the weights are those of {found} alone."
        )
    if isinstance(spec, AutoencoderSpec):
        _compare("first stage", spec, shapes.first_stage(weights, ""), skip=_FIRST_STAGE_SKIP)
        return
    autoencoder = shapes.first_stage(weights, FIRST_STAGE)
    _compare("first stage", spec.first_stage, autoencoder, skip=_FIRST_STAGE_SKIP)
    _compare("UNet", spec.unet, shapes.unet(weights, spec.unet.patch_size), skip=_UNET_SKIP)
    if spec.refiner is not None:
        second = shapes.unet(weights, spec.refiner.unet.patch_size, REFINER)
        _compare("refiner", spec.refiner.unet, second, skip=_UNET_SKIP)
    for conditioner in spec.conditioners:
        prefix = f"{conditioner.module_name}." if conditioner.module_name else ""
        if not any(name.startswith(prefix) for name in weights):
            raise ConfigError(
                f"The configuration describes a {conditioner.title}, of which the weights have none. {HOW}"
            )
    for ours, theirs in _networks(spec, weights).items():
        _compare(ours.title, ours, theirs, skip=("penultimate",))
    found_schedule = shapes.schedule(weights)
    if found_schedule is not None:
        _compare_schedules(spec.schedule, found_schedule)


# What shapes do not tell, or not in the words of a configuration.
_FIRST_STAGE_SKIP = ("attn_resolutions", "resolution")
_UNET_SKIP = ("attention_resolutions", "num_heads", "num_head_channels")


def with_found_sizes(spec: ModelSpec, weights: Weights) -> ModelSpec:
    """The description with what configurations name but do not give, as found in the weights.

    Raises:
        ConfigError: the configuration names another conditioner than the weights have.
    """
    found = _networks(spec, weights)
    return replace(
        spec, conditioners=tuple(c.completed(found[c]) if c in found else c for c in spec.conditioners)
    )


def _networks(spec: ModelSpec, weights: Weights) -> dict[Conditioner, Conditioner]:
    """Each conditioner that has a network, and what the weights tell of it."""
    found = Found(weights, spec.first_stage, spec.unet, 0)
    recognised = {c: type(c).recognise(found) for c in spec.conditioners if c.module_name}
    return {ours: theirs for ours, theirs in recognised.items() if theirs is not None}


def _compare_schedules(described: ScheduleSpec, found: ScheduleSpec) -> None:
    """Several descriptions can mean the same betas."""
    if described.num_timesteps != found.num_timesteps or not torch.allclose(
        NoiseSchedule(described).alphas_cumprod, NoiseSchedule(found).alphas_cumprod, rtol=1e-2, atol=1e-6
    ):
        _compare("noise schedule", replace(described, betas=()), replace(found, betas=()))
        raise ConfigError(
            f"The configuration does not fit the weights: their noise schedule (betas) is another. {HOW}"
        )


def _compare(part: str, described: object, found: object, skip: Iterable[str] = ()) -> None:
    for field in fields(found):  # type: ignore[arg-type]
        if field.name in skip:
            continue
        ours, theirs = getattr(described, field.name), getattr(found, field.name)
        same = abs(ours - theirs) <= 1e-4 * abs(theirs) if isinstance(theirs, float) else ours == theirs
        if not same:
            raise ConfigError(
                f"The configuration does not fit the weights: the {part}'s {field.name} is {ours} in the "
                f"configuration, but {theirs} in the weights. {HOW}"
            )
