"""The family that grew from the paper's models: Stable Diffusion 1, 2 and XL, and what belongs to them.

Those for inpainting, XL's refiner and the x4 upscaler are among them.

Hyperparameters: github.com/CompVis/stable-diffusion, configs/; github.com/Stability-AI/stablediffusion,
configs/; github.com/Stability-AI/generative-models, configs/inference/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ldm_core.conditioners import ClipSpec
from ldm_core.conditioners.clip import EMBEDDERS
from ldm_core.conditioners.low_resolution import UPSCALER_SCHEDULE
from ldm_core.errors import ConfigError
from ldm_core.facts import Weights
from ldm_core.formats import shapes
from ldm_core.formats.clip_names import published_recipes
from ldm_core.formats.diffusers_folder import open_folder
from ldm_core.formats.family import Family
from ldm_core.formats.renaming import Recipes
from ldm_core.formats.shapes import UNET
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import Parameterization, ScheduleSpec, UNetSpec

SCHEDULE = ScheduleSpec(num_timesteps=1000, linear_start=0.00085, linear_end=0.012)


@dataclass(frozen=True, slots=True)
class Facts:
    """What shapes do not tell."""

    parameterization: Parameterization
    scale_factor: float = 0.18215
    schedule: ScheduleSpec = SCHEDULE
    num_heads: int | None = None
    num_head_channels: int | None = None
    latent_mean: tuple[float, ...] = ()
    latent_std: tuple[float, ...] = ()


# A text encoder's tensor -> what has it.  The first that fits counts.
_TITLES: tuple[tuple[str, str], ...] = (
    ("conditioner.embedders.1.model.ln_final.weight", "Stable Diffusion XL"),
    ("conditioner.embedders.0.model.ln_final.weight", "Stable Diffusion XL refiner"),
    ("cond_stage_model.transformer.text_model.final_layer_norm.weight", "Stable Diffusion 1"),
    ("cond_stage_model.model.ln_final.weight", "Stable Diffusion 2"),
)
_VARIANTS = {9: " inpainting", 8: " edit", 7: " x4 upscaler", 5: " depth"}  # by channels that go in
_GUIDED = "time_embed.cond_proj.", "time_embedding.cond_proj."  # of UNets that guide themselves
# Above it Stable Diffusion 2 predicts v: the standard deviation of the last attention's first bias.  Found on
# the published models by the authors of ComfyUI.
_V_DEVIATION = 0.09
_EDM_V = (0.002, 120.0)  # sigma of CosXL, where the file does not say
# The latent of Playground 2.5 (its vae/config.json), of four channels.
_PLAYGROUND = (0.002, 80.0, 0.5)  # lowest and highest sigma, and of the data


def _recognise(weights: Weights) -> str:
    if not shapes.is_whole(weights) or not any(n.startswith(EMBEDDERS) for n in published_recipes(weights)):
        return ""
    title = next((title for name, title in _TITLES if name in weights), "Stable Diffusion")
    if "edm_mean" in weights:
        title = title.replace("Stable Diffusion XL", "Playground 2.5")
    if "edm_vpred.sigma_max" in weights:
        title = title.replace("Stable Diffusion XL", "CosXL")
    return title + _VARIANTS.get(shapes.channels_in(weights), "")


def _recipes(weights: Weights) -> Recipes:
    """How our tensors are made of a file's."""
    recipes = published_recipes(weights)
    places = {f"{UNET}{name}weight": f"{UNET}guidance_embed.weight" for name in _GUIDED}
    return {places.get(name, name): recipe for name, recipe in recipes.items()}


def _describe(weights: Weights) -> ModelSpec:
    """Raises ConfigError: it takes what cannot be given, or is incomplete."""
    _require_known(weights)
    first_stage, unet, conditioners = shapes.networks(weights)
    text = next((c for c in conditioners if isinstance(c, ClipSpec)), None)
    if text is None:
        raise shapes.unknown()
    facts = _facts(weights, unet, text)
    return ModelSpec(
        first_stage=first_stage,
        unet=replace(unet, num_heads=facts.num_heads, num_head_channels=facts.num_head_channels),
        conditioners=conditioners,
        schedule=facts.schedule,
        parameterization=facts.parameterization,
        scale_factor=facts.scale_factor,
        latent_mean=facts.latent_mean,
        latent_std=facts.latent_std,
    )


def _require_known(weights: Weights) -> None:
    """Raises ConfigError for kinds that no configuration beside the file could help."""
    kind = {
        5: "a depth model, which is also given a depth map",
        8: "a model for edits by instruction, which is also given a picture",
    }.get(shapes.channels_in(weights), "")
    # Of one text encoder, what joins the embedding of t is a pooled prompt, which needs its projection.
    pooled = any(f"{EMBEDDERS}{i}.model.text_projection.weight" in weights for i in (0, 1))
    if f"{UNET}label_emb.0.0.weight" in weights and not pooled:
        kind = "an unCLIP model, which is also given what CLIP says of a picture"
    if kind:
        raise ConfigError(f"It is {kind}. That is not supported here; look for the plain model of its kind.")


def _facts(weights: Weights, unet: UNetSpec, text: ClipSpec) -> Facts:
    if unet.num_noise_levels:
        return Facts("v", 0.08333, UPSCALER_SCHEDULE, num_heads=8)
    if text.num_sizes:
        return _xl_facts(weights)
    if not text.towers[0].open_clip:
        return Facts("eps", num_heads=8)
    return Facts("v" if unet.in_channels == 4 and _looks_like_v(weights) else "eps", num_head_channels=64)


def _xl_facts(weights: Weights) -> Facts:
    """By the marks that those who trained XL further put among the weights."""
    mean, std = (_numbers(weights, f"edm_{name}") for name in ("mean", "std"))
    if mean and std:
        low, high, of_data = _PLAYGROUND
        schedule = ScheduleSpec(1000, low, high, "edm", sigma_data=of_data)
        return Facts("edm", 1.0, schedule, num_head_channels=64, latent_mean=mean, latent_std=std)
    if "edm_vpred.sigma_max" in weights:
        ends = (_numbers(weights, f"edm_vpred.sigma_{end}") for end in ("min", "max"))
        low, high = (found[0] if found else usual for found, usual in zip(ends, _EDM_V, strict=True))
        return Facts("v", 0.13025, ScheduleSpec(1000, low, high, "edm"), num_head_channels=64)
    v = "v_pred" in weights
    schedule = replace(SCHEDULE, zero_terminal_snr=v and "ztsnr" in weights)
    return Facts("v" if v else "eps", 0.13025, schedule, num_head_channels=64)


def _numbers(weights: Weights, name: str) -> tuple[float, ...]:
    """The values of a small tensor; empty where there is none."""
    tensor = weights.get(name)
    return () if tensor is None or tensor.is_meta else tuple(tensor.double().flatten().tolist())


def _looks_like_v(weights: Weights) -> bool:
    """Of Stable Diffusion 2 without a configuration."""
    norms = {int(match[1]): name for name in weights if (match := _LAST_NORM.fullmatch(name))}
    last = norms[max(norms)] if norms else ""
    bias = weights.get(last)
    return bias is not None and not bias.is_meta and float(bias.double().std(unbiased=False)) > _V_DEVIATION


_LAST_NORM = re.compile(rf"{re.escape(UNET)}output_blocks\.(\d+)\.1\.transformer_blocks\.0\.norm1\.bias")


STABLE_DIFFUSION = Family(
    "Stable Diffusion",
    _recognise,
    _recipes,
    _describe,
    pipelines={
        "StableDiffusionPipeline": "Stable Diffusion",
        "LatentConsistencyModelPipeline": "Stable Diffusion, consistency-distilled",
        "StableDiffusionImg2ImgPipeline": "Stable Diffusion",
        "StableDiffusionInpaintPipeline": "Stable Diffusion inpainting",
        "StableDiffusionUpscalePipeline": "Stable Diffusion x4 upscaler",
        "StableDiffusionXLPipeline": "Stable Diffusion XL",
        "StableDiffusionXLImg2ImgPipeline": "Stable Diffusion XL refiner",
        "StableDiffusionXLInpaintPipeline": "Stable Diffusion XL inpainting",
    },
    open_folder=open_folder,
)
