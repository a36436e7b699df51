"""UNets of other shapes, and models trained otherwise, beside diffusers' pipelines of the same weights.

Each as a folder, and as a single file in the layout that was published.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from ldm_core.conditioners import Inputs
from ldm_core.engine.sample import sample
from ldm_core.formats import load_model
from ldm_core.formats.identify import describe, identify
from ldm_core.formats.opening import open_model
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from tests.diffusers_pipelines import XL, clip_tokenizer, conditional_unet, ddim, kl, stable_diffusion, tower
from tests.stable_diffusion import PROMPT, SIZE, VOCABULARY, published
from tests.tiny import initial_noise

STEPS, SCALE = 4, 5.0
WHOLE = {"block_out_channels": (64, 64, 128), "layers_per_block": 2}
XL_WHOLE = {
    **WHOLE,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (1, 1, 2),
}
SHAPES = {
    "ssd-1b": XL_WHOLE
    | {
        "transformer_layers_per_block": [[0, 0], [2, 2], [4, 4]],
        "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], [0, 0, 0]],
        "mid_block_type": "UNetMidBlock2D",
    },
    "vega": XL_WHOLE
    | {
        "transformer_layers_per_block": [0, 1, 2],
        "reverse_transformer_layers_per_block": [2, 1, 0],
        "mid_block_type": "UNetMidBlock2D",
    },
    "koala": XL_WHOLE
    | {"layers_per_block": 1, "transformer_layers_per_block": [0, 2, 5], "mid_block_type": None},
    "bk-sdm": {"mid_block_type": None},
    "lcm": {"time_cond_proj_dim": 256},
}


def one_head(encoder: CLIPTextModel | CLIPTextModelWithProjection) -> object:
    """The same kind of encoder with heads as wide as in single files, which do not tell."""
    config = encoder.config
    config.num_attention_heads = 1
    return type(encoder)(config)


def xl(
    scheduler: object, unet: dict[str, object], vae: diffusers.AutoencoderKL
) -> diffusers.DiffusionPipeline:
    return diffusers.StableDiffusionXLPipeline(
        vae=vae,
        unet=conditional_unet(
            **XL | {"cross_attention_dim": 128, "projection_class_embeddings_input_dim": 64 + 6 * 256} | unet
        ),
        text_encoder=one_head(tower()),
        text_encoder_2=one_head(tower(True, projection=True)),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(True),
        scheduler=scheduler,
        add_watermarker=False,
    )


def playground_vae() -> diffusers.AutoencoderKL:
    vae = kl(0.5)
    vae.register_to_config(latents_mean=[-1.6, 1.9, -1.4, 2.5], latents_std=[8.5, 5.9, 6.5, 5.2])
    return vae


def edm(**changes: object) -> diffusers.EDMEulerScheduler:
    usual = {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5, "prediction_type": "epsilon"}
    return diffusers.EDMEulerScheduler(**usual | changes)


def pipeline(name: str) -> diffusers.DiffusionPipeline:
    match name:
        case "ssd-1b" | "vega" | "koala":
            return xl(ddim(), SHAPES[name], kl(0.13025))
        case "playground":
            return xl(edm(), {"transformer_layers_per_block": (1, 2)}, playground_vae())
        case "cosxl":
            scheduler = edm(sigma_max=120.0, sigma_data=1.0, prediction_type="v_prediction")
            return xl(scheduler, {"transformer_layers_per_block": (1, 2)}, kl(0.13025))
    made = stable_diffusion(diffusers.StableDiffusionPipeline, SHAPES[name])
    made.text_encoder = one_head(made.text_encoder)
    return made


CASES = (*SHAPES, "playground", "cosxl")
BESIDE = {  # what tells of the training, in a single file
    "playground": {
        "edm_mean": torch.tensor([-1.6, 1.9, -1.4, 2.5]),
        "edm_std": torch.tensor([8.5, 5.9, 6.5, 5.2]),
    },
    "cosxl": {"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.002)},
}


def saved(name: str, folder: Path) -> tuple[Path, diffusers.DiffusionPipeline]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(CASES.index(name))
        made = pipeline(name)
    if name == "lcm":  # diffusers starts it at zero
        with torch.no_grad():
            made.unet.time_embedding.cond_proj.weight.normal_(std=0.1)
    made.save_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return folder, made


def as_single_file(folder: Path, name: str, target: Path) -> Path:
    target.mkdir()
    with ExitStack() as stack:
        opened = open_model(folder, stack)
        tensors = dict(opened.tensors.read(opened.tensors.shapes))
    spec = opened.config.spec
    assert isinstance(spec, ModelSpec)
    state = published(tensors, spec)
    guided = "model.diffusion_model.guidance_embed.weight"
    if guided in state:
        state["model.diffusion_model.time_embed.cond_proj.weight"] = state.pop(guided)
    (target / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(VOCABULARY)}), "utf-8")
    (target / "merges.txt").write_text("#version: 0.2\na n</w>\n", "utf-8")
    save_file(
        {n: t.contiguous() for n, t in (state | BESIDE.get(name, {})).items()}, target / "one.safetensors"
    )
    return target / "one.safetensors"


def ours(path: Path) -> Tensor:
    model = load_model(path)
    assert isinstance(model, LatentDiffusion)
    is_edm = model.spec.schedule.kind == "edm"
    z = sample(
        model,
        [Inputs(prompt=PROMPT)],
        height=SIZE,
        width=SIZE,
        steps=STEPS,
        guidance=SCALE,
        seeds=[0],
        sampler="euler" if is_edm else "ddim",
        spacing="karras" if is_edm else "uniform",
    )
    return model.decode(z).clamp(-1, 1)


@pytest.mark.parametrize("name", CASES)
def test_it_is_listed_loads_and_makes_the_picture_that_diffusers_makes(name: str, tmp_path: Path) -> None:
    folder, reference = saved(name, tmp_path / "folder")
    told = identify(folder)
    assert not told.problem and "text-to-image" in told.tasks
    cells = reference.unet.config.sample_size
    call = {"prompt": PROMPT, "num_inference_steps": STEPS, "guidance_scale": SCALE, "output_type": "pt"}
    call |= {"height": SIZE, "width": SIZE, "latents": initial_noise([0], (4, cells, cells))}
    with torch.inference_mode():
        expected = reference(**call).images * 2 - 1
    error = (ours(folder) - expected).abs().max().item()
    file = as_single_file(folder, name, tmp_path / "file")
    assert not identify(file).problem
    mine, theirs = describe(file).spec, describe(folder).spec
    assert isinstance(mine, ModelSpec) and isinstance(theirs, ModelSpec)
    heads = {"num_heads": mine.unet.num_heads, "num_head_channels": mine.unet.num_head_channels}
    assert mine.unet == replace(theirs.unet, **heads)
    again = (ours(file) - expected).abs().max().item()
    print(f"{name}: folder {error:.1e}, file {again:.1e}")
    assert expected.std() > 0.01 and error < 2 / 255 and again < 2 / 255
