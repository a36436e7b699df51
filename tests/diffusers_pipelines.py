"""Small random pipelines of diffusers, one for each family that our folders' reader knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from transformers import (
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from tests.stable_diffusion import SIZE, VOCABULARY

CELLS, SCALE = SIZE // 2, 4.0
BERT_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "an", "old", "lake"]

Pipeline = diffusers.DiffusionPipeline
SD = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def tower(open_clip: bool = False, projection: bool = False) -> CLIPTextModel | CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=64,
        intermediate_size=128,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        hidden_act="gelu" if open_clip else "quick_gelu",
        bos_token_id=len(VOCABULARY) - 2,
        eos_token_id=len(VOCABULARY) - 1,
        initializer_factor=4.0,
    )
    return CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)


def clip_tokenizer(open_clip: bool = False) -> CLIPTokenizer:
    vocabulary = {token: i for i, token in enumerate(VOCABULARY)}
    pad = "!" if open_clip else "<|endoftext|>"
    return CLIPTokenizer(vocab=vocabulary, merges=[("a", "n</w>")], model_max_length=16, pad_token=pad)


def conditional_unet(**changes: Any) -> diffusers.UNet2DConditionModel:
    given: dict[str, Any] = {
        "sample_size": CELLS,
        "layers_per_block": 1,
        "block_out_channels": (64, 128),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 64,
        "attention_head_dim": 8,
    }
    return diffusers.UNet2DConditionModel(**(given | changes))


def plain_unet(in_channels: int, attention_head_dim: int | None = 32) -> diffusers.UNet2DModel:
    return diffusers.UNet2DModel(
        sample_size=CELLS,
        in_channels=in_channels,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=attention_head_dim,
    )


HALF = {
    "block_out_channels": (32, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "layers_per_block": 1,
}


def kl(scaling_factor: float = 0.18215) -> diffusers.AutoencoderKL:
    vae = diffusers.AutoencoderKL(**HALF, latent_channels=4, scaling_factor=scaling_factor)
    with torch.no_grad():  # next to no variance, as diffusers samples the posterior where we take its mean
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -30
    return vae


def vq(scaling_factor: float) -> diffusers.VQModel:
    return diffusers.VQModel(**HALF, latent_channels=3, num_vq_embeddings=64, scaling_factor=scaling_factor)


def ddim(**changes: Any) -> diffusers.DDIMScheduler:
    usual = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    same = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    return diffusers.DDIMScheduler(**(usual | same | changes))


def stable_diffusion(
    kind: type[Pipeline], unet_changes: dict[str, Any], *, open_clip: bool = False, v: bool = False
) -> Pipeline:
    return kind(
        vae=kl(),
        unet=conditional_unet(**unet_changes),
        text_encoder=tower(open_clip),
        tokenizer=clip_tokenizer(open_clip),
        scheduler=ddim(prediction_type="v_prediction" if v else "epsilon"),
        **SD,
    )


def upscaler() -> Pipeline:
    changes = {"in_channels": 7, "num_class_embeds": 1000, "only_cross_attention": (False, True)}
    return diffusers.StableDiffusionUpscalePipeline(
        vae=kl(0.08333),
        unet=conditional_unet(**changes, use_linear_projection=True),
        text_encoder=tower(True),
        tokenizer=clip_tokenizer(True),
        scheduler=ddim(beta_start=0.0001, beta_end=0.02, prediction_type="v_prediction"),
        low_res_scheduler=diffusers.DDPMScheduler(beta_start=0.0002, beta_end=0.02),
        safety_checker=None,
    )


XL = {
    "use_linear_projection": True,
    "attention_head_dim": (1, 2),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
}


def xl(kind: type[Pipeline] = diffusers.StableDiffusionXLPipeline, in_channels: int = 4) -> Pipeline:
    numbers = {
        "in_channels": in_channels,
        "cross_attention_dim": 128,
        "projection_class_embeddings_input_dim": 64 + 6 * 256,
    }
    return kind(
        vae=kl(0.13025),
        unet=conditional_unet(**XL, **numbers, transformer_layers_per_block=(1, 2)),
        text_encoder=tower(),
        text_encoder_2=tower(True, projection=True),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(True),
        scheduler=ddim(),
        add_watermarker=False,
    )


def refiner() -> Pipeline:
    return diffusers.StableDiffusionXLImg2ImgPipeline(
        vae=kl(0.13025),
        unet=conditional_unet(**XL, projection_class_embeddings_input_dim=64 + 5 * 256),
        text_encoder=None,
        text_encoder_2=tower(True, projection=True),
        tokenizer=None,
        tokenizer_2=clip_tokenizer(True),
        scheduler=ddim(),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def text_to_image(folder: Path) -> Pipeline:
    (folder / "vocab.txt").write_text("\n".join(BERT_VOCABULARY))
    config = LDMBertConfig(
        vocab_size=len(BERT_VOCABULARY),
        max_position_embeddings=77,
        encoder_layers=2,
        encoder_ffn_dim=256,
        d_model=64,
        init_std=0.3,
    )
    return diffusers.LDMTextToImagePipeline(
        vqvae=kl(),
        bert=LDMBertModel(config),
        tokenizer=BertTokenizer(str(folder / "vocab.txt")),
        unet=conditional_unet(),
        scheduler=ddim(),
    )


@dataclass(frozen=True)
class Case:
    make: Callable[[Path], Pipeline]
    tasks: frozenset[str]


DRAWS = frozenset({"text-to-image", "unconditional", "inpaint", "image-to-image", "semantic", "layout"})
LARGER = frozenset({"super-resolution"})
WIDE = {"use_linear_projection": True, "attention_head_dim": (1, 2)}
CASES = {
    "sd1": Case(lambda _: stable_diffusion(diffusers.StableDiffusionPipeline, {}), DRAWS),
    "sd1-inpaint": Case(
        lambda _: stable_diffusion(diffusers.StableDiffusionInpaintPipeline, {"in_channels": 9}), DRAWS
    ),
    "sd2-eps": Case(
        lambda _: stable_diffusion(diffusers.StableDiffusionPipeline, WIDE, open_clip=True), DRAWS
    ),
    "sd2-v": Case(
        lambda _: stable_diffusion(diffusers.StableDiffusionPipeline, WIDE, open_clip=True, v=True), DRAWS
    ),
    "sd2-inpaint": Case(
        lambda _: stable_diffusion(
            diffusers.StableDiffusionInpaintPipeline, WIDE | {"in_channels": 9}, open_clip=True
        ),
        DRAWS,
    ),
    "x4-upscaler": Case(lambda _: upscaler(), LARGER),
    "sdxl": Case(lambda _: xl(), DRAWS),
    "sdxl-inpaint": Case(lambda _: xl(diffusers.StableDiffusionXLInpaintPipeline, 9), DRAWS),
    "sdxl-refiner": Case(lambda _: refiner(), DRAWS),
    "ldm-text": Case(text_to_image, DRAWS),
    "ldm-upscale": Case(
        lambda _: diffusers.LDMSuperResolutionPipeline(
            vqvae=vq(0.18215), unet=plain_unet(6), scheduler=ddim()
        ),
        LARGER,
    ),
    "ldm-unconditional": Case(
        lambda _: diffusers.LDMPipeline(vqvae=vq(0.5), unet=plain_unet(3, None), scheduler=ddim()),
        frozenset({"unconditional", "inpaint", "image-to-image"}),
    ),
}


def saved(name: str, folder: Path) -> tuple[Path, Pipeline]:
    """A small random pipeline, and its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sorted(CASES).index(name))
        pipeline = CASES[name].make(folder)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipeline.save_pretrained(folder / name)
    pipeline.set_progress_bar_config(disable=True)
    return folder / name, pipeline
