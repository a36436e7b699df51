"""Folders in the layout of diffusers: the same pictures from the same weights, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import yaml
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from ldm_core.conditioners import Given
from ldm_core.errors import AtelierError, ModelError
from ldm_core.formats import load_model
from ldm_core.formats.diffusers_names import first_stage_recipes, unet_recipes
from ldm_core.formats.folders import choose_weights
from ldm_core.formats.identify import identify
from ldm_core.formats.renaming import made_shapes
from ldm_core.formats.shapes import first_stage, unet
from ldm_core.model import LatentDiffusion
from ldm_core.models import ModelLibrary
from ldm_core.nn.autoencoder import first_stage as first_stage_module
from ldm_core.nn.unet import UNet
from ldm_core.sample import initial_noise, sample
from tests import tiny
from tests.test_stable_diffusion import PROMPT, SIZE, STEPS, VOCABULARY

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


DRAWS = frozenset({"text-to-image", "unconditional", "inpaint", "image-to-image"})
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


def a_given(name: str) -> Given:
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand(3, SIZE, SIZE, generator=generator) * 2 - 1
    if "inpaint" in name:
        mask = torch.zeros(1, SIZE, SIZE)
        mask[:, 4:12, 4:12] = 1
        return Given(prompt=PROMPT, image=picture, mask=mask)
    noise = torch.randn(1, 3, CELLS, CELLS, generator=torch.Generator().manual_seed(1))[0]
    return Given(prompt=PROMPT, low_res=picture[:, :CELLS, :CELLS], low_res_noise=noise)


@torch.inference_mode()
def theirs(name: str, pipeline: Any, given: Given, latents: Tensor) -> Tensor:
    """What diffusers' own pipeline makes, (1, 3, H, W) in [-1, 1]."""
    call: dict[str, Any] = {"num_inference_steps": STEPS, "output_type": "pt"}
    guided = {"prompt": PROMPT, "guidance_scale": SCALE, "latents": latents}
    size = {"height": SIZE, "width": SIZE}
    if name == "ldm-text":
        call |= guided | {"height": 8 * CELLS, "width": 8 * CELLS}
    elif name == "ldm-unconditional":  # which knows pictures as arrays alone
        call |= {"generator": torch.Generator().manual_seed(0), "output_type": "np"}
    elif name == "ldm-upscale":
        call |= {"image": given.low_res[None], "generator": torch.Generator().manual_seed(0)}
    elif name == "x4-upscaler":
        noise = {"noise_level": given.noise_level, "generator": torch.Generator().manual_seed(1)}
        call |= guided | noise | {"image": given.low_res[None]}
    elif name == "sdxl-refiner":  # goes on from latents, at nearly all of the noise
        del guided["latents"]
        scores = {"aesthetic_score": 6.0, "negative_aesthetic_score": 6.0}
        call |= guided | scores | {"image": latents, "denoising_start": 0.001, "target_size": (SIZE, SIZE)}
        call |= {"original_size": (SIZE, SIZE)}
    elif "inpaint" in name:
        picture = {"image": given.image[None], "mask_image": given.mask[None], "strength": 1.0}
        call |= guided | size | picture
    else:
        call |= guided | size
    images = pipeline(**call).images
    if name == "ldm-unconditional":
        images = torch.from_numpy(images).permute(0, 3, 1, 2)
    return images * 2 - 1


def latent(model: LatentDiffusion, given: Given) -> Tensor:
    how = {"steps": STEPS, "guidance_scale": SCALE, "seeds": [0], "spacing": "uniform"}
    return sample(model, [given], height=SIZE, width=SIZE, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_a_folder_makes_the_picture_that_diffusers_makes(name: str, tmp_path: Path) -> None:
    folder, pipeline = saved(name, tmp_path)
    shutil.move(folder, tmp_path / "moved")
    model = load_model(tmp_path / "moved")
    assert isinstance(model, LatentDiffusion) and model.spec.tasks == CASES[name].tasks
    z = latent(model, given := a_given(name))
    expected = theirs(name, pipeline, given, initial_noise([0], (4, CELLS, CELLS)))
    error = (model.decode(z).clamp(-1, 1) - expected).abs().max().item()
    print(f"{name}: {error:.1e}")
    assert expected.std() > 0.01 and error < 1e-3
    # The picture hangs on what is given.
    other = replace(given, prompt="lake", low_res=-given.low_res if given.low_res is not None else None)
    assert name == "ldm-unconditional" or (latent(model, other) - z).abs().max() > 1e-3
    if name.startswith("ldm"):  # those of Stable Diffusion: test_stable_diffusion
        alone = load_model(single_file(model, tmp_path))
        assert isinstance(alone, LatentDiffusion) and alone.spec.tasks == CASES[name].tasks
        error = (alone.decode(latent(alone, given)).clamp(-1, 1) - expected).abs().max().item()
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


# Files ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("sd1", tmp_path_factory.mktemp("folder"))[0]


@pytest.fixture
def folder(sd1: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(sd1, tmp_path / "sd1"))


def answer(path: Path) -> Tensor:
    """What a model's UNet, text encoder and first stage make of something."""
    model = load_model(path)
    assert isinstance(model, LatentDiffusion)
    x = initial_noise([3], (4, CELLS, CELLS))
    return model.decode(
        model.output(x, torch.tensor([500]), model.condition([Given(PROMPT)], (CELLS, CELLS)))
    )


def test_pieces_variants_and_pickles(sd1: Path, folder: Path) -> None:
    expected = answer(sd1)
    part = folder / "unet"
    weights = load_file(part / "diffusion_pytorch_model.safetensors")
    names = sorted(weights)
    (part / "diffusion_pytorch_model.safetensors").unlink()
    index: dict[str, str] = {}
    for i, piece in enumerate((names[::2], names[1::2]), start=1):
        file = f"diffusion_pytorch_model-0000{i}-of-00002.safetensors"
        save_file({name: weights[name] for name in piece}, part / file)
        index |= dict.fromkeys(piece, file)
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (part / "diffusion_pytorch_model.bin").write_bytes(b"never opened, as it is a pickle")
    assert torch.equal(answer(folder), expected)

    vae = folder / "vae"
    (vae / "diffusion_pytorch_model.safetensors").rename(vae / "diffusion_pytorch_model.fp16.safetensors")
    text = folder / "text_encoder"
    torch.save(load_file(text / "model.safetensors"), text / "pytorch_model.bin")
    (text / "model.safetensors").unlink()
    assert torch.equal(answer(folder), expected)
    (part / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    assert "not a checkpoint" in refused(folder)  # the pickle is all that is whole
    (part / "diffusion_pytorch_model.bin").unlink()
    assert "no whole weights of its part unet" in refused(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype, sd1: Path, folder: Path) -> None:
    for file in folder.rglob("*.safetensors"):
        save_file({name: tensor.to(dtype) for name, tensor in load_file(file).items()}, file)
    difference = (answer(folder) - answer(sd1)).abs().max().item()
    assert 0 < difference < 0.1
    assert identify(folder).precision == str(dtype).removeprefix("torch.")


def test_a_first_stage_that_overflows_float16_is_kept_in_float32(tmp_path: Path) -> None:
    """Unless its JSON says that it was trained further; bfloat16 reaches as far as float32."""
    folder, _ = saved("sdxl", tmp_path)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv_in.weight"] *= 30_000.0  # normalised again, but 65504 is exceeded before
    save_file(weights, file)
    z = initial_noise([3], (4, CELLS, CELLS))
    pictures = {}
    for upcast in (True, False):
        config = json.loads((folder / "vae" / "config.json").read_text())
        (folder / "vae" / "config.json").write_text(json.dumps(config | {"force_upcast": upcast}))
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            model = load_model(folder, dtype=dtype)
            assert isinstance(model, LatentDiffusion) and model.dtype == dtype
            pictures[upcast, dtype] = model.decode(z)
            kept = torch.float32 if upcast and dtype == torch.float16 else dtype
            assert {weight.dtype for weight in model.first_stage_model.parameters()} == {kept}
            assert {weight.dtype for weight in model.model.parameters()} == {dtype}
    assert torch.equal(pictures[True, torch.float16], pictures[True, torch.float32])
    assert not pictures[False, torch.float16].isfinite().all()
    assert pictures[True, torch.bfloat16].isfinite().all()
    assert model.encode(torch.zeros(1, 3, SIZE, SIZE)).isfinite().all()


def test_the_names_of_the_first_versions(sd1: Path, folder: Path) -> None:
    """As the published folders have them: attention in the first stage, and CLIP's prefix."""
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(file)
    for new, name in old.items():
        weights = {key.replace(new, name): tensor for key, tensor in weights.items()}
    save_file(weights, file)
    text = folder / "text_encoder" / "model.safetensors"
    prefixed = {f"text_model.{name}": tensor for name, tensor in load_file(text).items()}
    save_file(prefixed | {"text_model.embeddings.position_ids": torch.arange(16)[None]}, text)
    assert torch.equal(answer(folder), answer(sd1))


def test_which_files_are_chosen() -> None:
    base = "diffusion_pytorch_model"
    assert choose_weights([f"{base}.bin", f"{base}.fp16.safetensors", f"{base}.safetensors"]) == (
        f"{base}.safetensors",
    )
    assert choose_weights([f"{base}.bin", f"{base}.fp16.safetensors"]) == (f"{base}.fp16.safetensors",)
    assert choose_weights([f"{base}.non_ema.safetensors", "flax_model.msgpack", "model.onnx"]) == ()
    pieces = tuple(f"model.fp16-0000{i}-of-00003.safetensors" for i in (1, 2, 3))
    assert choose_weights(pieces[::-1]) == pieces and choose_weights(pieces[:2]) == ()


def test_a_folder_in_the_list_of_models(folder: Path, tmp_path: Path) -> None:
    library = ModelLibrary([tmp_path])
    entry = library.entry("sd1")
    assert entry.is_usable and set(entry.tasks) == DRAWS and entry.family == "Stable Diffusion"
    files = [next((folder / part).glob("*.safetensors")) for part in ("unet", "vae", "text_encoder")]
    assert entry.size == sum(file.stat().st_size for file in files)
    info = library.info("sd1")
    assert (info.defaults.spacing, info.defaults.guidance_scale) == ("uniform", 7.5)
    before = library.load("sd1", device="cpu", dtype=torch.float32)
    change(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    library.scan()
    after = library.load("sd1", device="cpu", dtype=torch.float32)
    assert (before.spec.parameterization, after.spec.parameterization) == ("eps", "v")


# What is refused -----------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message and str(path.parent) not in message and len(message) < 500
    assert not identify(path).tasks and identify(path).problem == message
    return message


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("file", "values", "reason"),
    [
        ("model_index.json", {"_class_name": "FluxPipeline"}, "'FluxPipeline', which is none"),
        ("model_index.json", {"_class_name": ["pipeline", "Mine"]}, "none of the latent diffusion family"),
        ("model_index.json", {"unet": ["subprocess", "Popen"]}, "unet is ['subprocess', 'Popen']"),
        ("model_index.json", {"safety_checker": ["os", "system"]}, "['os', 'system']"),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderTiny"]}, "AutoencoderTiny"),
        ("model_index.json", {"vae": None}, "no first stage"),
        ("unet/config.json", {"auto_map": {"AutoModel": "evil.Model"}}, "code of its own"),
        ("unet/config.json", {"act_fn": "mish"}, "act_fn is 'mish'"),
        ("unet/config.json", {"new_kind_of_attention": 3}, "new_kind_of_attention is not known"),
        ("unet/config.json", {"down_block_types": ["KDownBlock2D", "DownBlock2D"]}, "'KDownBlock2D'; known"),
        ("unet/config.json", {"attention_head_dim": [8, 7]}, "attention_head_dim is [8, 7]"),
        ("unet/config.json", {"attention_head_dim": "many"}, "attention_head_dim is 'many'"),
        ("vae/config.json", {"shift_factor": 0.1}, "shift_factor is not known"),
        ("vae/config.json", {"scaling_factor": "large"}, "scaling_factor is 'large'"),
        ("text_encoder/config.json", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("text_encoder/config.json", {"num_attention_heads": 3}, "num_attention_heads is 3"),
        ("scheduler/scheduler_config.json", {"_class_name": "os.system"}, "no scheduler of this family"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'"),
        ("scheduler/scheduler_config.json", {"prediction_type": {}}, "prediction_type is {}"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.5]}, "a list of 1000 numbers"),
    ],
)
def test_what_is_not_known_is_named(file: str, values: dict[str, object], reason: str, folder: Path) -> None:
    change(folder / file, **values)
    assert reason in refused(folder)


@pytest.mark.parametrize(
    "data", [b"[]", b"{" * 10, b'{"a": NaN}', b'{"a": 1, "a": 1}', b"\xff", b" " * 2**21]
)
def test_damaged_json(data: bytes, folder: Path) -> None:
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(data)
        refused(folder)
        (folder / name).write_bytes(before)


def test_files_of_another_model(sd1: Path, folder: Path) -> None:
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    good = load_file(unet)
    strange = {**good, "down_blocks.0.resnets.0.conv9.weight": torch.zeros(1)}
    save_file(strange, unet)
    assert "conv9" in refused_loading(folder)
    save_file({n: t for n, t in good.items() if "mid_block" not in n}, unet)
    refused_loading(folder)
    shutil.rmtree(folder / "vae")
    assert "part vae" in refused(folder) or "config.json" in refused(folder)
    code = folder / "unet" / "unet.py"
    code.write_text(f"open({str(folder / 'ran')!r}, 'w')")
    refused(folder)
    assert not (folder / "ran").exists()


def test_code_and_repositories_that_a_folder_names_are_never_looked_for(
    sd1: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pipeline.py", "unet/modeling.py", "text_encoder/attention.py"):
        (folder / name).write_text(f"open({str(folder / 'ran')!r}, 'w')")
    change(folder / "model_index.json", custom_pipeline="attacker/repo", trust_remote_code=True)
    change(folder / "text_encoder" / "config.json", _attn_implementation="attacker/repo")
    change(folder / "unet" / "config.json", _name_or_path="attacker/repo")
    monkeypatch.setattr("socket.socket", None)
    monkeypatch.setattr("subprocess.Popen", None)
    assert torch.equal(answer(folder), answer(sd1)) and not (folder / "ran").exists()
    text = (folder / "vae" / "config.json").read_text()
    (folder / "vae" / "config.json").write_text(text.replace("0.18215", "1e999"))
    assert "scaling_factor is inf" in refused(folder)


def refused_loading(path: Path) -> str:
    with pytest.raises(AtelierError) as caught:
        load_model(path)
    return str(caught.value)
