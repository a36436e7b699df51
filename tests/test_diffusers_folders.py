"""Folders in the layout of diffusers: the same pictures from the same weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import yaml
from torch import Tensor

from ldm_core.conditioners import Inputs
from ldm_core.engine.sample import sample
from ldm_core.formats import load_model
from ldm_core.formats.diffusers_names import first_stage_recipes, unet_recipes
from ldm_core.formats.renaming import made_shapes
from ldm_core.formats.shapes import first_stage, unet
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import first_stage as first_stage_module
from ldm_core.nn.unet import UNet
from tests import tiny
from tests.diffusers_pipelines import CASES, CELLS, SCALE, saved
from tests.stable_diffusion import PROMPT, SIZE, STEPS
from tests.tiny import initial_noise


def some_inputs(name: str) -> Inputs:
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand(3, SIZE, SIZE, generator=generator) * 2 - 1
    if "inpaint" in name:
        mask = torch.zeros(1, SIZE, SIZE)
        mask[:, 4:12, 4:12] = 1
        return Inputs(prompt=PROMPT, image=picture, mask=mask)
    noise = torch.randn(1, 3, CELLS, CELLS, generator=torch.Generator().manual_seed(1))[0]
    return Inputs(prompt=PROMPT, low_res=picture[:, :CELLS, :CELLS], low_res_noise=noise)


@torch.inference_mode()
def theirs(name: str, pipeline: Any, inputs: Inputs, latents: Tensor) -> Tensor:
    """What diffusers' own pipeline makes, (1, 3, H, W) in [-1, 1]."""
    call: dict[str, Any] = {"num_inference_steps": STEPS, "output_type": "pt"}
    guided = {"prompt": PROMPT, "guidance_scale": SCALE, "latents": latents}
    size = {"height": SIZE, "width": SIZE}
    if name == "ldm-text":
        call |= guided | {"height": 8 * CELLS, "width": 8 * CELLS}
    elif name == "ldm-unconditional":  # which knows pictures as arrays alone
        call |= {"generator": torch.Generator().manual_seed(0), "output_type": "np"}
    elif name == "ldm-upscale":
        call |= {"image": inputs.low_res[None], "generator": torch.Generator().manual_seed(0)}
    elif name == "x4-upscaler":
        noise = {"noise_level": inputs.noise_level, "generator": torch.Generator().manual_seed(1)}
        call |= guided | noise | {"image": inputs.low_res[None]}
    elif name == "sdxl-refiner":  # goes on from latents, at nearly all of the noise
        del guided["latents"]
        scores = {"aesthetic_score": 6.0, "negative_aesthetic_score": 2.5}
        call |= guided | scores | {"image": latents, "denoising_start": 0.001, "target_size": (SIZE, SIZE)}
        call |= {"original_size": (SIZE, SIZE)}
    elif "inpaint" in name:
        picture = {"image": inputs.image[None], "mask_image": inputs.mask[None], "strength": 1.0}
        call |= guided | size | picture
    else:
        call |= guided | size
    images = pipeline(**call).images
    if name == "ldm-unconditional":
        images = torch.from_numpy(images).permute(0, 3, 1, 2)
    return images * 2 - 1


def latent(model: LatentDiffusion, inputs: Inputs) -> Tensor:
    how = {"steps": STEPS, "guidance": SCALE, "seeds": [0], "spacing": "uniform", "sampler": "ddim"}
    return sample(model, [inputs], height=SIZE, width=SIZE, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_a_folder_makes_the_picture_that_diffusers_makes(name: str, tmp_path: Path) -> None:
    folder, pipeline = saved(name, tmp_path)
    shutil.move(folder, tmp_path / "moved")
    model = load_model(tmp_path / "moved")
    assert isinstance(model, LatentDiffusion) and model.spec.tasks == CASES[name].tasks
    z = latent(model, inputs := some_inputs(name))
    expected = theirs(name, pipeline, inputs, initial_noise([0], (4, CELLS, CELLS)))
    error = (model.decode(z).clamp(-1, 1) - expected).abs().max().item()
    print(f"{name}: {error:.1e}")
    assert expected.std() > 0.01 and error < 1e-3
    # The picture hangs on what is given.
    other = replace(inputs, prompt="lake", low_res=-inputs.low_res if inputs.low_res is not None else None)
    assert name == "ldm-unconditional" or (latent(model, other) - z).abs().max() > 1e-3
    if name.startswith("ldm"):  # those of Stable Diffusion: test_stable_diffusion
        alone = load_model(single_file(model, tmp_path))
        assert isinstance(alone, LatentDiffusion) and alone.spec.tasks == CASES[name].tasks
        error = (alone.decode(latent(alone, inputs)).clamp(-1, 1) - expected).abs().max().item()
        print(f"{name}, single file: {error:.1e}")
        assert error < 1e-3


def single_file(model: LatentDiffusion, folder: Path) -> Path:
    """The same model as the paper's code saves it, whose names are our modules' (`tests.golden`)."""
    first_stage = replace(model.spec.first_stage, n_embed=0)
    tree: Any = tiny.config(replace(model.spec, first_stage=first_stage))
    params = tree["model"]["params"]
    unet = params["unet_config"]["params"]
    unet |= {"num_heads": model.spec.unet.num_heads or -1}
    unet |= {"num_head_channels": model.spec.unet.num_head_channels or -1}
    if model.spec.first_stage.n_embed:
        params["first_stage_config"]["target"] = "ldm.models.autoencoder.VQModelInterface"
        params["first_stage_config"]["params"]["n_embed"] = model.spec.first_stage.n_embed
        params["first_stage_config"]["params"]["ddconfig"]["double_z"] = False
    (folder / "model.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    torch.save({"state_dict": model.state_dict()}, folder / "model.ckpt")
    return folder / "model.ckpt"


def test_what_the_latent_is_multiplied_by(tmp_path: Path) -> None:
    """Folders of 2022 do not say: those with a codebook were trained on the latent as it is."""
    for name, part, expected in (("ldm-unconditional", "vqvae", 1.0), ("sd1", "vae", 0.18215)):
        folder, pipeline = saved(name, tmp_path)
        model = load_model(folder)
        assert isinstance(model, LatentDiffusion)
        assert model.scale_factor == getattr(pipeline, part).config.scaling_factor
        config = json.loads((folder / part / "config.json").read_text())
        del config["scaling_factor"]
        (folder / part / "config.json").write_text(json.dumps(config))
        older = load_model(folder)
        assert isinstance(older, LatentDiffusion) and older.scale_factor == expected


FULL_UNETS = {
    "sd1": {"cross_attention_dim": 768},
    "sd2": {
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "sdxl": {
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "x4": {
        "in_channels": 7,
        "cross_attention_dim": 1024,
        "block_out_channels": (256, 512, 512, 1024),
        "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
        "up_block_types": (*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
        "only_cross_attention": (True, True, True, False),
        "use_linear_projection": True,
        "num_class_embeds": 1000,
    },
}


@pytest.mark.parametrize("name", [*FULL_UNETS, "celebahq"])
def test_every_tensor_of_the_published_unets_has_its_place(name: str) -> None:
    with torch.device("meta"):
        if name == "celebahq":
            theirs = diffusers.UNet2DModel(attention_head_dim=32)
        else:
            theirs = diffusers.UNet2DConditionModel(**FULL_UNETS[name])
        shapes = dict(theirs.state_dict())
        found = made_shapes(shapes, unet_recipes(shapes, lambda channels: channels // 32))
        ours = UNet(unet(found, prefix="model.diffusion_model.")).state_dict()
    prefix = "model.diffusion_model."
    assert {n.removeprefix(prefix): t.shape for n, t in found.items()} == {
        n: t.shape for n, t in ours.items()
    }


def test_every_tensor_of_a_published_first_stage_has_its_place() -> None:
    with torch.device("meta"):
        theirs = diffusers.VQModel(
            block_out_channels=(128, 256, 512),
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
            up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"),
            layers_per_block=2,
            num_vq_embeddings=8192,
        )
        shapes = dict(theirs.state_dict())
        found = made_shapes(shapes, first_stage_recipes(shapes, ""))
        ours = first_stage_module(first_stage(found, "")).state_dict()
    assert {n: t.shape for n, t in found.items()} == {n: t.shape for n, t in ours.items()}
