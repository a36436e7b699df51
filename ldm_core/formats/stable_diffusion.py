"""The family that grew from the paper's models, told by shapes: Stable Diffusion 1, 2 and XL.

Hyperparameters: github.com/CompVis/stable-diffusion, configs/; github.com/Stability-AI/stablediffusion,
configs/; github.com/Stability-AI/generative-models, configs/inference/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldm_core.errors import ConfigError
from ldm_core.facts import Shapes, Weights
from ldm_core.formats.clip_names import EMBEDDERS
from ldm_core.spec import (
    AutoencoderSpec,
    ClipSpec,
    ClipTower,
    ConditionerSpec,
    LowResolutionSpec,
    MaskedImageSpec,
    ModelSpec,
    Parameterization,
    ScheduleSpec,
    UNetSpec,
)

_HEAD_DIM = 64  # of CLIP, OpenAI's and OpenCLIP's, at all sizes
_SIZE_CHANNELS = 256  # of the sinusoids that each number of the size conditioning becomes

SCHEDULE = ScheduleSpec(num_timesteps=1000, linear_start=0.00085, linear_end=0.012)
UPSCALER_SCHEDULE = ScheduleSpec(num_timesteps=1000, linear_start=0.0001, linear_end=0.02)


@dataclass(frozen=True, slots=True)
class Facts:
    """What shapes do not tell.  `parameterization` None: eps and v look the same."""

    parameterization: Parameterization | None
    scale_factor: float = 0.18215
    schedule: ScheduleSpec = SCHEDULE
    num_heads: int | None = None
    num_head_channels: int | None = None


def clip(weights: Weights, unet: UNetSpec) -> ClipSpec | None:
    """The text encoders, or None where the model has none of CLIP's.

    Raises:
        ConfigError: their shapes contradict each other.
    """
    prefix = Shapes(weights, EMBEDDERS)
    towers = tuple(_tower(weights, i) for i in range(prefix.count("")))
    if not towers:
        return None
    num_sizes = (unet.vector_dim - towers[-1].projection_dim) // _SIZE_CHANNELS if unet.vector_dim else 0
    if not num_sizes:
        towers = tuple(replace(tower, projection_dim=0) for tower in towers)
    else:  # only the last one's pooled prompt is used
        towers = (*(replace(tower, projection_dim=0) for tower in towers[:-1]), towers[-1])
    return ClipSpec(
        towers,
        penultimate=num_sizes > 0,
        num_sizes=max(num_sizes, 0),
        zero_empty=num_sizes > 0 and len(towers) > 1,
    )


def _tower(weights: Weights, index: int) -> ClipTower:
    open_clip = any(name.startswith(f"{EMBEDDERS}{index}.model.") for name in weights)
    shape = Shapes(weights, f"{EMBEDDERS}{index}.{'model' if open_clip else 'transformer'}.")
    vocab_size, dim = shape.of("text_model.embeddings.token_embedding.weight")
    projection = "text_projection.weight"
    return ClipTower(
        dim=dim,
        depth=shape.count("text_model.encoder.layers"),
        heads=max(dim // _HEAD_DIM, 1),
        hidden_dim=shape.of("text_model.encoder.layers.0.mlp.fc1.weight")[0],
        vocab_size=vocab_size,
        max_length=shape.of("text_model.embeddings.position_embedding.weight")[0],
        open_clip=open_clip,
        projection_dim=shape.of(projection)[0] if projection in shape else 0,
    )


def beside(
    first_stage: AutoencoderSpec, unet: UNetSpec, noise: ScheduleSpec | None = None
) -> tuple[ConditionerSpec, ...]:
    """What is concatenated to the latent.

    Args:
        noise: of the upscaler's small picture; None is the published one's.

    Raises:
        ConfigError: nothing that is known.
    """
    channels = unet.in_channels - first_stage.embed_dim
    if channels == first_stage.embed_dim + 1:
        return (MaskedImageSpec(mask_first=True),)
    if channels == 3 and unet.num_noise_levels:
        return (LowResolutionSpec(noise=noise or UPSCALER_SCHEDULE),)
    if channels:
        raise ConfigError(
            f"The UNet takes {channels} channels beside the latent; of Stable Diffusion only inpainting "
            "models and the x4 upscaler can be used, so choose another model."
        )
    return ()


def model(weights: Weights, first_stage: AutoencoderSpec, unet: UNetSpec, text: ClipSpec) -> ModelSpec:
    """The description of a single file.

    Raises:
        ConfigError: whether it predicts eps or v cannot be told, or it takes what cannot be given.
    """
    facts = _facts(weights, unet, text)
    if facts.parameterization is None:
        raise ConfigError(
            "Stable Diffusion 2 predicts eps or v, which its weights do not tell. Put the model's "
            "config.yaml beside the file; its line `parameterization: v` is what counts."
        )
    return ModelSpec(
        first_stage=first_stage,
        unet=replace(unet, num_heads=facts.num_heads, num_head_channels=facts.num_head_channels),
        conditioners=(text, *beside(first_stage, unet)),
        schedule=facts.schedule,
        parameterization=facts.parameterization,
        scale_factor=facts.scale_factor,
    )


def _facts(weights: Weights, unet: UNetSpec, text: ClipSpec) -> Facts:
    if unet.num_noise_levels:
        return Facts("v", 0.08333, UPSCALER_SCHEDULE, num_heads=8)
    if text.num_sizes:
        # Marks that those who trained XL further put among the weights.
        v = "v_pred" in weights
        schedule = replace(SCHEDULE, zero_terminal_snr=v and "ztsnr" in weights)
        return Facts("v" if v else "eps", 0.13025, schedule, num_head_channels=64)
    if not text.towers[0].open_clip:
        return Facts("eps", num_heads=8)
    known: Parameterization | None = "eps" if unet.in_channels == 9 else None
    return Facts(known, num_head_channels=64)


def with_found_towers(spec: ModelSpec, weights: Weights) -> ModelSpec:
    """The description with the sizes of CLIP as found, which configurations name but do not give.

    Raises:
        ConfigError: the configuration names other text encoders than the weights have.
    """
    described, found = spec.conditioner(ClipSpec), clip(weights, spec.unet)
    if described is None or found is None:
        return spec
    ours, theirs = (["OpenCLIP" if t.open_clip else "CLIP" for t in c.towers] for c in (described, found))
    if (ours, described.num_sizes) != (theirs, found.num_sizes):
        raise ConfigError(
            f"The configuration does not fit the weights: it has {' and '.join(ours)} with "
            f"{described.num_sizes} numbers on the size, the weights {' and '.join(theirs)} with "
            f"{found.num_sizes}. Put the model's own config.yaml beside the file."
        )
    conditioners = tuple(found if one is described else one for one in spec.conditioners)
    return replace(spec, conditioners=conditioners)
