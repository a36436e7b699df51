"""A tiny random model in the bundled layout, for tests: five steps at 64 x 64 take a fraction of a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from ldm_core.conditioners import (
    BoxMapSpec,
    ClassSpec,
    KnownRegionSpec,
    LabelBitsSpec,
    LabelMapSpec,
    LayoutSpec,
    LowResolutionSpec,
    MaskedImageSpec,
    TextSpec,
)
from ldm_core.engine.sample import noise_of
from ldm_core.library.class_names import class_names
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.spec import AutoencoderSpec, ScheduleSpec, UNetSpec

WORDS = (
    "a",
    "the",
    "lake",
    "mountain",
    "sunset",
    "noon",
    "snow",
    "trees",
    "over",
    "at",
    ",",
    "sun",
    "##s",
    "##et",
)
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS)

SPEC = ModelSpec(
    first_stage=AutoencoderSpec(
        in_channels=3,
        out_channels=3,
        channels=32,
        channel_mult=(1, 1),
        num_res_blocks=1,
        attn_resolutions=(),
        resolution=64,
        z_channels=4,
        embed_dim=4,
        patch_size=4,
    ),
    unet=UNetSpec(
        in_channels=4,
        out_channels=4,
        model_channels=32,
        channel_mult=(1, 2),
        num_res_blocks=1,
        attention_resolutions=(2,),
        context_dim=32,
        num_heads=2,
    ),
    conditioners=(TextSpec(dim=32, depth=1, vocab_size=len(VOCABULARY), max_length=16),),
    schedule=ScheduleSpec(num_timesteps=1000, linear_start=0.00085, linear_end=0.012),
    parameterization="v",
    scale_factor=0.5,
)
"""Pictures are multiples of 16 pixels, latents are 8 times smaller and have 4 channels."""

UPSCALER = replace(
    SPEC, unet=replace(SPEC.unet, in_channels=7, context_dim=0), conditioners=(LowResolutionSpec(),)
)

EVERYTHING = replace(
    SPEC,
    unet=replace(SPEC.unet, in_channels=12, out_channels=9),
    conditioners=(
        *SPEC.conditioners,
        BoxMapSpec(("sun", "moon", "house")),
        LabelBitsSpec(class_names("scenes"), 1.0),
    ),
    class_prompts=(("sunset", "a lake at sunset"), ("snow", "snow over trees")),
)
"""It serves all tabs but that of the upscaler."""


def weights(seed: int = 0, spec: ModelSpec = SPEC) -> dict[str, Tensor]:
    """Random weights under the published names; none is zero, so prompts and timesteps matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LatentDiffusion(spec)
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
            if name.endswith(("token_emb.weight", "to_v.weight")):
                torch.nn.init.normal_(parameter, std=1.0)
    return {name: tensor.half() for name, tensor in model.state_dict().items()}


def write_model(folder: Path, seed: int = 0, *, name: str = "landscapes", spec: ModelSpec = SPEC) -> Path:
    """Writes `folder/name/` with model.safetensors, config.yaml and vocab.txt; returns `folder/name`.

    `ModelLibrary([folder])` then offers it as `name`.
    """
    target = folder / name
    target.mkdir(parents=True)
    save_file(weights(seed, spec), target / "model.safetensors")
    (target / "config.yaml").write_text(yaml.safe_dump(config(spec)), "utf-8")
    (target / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    return target


def write_models_for_everything(folder: Path) -> Path:
    """A model for each of the page's tabs; returns the folder."""
    write_model(folder, spec=EVERYTHING)
    write_model(folder, name="upscaler", spec=UPSCALER)
    return folder


def write_broken_model(folder: Path, *, name: str = "broken") -> Path:
    """As `write_model`, but the weights are so large, if finite, that the network answers NaN."""
    target = write_model(folder, name=name)
    state = weights()
    for key, tensor in state.items():
        if key.startswith("model.diffusion_model."):
            state[key] = tensor.sign() * 60_000
    save_file(state, target / "model.safetensors")
    return target


def config(spec: ModelSpec = SPEC) -> dict[str, object]:
    """The model's description in the published schema, with our `atelier` section."""
    first_stage, unet, schedule = spec.first_stage, spec.unet, spec.schedule
    return {
        "model": {
            "target": "ldm.models.diffusion.ddpm.LatentDiffusion",
            "params": {
                "linear_start": schedule.linear_start,
                "linear_end": schedule.linear_end,
                "timesteps": schedule.num_timesteps,
                "zero_terminal_snr": schedule.zero_terminal_snr,
                "parameterization": spec.parameterization,
                "image_size": 8,
                "channels": unet.in_channels,
                "cond_stage_key": "caption",
                **_conditioners(spec),
                "scale_factor": spec.scale_factor,
                "use_ema": False,
                "unet_config": _unet(unet),
                **(
                    {"refiner": {"below": spec.refiner.below, "unet_config": _unet(spec.refiner.unet)}}
                    if spec.refiner
                    else {}
                ),
                "first_stage_config": {
                    "target": "ldm.models.autoencoder.AutoencoderKL",
                    "params": {
                        "embed_dim": first_stage.embed_dim,
                        "ddconfig": {
                            "double_z": True,
                            "z_channels": first_stage.z_channels,
                            "resolution": first_stage.resolution,
                            "in_channels": first_stage.in_channels,
                            "out_ch": first_stage.out_channels,
                            "ch": first_stage.channels,
                            "ch_mult": list(first_stage.channel_mult),
                            "num_res_blocks": first_stage.num_res_blocks,
                            "attn_resolutions": list(first_stage.attn_resolutions),
                            "dropout": 0.0,
                            "patch_size": first_stage.patch_size,
                        },
                    },
                },
            },
        },
        "atelier": {
            "title": "Tiny",
            "width": 64,
            "height": 64,
            "steps": 5,
            "guidance_scale": 2.0,
            "spacing": "trailing",
            "licence": "MIT",
            "description": "Random weights for tests.",
            **({"classes": dict(spec.class_prompts)} if spec.class_prompts else {}),
        },
    }


def _unet(unet: UNetSpec) -> dict[str, object]:
    return {
        "target": "ldm.modules.diffusionmodules.openaimodel.UNetModel",
        "params": {
            "image_size": 8,
            "in_channels": unet.in_channels,
            "out_channels": unet.out_channels,
            "model_channels": unet.model_channels,
            "attention_resolutions": list(unet.attention_resolutions),
            "num_res_blocks": unet.num_res_blocks,
            "channel_mult": list(unet.channel_mult),
            "num_heads": unet.num_heads,
            **(
                {
                    "use_spatial_transformer": True,
                    "transformer_depth": unet.transformer_depth,
                    "context_dim": unet.context_dim,
                }
                if unet.context_dim
                else {}
            ),
            "legacy": False,
        },
    }


def _conditioners(spec: ModelSpec) -> dict[str, object]:
    """The parts of the description that say what the model is given."""
    modules = "ldm.modules.encoders.modules"
    entries: list[object] = []
    stage: object = "__is_unconditional__"
    for one in spec.conditioners:
        match one:
            case TextSpec() | LayoutSpec():
                names = {"n_embed": one.dim, "n_layer": one.depth, "vocab_size": one.vocab_size}
                params = {**names, "max_seq_len": one.max_length}
                if isinstance(one, LayoutSpec):
                    params["use_tokenizer"] = False
                stage = {"target": f"{modules}.BERTEmbedder", "params": params}
            case ClassSpec():
                params = {"embed_dim": one.dim, "n_classes": one.num_classes}
                stage = {"target": f"{modules}.ClassEmbedder", "params": params}
            case LabelMapSpec() if one.channels:
                params = {"n_stages": one.halvings, "in_channels": one.num_classes}
                stage = {
                    "target": f"{modules}.SpatialRescaler",
                    "params": {**params, "out_channels": one.channels},
                }
            case LowResolutionSpec():
                stage = {"target": "torch.nn.Identity", "params": {}}
            case MaskedImageSpec():
                stage = "__is_first_stage__"
            case KnownRegionSpec():
                entries.append("known_region")
            case LabelMapSpec():
                entries.append({"label_map": list(one.classes)})
            case BoxMapSpec():
                entries.append({"box_map": list(one.classes)})
    across = any(one.way == "crossattn" for one in spec.conditioners)
    beside = any(one.way == "concat" for one in spec.conditioners)
    key = "hybrid" if across and beside else "concat" if beside else "crossattn"
    parts: dict[str, object] = {"conditioning_key": key, "cond_stage_config": stage}
    if entries:
        parts["concat_conditions"] = entries
    bits = spec.conditioner(LabelBitsSpec)
    if bits is not None:
        parts["label_bits"] = {"classes": list(bits.classes), "scale": bits.scale}
    return parts


def initial_noise(seeds: list[int], shape: tuple[int, int, int]) -> torch.Tensor:
    """x_T (b, c, h, w), as the engine draws it."""
    return torch.cat([noise_of(seed, shape, torch.device("cpu"))() for seed in seeds])
