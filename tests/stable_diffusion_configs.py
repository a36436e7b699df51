"""Descriptions of Stable Diffusion models in the schemas that they were published with.

github.com/Stability-AI/stablediffusion and generative-models, configs/.
"""

from __future__ import annotations

from dataclasses import replace

from ldm_core.conditioners import ClipSpec, LowResolutionSpec, MaskedImageSpec
from ldm_core.model_spec import ModelSpec
from tests import tiny

Tree = dict[str, object]
MODULES = "modules.encoders.modules."


def config(spec: ModelSpec) -> Tree:
    """The description of a Stable Diffusion model; its CLIPs are of the published sizes."""
    clip = spec.conditioner(ClipSpec)
    assert clip is not None
    text = replace(tiny.SPEC.conditioners[0], dim=spec.unet.context_dim)  # type: ignore[type-var]
    found = tiny.config(replace(spec, conditioners=(text,)))
    model: Tree = found["model"]  # type: ignore[assignment]
    params: Tree = model["params"]  # type: ignore[assignment]
    unet: Tree = params["unet_config"]["params"]  # type: ignore[index]
    unet |= {"use_linear_in_transformer": spec.unet.linear_projection, "use_checkpoint": True}
    if spec.unet.num_head_channels:
        del unet["num_heads"]
        unet["num_head_channels"] = spec.unet.num_head_channels
    if clip.num_sizes:
        return {"model": _engine(params, unet, clip)}
    open_clip = clip.towers[0].open_clip
    params["cond_stage_config"] = {
        "target": f"ldm.{MODULES}Frozen{'OpenCLIP' if open_clip else 'CLIP'}Embedder",
        "params": {"freeze": True, "layer": "penultimate"} if open_clip else {"freeze": True},
    }
    if spec.conditioner(MaskedImageSpec):
        model["target"] = "ldm.models.diffusion.ddpm.LatentInpaintDiffusion"
        params["conditioning_key"] = "hybrid"
    low_res = spec.conditioner(LowResolutionSpec)
    if low_res and low_res.noise:
        model["target"] = "ldm.models.diffusion.ddpm.LatentUpscaleDiffusion"
        betas = {"linear_start": low_res.noise.linear_start, "linear_end": low_res.noise.linear_end}
        params["conditioning_key"] = "hybrid-adm"
        params["low_scale_config"] = {
            "target": "ldm.modules.diffusionmodules.upscaling.ImageConcatWithNoiseAugmentation",
            "params": {"noise_schedule_config": betas, "max_noise_level": 350},
        }
        levels = [2**level in spec.unet.cross_only for level in range(len(spec.unet.channel_mult))]
        unet |= {"num_classes": spec.unet.num_noise_levels, "disable_self_attentions": levels}
        unet["disable_middle_self_attn"] = False
    return {"model": model}


def _engine(params: Tree, unet: Tree, clip: ClipSpec) -> Tree:
    towers: list[Tree] = []
    for tower in clip.towers:
        of_clip: Tree = {"layer": "hidden", "layer_idx": 11}
        of_open_clip: Tree = {"arch": "ViT-bigG-14", "version": "laion2b_s39b_b160k", "freeze": True}
        of_open_clip |= {"layer": "penultimate", "always_return_pooled": True, "legacy": False}
        name = "FrozenOpenCLIPEmbedder2" if tower.open_clip else "FrozenCLIPEmbedder"
        own = of_open_clip if tower.open_clip else of_clip
        towers.append({"input_key": "txt", "target": f"sgm.{MODULES}{name}", "params": own})
    last = "target_size_as_tuple" if clip.num_sizes == 6 else "aesthetic_score"
    sizes = [
        {
            "is_trainable": False,
            "input_key": key,
            "target": f"sgm.{MODULES}ConcatTimestepEmbedderND",
            "params": {"outdim": 256},
        }
        for key in ("original_size_as_tuple", "crop_coords_top_left", last)
    ]
    levels: list[object] = unet["channel_mult"]  # type: ignore[assignment]
    depth = [1, *[unet["transformer_depth"]] * (len(levels) - 1)]  # the first level has no attention
    unet |= {"num_classes": "sequential", "adm_in_channels": clip.towers[-1].projection_dim}
    unet["adm_in_channels"] += 256 * clip.num_sizes  # type: ignore[operator]
    unet |= {"transformer_depth": depth, "spatial_transformer_attn_type": "softmax-xformers"}
    unet["context_dim"] = [unet["context_dim"]] * len(levels) if clip.num_sizes == 5 else unet["context_dim"]
    del unet["use_spatial_transformer"]
    denoiser = {
        "num_idx": 1000,
        "scaling_config": {"target": "sgm.modules.diffusionmodules.denoiser_scaling.EpsScaling"},
        "discretization_config": {
            "target": "sgm.modules.diffusionmodules.discretizer.LegacyDDPMDiscretization"
        },
    }
    return {
        "target": "sgm.models.diffusion.DiffusionEngine",
        "params": {
            "scale_factor": params["scale_factor"],
            "disable_first_stage_autocast": True,
            "denoiser_config": {
                "target": "sgm.modules.diffusionmodules.denoiser.DiscreteDenoiser",
                "params": denoiser,
            },
            "network_config": {
                "target": "sgm.modules.diffusionmodules.openaimodel.UNetModel",
                "params": unet,
            },
            "conditioner_config": {
                "target": "sgm.modules.GeneralConditioner",
                "params": {"emb_models": [*towers, *sizes]},
            },
            "first_stage_config": params["first_stage_config"],
        },
    }
