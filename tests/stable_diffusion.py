"""Small models of the Stable Diffusion family: as published files, and in diffusers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from ldm_core.conditioners import ClipSpec, Inputs, LowResolutionSpec, MaskedImageSpec
from ldm_core.formats.families.stable_diffusion import SCHEDULE, UPSCALER_SCHEDULE
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import ClipTower
from tests import tiny

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["!", *LETTERS, *(f"{c}</w>" for c in LETTERS), "an</w>", "<|startoftext|>", "<|endoftext|>"]
SIZE, STEPS, SCALE = 16, 4, 5.0  # pixels; two to a cell of the latent
PROMPT = "an old lake"


def tower(*, open_clip: bool, projection_dim: int = 0) -> ClipTower:
    return ClipTower(64, 2, 1, 128, len(VOCABULARY), 16, open_clip, projection_dim)


def spec_of(text: ClipSpec, beside: tuple[MaskedImageSpec | LowResolutionSpec, ...] = ()) -> ModelSpec:
    first_stage = replace(tiny.SPEC.first_stage, patch_size=1, resolution=256)
    is_xl, upscales = text.num_sizes > 0, isinstance(next(iter(beside), None), LowResolutionSpec)
    by_width = text.towers[0].open_clip or is_xl
    unet = replace(
        tiny.SPEC.unet,
        in_channels=4 + (3 if upscales else 5 if beside else 0),
        model_channels=64,
        context_dim=text.dim,
        num_heads=None if by_width and not upscales else 8,
        num_head_channels=64 if by_width and not upscales else None,
        linear_projection=by_width,
        transformer_depth=2 if is_xl else 1,
        vector_dim=text.towers[-1].projection_dim + 256 * text.num_sizes if is_xl else 0,
        num_noise_levels=1000 if upscales else 0,
        cross_only=(2,) if upscales else (),
    )
    schedule = UPSCALER_SCHEDULE if upscales else SCHEDULE
    scale = 0.13025 if is_xl else 0.08333 if upscales else 0.18215
    return ModelSpec(first_stage, unet, (text, *beside), schedule, "v" if upscales else "eps", scale)


SD1 = spec_of(ClipSpec((tower(open_clip=False),)))
SD1_INPAINT = spec_of(SD1.conditioners[:1][0], (MaskedImageSpec(mask_first=True),))  # type: ignore[arg-type]
SD2_EPS = spec_of(ClipSpec((tower(open_clip=True),)))
SD2_INPAINT = spec_of(ClipSpec((tower(open_clip=True),)), (MaskedImageSpec(mask_first=True),))
SD2_V = replace(SD2_EPS, parameterization="v")
UPSCALER = spec_of(ClipSpec((tower(open_clip=True),)), (LowResolutionSpec(noise=UPSCALER_SCHEDULE),))
SDXL = spec_of(
    ClipSpec(
        (tower(open_clip=False), tower(open_clip=True, projection_dim=64)),
        penultimate=True,
        num_sizes=6,
        zero_empty=True,
    )
)

SDXL_INPAINT = spec_of(SDXL.conditioners[0], (MaskedImageSpec(mask_first=True),))  # type: ignore[arg-type]
REFINER = spec_of(ClipSpec((tower(open_clip=True, projection_dim=64),), penultimate=True, num_sizes=5))


def published(weights: dict[str, Tensor], spec: ModelSpec) -> dict[str, Tensor]:
    """Our tensors under the names, and cut in the way, of the published single files."""
    is_xl = spec.unet.vector_dim > 0
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        match = re.fullmatch(r"cond_stage_model\.embedders\.(\d)\.(transformer|model)\.(.+)", name)
        if match is None:
            found[name] = tensor
            continue
        prefix = f"conditioner.embedders.{match[1]}." if is_xl else "cond_stage_model."
        if match[2] == "transformer":
            found[f"{prefix}transformer.{match[3]}"] = tensor
        else:
            found[f"{prefix}model.{match[3]}"] = tensor
    for name in [name for name in found if re.search(r"\.model\.text_(?!.*[kv]_proj\.)", name)]:
        _to_open_clip(found, name)
    if spec.conditioners[0].towers[0].open_clip and not is_xl:  # type: ignore[union-attr]
        block = "cond_stage_model.model.transformer.resblocks."
        last = {n.replace(".1.", ".2.", 1): t + 1 for n, t in found.items() if n.startswith(f"{block}1.")}
        found |= {**last, "cond_stage_model.model.text_projection": torch.zeros(64, 64)}
    return found


def _to_open_clip(found: dict[str, Tensor], name: str) -> None:
    if "q_proj" in name:
        parts = [found.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        tensor, name = torch.cat(parts), re.sub(r"self_attn\.q_proj\.", "attn.in_proj_", name)
    else:
        tensor = found.pop(name)
    for ours, theirs in (
        ("text_model.encoder.layers.", "transformer.resblocks."),
        ("text_model.embeddings.token_embedding", "token_embedding"),
        ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        ("text_model.final_layer_norm", "ln_final"),
        ("layer_norm", "ln_"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        ("self_attn.out_proj", "attn.out_proj"),
    ):
        name = name.replace(ours, theirs)
    if name.endswith("text_projection.weight"):
        name, tensor = name.removesuffix(".weight"), tensor.T
    found[name] = tensor.contiguous()


def write(
    folder: Path, spec: ModelSpec, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Path, dict[str, Tensor]]:
    weights = {name: tensor.float() for name, tensor in tiny.weights(seed, spec).items()}
    folder.mkdir(exist_ok=True)
    # The posterior has next to no variance, as diffusers samples it where we take its mean.
    weights["first_stage_model.quant_conv.weight"][4:] = 0
    weights["first_stage_model.quant_conv.bias"][4:] = -30
    state = {name: tensor.to(dtype) for name, tensor in published(weights, spec).items()}
    save_file(state, folder / "model.safetensors")
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(VOCABULARY)}), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\na n</w>\n", "utf-8")
    return folder / "model.safetensors", published(weights, spec)


@dataclass(frozen=True)
class Reference:
    """The same weights in diffusers."""

    state: dict[str, Tensor]
    spec: ModelSpec

    def unet(self) -> UNet2DConditionModel:
        spec = self.spec.unet
        unet = UNet2DConditionModel(
            sample_size=SIZE // 2,
            in_channels=spec.in_channels,
            layers_per_block=1,
            block_out_channels=(64, 128),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=spec.context_dim,
            attention_head_dim=8 if spec.num_heads else (1, 2),
            use_linear_projection=spec.linear_projection,
            transformer_layers_per_block=spec.transformer_depth,
            only_cross_attention=(False, 2 in spec.cross_only),
            num_class_embeds=spec.num_noise_levels or None,
            addition_embed_type="text_time" if spec.vector_dim else None,
            addition_time_embed_dim=256 if spec.vector_dim else None,
            projection_class_embeddings_input_dim=spec.vector_dim or None,
        )
        unet.load_state_dict(convert_ldm_unet_checkpoint(dict(self.state), unet.config))
        return unet.eval()

    def vae(self) -> AutoencoderKL:
        vae = AutoencoderKL(
            block_out_channels=(32, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            scaling_factor=self.spec.scale_factor,
        )
        vae.load_state_dict(convert_ldm_vae_checkpoint(dict(self.state), vae.config))
        return vae.eval()

    @torch.inference_mode()
    def text(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids (b, towers, n) -> context, pooled prompt."""
        clip = self.spec.conditioner(ClipSpec)
        assert clip is not None
        tokens = []
        for i, one in enumerate(clip.towers):
            prefix = f"conditioner.embedders.{i}." if clip.num_sizes else "cond_stage_model."
            model = CLIPTextModelWithProjection(
                CLIPTextConfig(
                    vocab_size=one.vocab_size,
                    hidden_size=64,
                    intermediate_size=128,
                    projection_dim=64,
                    num_hidden_layers=one.depth,
                    num_attention_heads=1,
                    max_position_embeddings=16,
                    hidden_act="gelu" if one.open_clip else "quick_gelu",
                    eos_token_id=len(VOCABULARY) - 1,
                )
            ).eval()
            if one.open_clip:
                state = convert_open_clip_checkpoint(model, self.state, f"{prefix}model.")
                state = {k: v for k, v in state.items() if f"layers.{one.depth}." not in k}
            else:
                start = f"{prefix}transformer."
                state = {k.removeprefix(start): v for k, v in self.state.items() if k.startswith(start)}
            assert not model.load_state_dict(state, strict=False).unexpected_keys
            out = model(ids[:, i], output_hidden_states=True)
            tokens.append(out.hidden_states[-2] if clip.penultimate else out.last_hidden_state)
        return torch.cat(tokens, -1), out.text_embeds

    def scheduler(self) -> DDIMScheduler:
        schedule = self.spec.schedule
        return DDIMScheduler(
            beta_start=schedule.linear_start,
            beta_end=schedule.linear_end,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type="v_prediction" if self.spec.parameterization == "v" else "epsilon",
        )

    def picture(self, ids: Tensor, latents: Tensor, given: Inputs) -> Tensor:
        """What diffusers' own pipeline makes, (1, 3, H, W) in [-1, 1]."""
        tokens, pooled = self.text(ids)
        common = {"vae": self.vae(), "unet": self.unet(), "scheduler": self.scheduler()}
        common |= {"text_encoder": None, "tokenizer": None}
        call = {"prompt_embeds": tokens[:1], "negative_prompt_embeds": tokens[1:], "latents": latents}
        call |= {"num_inference_steps": STEPS, "guidance_scale": SCALE, "output_type": "pt"}
        plain = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        size = {"height": SIZE, "width": SIZE}
        if self.spec.unet.vector_dim:
            common |= {"text_encoder_2": None, "tokenizer_2": None, "add_watermarker": False}
            call |= {"pooled_prompt_embeds": pooled[:1], "negative_pooled_prompt_embeds": pooled[1:]}
        if self.spec == REFINER:  # goes on from latents, at nearly all of the noise
            pipeline = StableDiffusionXLImg2ImgPipeline(**common, requires_aesthetics_score=True)
            call |= {"image": call.pop("latents"), "denoising_start": 0.001, "target_size": (SIZE, SIZE)}
            call |= {"original_size": (SIZE, SIZE), "aesthetic_score": 6.0, "negative_aesthetic_score": 2.5}
        elif self.spec.unet.vector_dim:
            if given.image is None or given.mask is None:
                pipeline = StableDiffusionXLPipeline(**common)
            else:
                pipeline = StableDiffusionXLInpaintPipeline(**common)
                call |= {"image": given.image[None], "mask_image": given.mask[None], "strength": 1.0}
            call |= size
            call |= {
                "negative_prompt_embeds": 0 * tokens[:1],
                "negative_pooled_prompt_embeds": 0 * pooled[:1],
            }
        elif given.low_res is not None:
            noises = DDPMScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear")
            pipeline = StableDiffusionUpscalePipeline(**common, low_res_scheduler=noises)
            call |= {"image": given.low_res[None], "noise_level": given.noise_level}
            call |= {"generator": torch.Generator().manual_seed(1)}
        elif given.image is not None and given.mask is not None:
            pipeline = StableDiffusionInpaintPipeline(**common, **plain)
            call |= {"image": given.image[None], "mask_image": given.mask[None], "strength": 1.0, **size}
        else:
            pipeline = StableDiffusionPipeline(**common, **plain)
            call |= size
        pipeline.set_progress_bar_config(disable=True)
        with torch.inference_mode():
            return pipeline(**call).images * 2 - 1


CASES = {
    "sd1": SD1,
    "sd1-inpaint": SD1_INPAINT,
    "sd2-eps": SD2_EPS,
    "sd2-v": SD2_V,
    "sd2-inpaint": SD2_INPAINT,
    "x4-upscaler": UPSCALER,
    "sdxl": SDXL,
    "sdxl-inpaint": SDXL_INPAINT,
    "sdxl-refiner": REFINER,
}
