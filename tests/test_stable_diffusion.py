"""Single files of the Stable Diffusion family, beside what diffusers makes of the same weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import yaml
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

from ldm_core.conditioners import Given
from ldm_core.errors import ConfigError, ModelFileError, WeightsError
from ldm_core.formats import load_model, read_config
from ldm_core.formats.identify import describe, identify
from ldm_core.formats.stable_diffusion import SCHEDULE, UPSCALER_SCHEDULE
from ldm_core.model import LatentDiffusion
from ldm_core.models import ModelLibrary
from ldm_core.sample import initial_noise, sample
from ldm_core.schedule import NoiseSchedule
from ldm_core.spec import ClipSpec, ClipTower, LowResolutionSpec, MaskedImageSpec, ModelSpec
from tests import tiny
from tests.stable_diffusion_configs import config

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

    def picture(self, ids: Tensor, latents: Tensor, given: Given) -> Tensor:
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
            call |= {"original_size": (SIZE, SIZE), "aesthetic_score": 6.0, "negative_aesthetic_score": 6.0}
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


@pytest.mark.parametrize("name", CASES)
def test_a_single_file_makes_the_picture_that_diffusers_makes(name: str, tmp_path: Path) -> None:
    spec = CASES[name]
    path, state = write(tmp_path, spec)
    if spec not in (SD2_EPS, SD2_V):  # of which the weights do not tell enough
        assert describe(path).spec == spec
    if spec != SDXL_INPAINT:  # for which none was published
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config(spec)), "utf-8")
    model = load_model(path)
    assert isinstance(model, LatentDiffusion) and model.tokenizer is not None
    assert model.spec == spec
    reference, ids = Reference(state, spec), model.tokenizer([PROMPT, ""])
    tokens, pooled = reference.text(ids)
    ours, ours_pooled = model.embedded([PROMPT])
    assert (ours - tokens[:1]).abs().max() < 1e-5
    if spec.unet.vector_dim:
        assert ours_pooled is not None and (ours_pooled - pooled[:1]).abs().max() < 1e-5
    given = a_given(spec)
    latents = initial_noise([0], (4, SIZE // 2, SIZE // 2))
    z = sample(
        model,
        [given],
        height=SIZE,
        width=SIZE,
        steps=STEPS,
        guidance_scale=SCALE,
        seeds=[0],
        spacing="uniform",
    )
    theirs = reference.picture(ids, latents, given)
    error = (model.decode(z).clamp(-1, 1) - theirs).abs().max().item()
    print(f"{name}: {error:.1e}")
    assert theirs.std() > 0.01 and error < 1e-3


def a_given(spec: ModelSpec) -> Given:
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand(3, SIZE, SIZE, generator=generator) * 2 - 1
    if spec.conditioner(MaskedImageSpec):
        mask = torch.zeros(1, SIZE, SIZE)
        mask[:, 4:12, 4:12] = 1
        return Given(prompt=PROMPT, image=picture, mask=mask)
    if spec.conditioner(LowResolutionSpec):
        noise = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))[0]
        return Given(prompt=PROMPT, low_res=picture[:, :8, :8], low_res_noise=noise)
    return Given(prompt=PROMPT)


def test_stable_diffusion_2_needs_to_be_told_what_it_predicts(tmp_path: Path) -> None:
    path, _ = write(tmp_path, SD2_EPS)
    with pytest.raises(ConfigError, match="parameterization"):
        load_model(path)


def test_half_precision_loads_the_same_model(tmp_path: Path) -> None:
    path, _ = write(tmp_path, SD1, torch.bfloat16)
    model = load_model(path, dtype=torch.bfloat16)
    assert isinstance(model, LatentDiffusion) and model.spec == SD1
    assert model.context([PROMPT]).isfinite().all()


def test_what_lies_beside_the_weights_in_published_files(tmp_path: Path) -> None:
    """Buffers of the trainer's modules, and the marks of XL models that predict v."""
    ones = torch.ones(1000)
    beside = {
        "sd1": {"betas": 1 - NoiseSchedule(SCHEDULE).alphas_cumprod[:1], "model_ema.decay": torch.ones(1)},
        "x4-upscaler": {f"low_scale_model.{name}": ones.clone() for name in ("betas", "sqrt_alphas_cumprod")},
        "sdxl": {"denoiser.sigmas": ones, "conditioner.embedders.1.model.logit_scale": torch.ones(1)},
    }
    for name, tensors in beside.items():
        path, state = write(tmp_path / name, CASES[name])
        save_file(state | tensors, path)
        model = load_model(path)
        assert isinstance(model, LatentDiffusion) and model.spec == CASES[name]
    save_file(state | {"v_pred": torch.empty(0), "ztsnr": torch.empty(0)}, path)
    model = load_model(path)
    assert isinstance(model, LatentDiffusion)
    schedule = replace(SCHEDULE, zero_terminal_snr=True)
    assert model.spec == replace(SDXL, parameterization="v", schedule=schedule)
    save_file(state | {"edm_mean": torch.ones(4)}, path)  # of a model that is trained otherwise
    with pytest.raises(WeightsError, match="edm_mean"):
        load_model(path)


def test_what_each_can_do(tmp_path: Path) -> None:
    path, _ = write(tmp_path, SD1_INPAINT)
    assert set(identify(path).tasks) == {"text-to-image", "unconditional", "inpaint", "image-to-image"}
    assert UPSCALER.tasks == {"super-resolution"}


def test_two_text_encoders_share_a_tokenizer_and_pad_as_each_was_trained(tmp_path: Path) -> None:
    path, _ = write(tmp_path, SDXL)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<|endoftext|>"}))
    model = load_model(path)
    assert isinstance(model, LatentDiffusion) and model.tokenizer is not None
    (clip, open_clip) = model.tokenizer(["a"])[0].tolist()
    assert clip[:3] == open_clip[:3] and {*clip[3:]} == {clip[2]} and {*open_clip[3:]} == {0}


def test_without_a_vocabulary_a_prompt_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path, _ = write(tmp_path, SD1)
    (tmp_path / "vocab.json").unlink()
    model = load_model(path)
    assert isinstance(model, LatentDiffusion)
    with pytest.raises(ConfigError, match=r"merges\.txt"):
        model.context([PROMPT])


@pytest.mark.parametrize("naming", ["published", "of a whole model", "diffusers"])
@pytest.mark.parametrize("own", [True, False])
def test_a_first_stage_beside_the_file_takes_the_place_of_its_own(
    naming: str, own: bool, tmp_path: Path
) -> None:
    path, state = write(tmp_path, SD1)
    _, other = write(tmp_path / "other", SD1, seed=1)
    prefix = "first_stage_model."
    stage = {name: tensor for name, tensor in other.items() if name.startswith(prefix)}
    weights = {
        "published": {name.removeprefix(prefix): tensor for name, tensor in stage.items()},
        "of a whole model": stage,
        "diffusers": Reference(other, SD1).vae().state_dict(),
    }[naming]
    save_file(weights, tmp_path / "model.vae.safetensors")
    if not own:
        save_file({n: t for n, t in state.items() if not n.startswith(prefix)}, path)
    model = load_model(path)
    assert isinstance(model, LatentDiffusion) and model.spec == SD1
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = Reference(other, SD1).vae().decode(z / SD1.scale_factor).sample
    assert (model.decode(z) - expected).abs().max() < 1e-4
    assert identify(path).tasks and identify(tmp_path / "model.vae.safetensors").kind == "first stage"


def test_a_file_without_a_first_stage_says_where_to_put_one(tmp_path: Path) -> None:
    path, state = write(tmp_path, SD1)
    save_file({n: t for n, t in state.items() if not n.startswith("first_stage_model.")}, path)
    with pytest.raises(ConfigError, match=r"NAME\.vae\.safetensors"):
        load_model(path)
    save_file({"model.diffusion_model.out.2.bias": torch.zeros(4)}, tmp_path / "model.vae.safetensors")
    with pytest.raises(ModelFileError, match="no first stage"):
        load_model(path)


# What goes wrong in a configuration, by its place, and what is said.
WRONG = [
    (SDXL, "network_config.params.num_classes", None, "num_classes does not suit"),
    (SDXL, "network_config.params.adm_in_channels", None, "adm_in_channels is missing"),
    (SDXL, "network_config.params.transformer_depth", [1], "one for each level"),
    (SDXL, "denoiser_config.target", "sgm.modules.diffusionmodules.denoiser.Denoiser", "DiscreteDenoiser"),
    (SDXL, "denoiser_config.params.scaling_config", {"target": "sgm.EDMScaling"}, "VScaling"),
    (SDXL, "denoiser_config", None, "denoiser_config is missing"),
    (SDXL, "conditioner_config.params.emb_models", [], "FrozenOpenCLIPEmbedder2"),
    (SDXL, "conditioner_config.params.emb_models", [{"target": "os.system"}], "emb_models[0].target"),
    (SDXL, "scale_factor", None, "scale_factor is missing"),
    (UPSCALER, "unet_config.params.num_classes", None, "num_classes does not suit"),
    (UPSCALER, "low_scale_config", None, "low_scale_config is missing"),
    (UPSCALER, "conditioning_key", "hybrid", "'hybrid-adm'"),
    (UPSCALER, "unet_config.params.disable_self_attentions", [1], "for each level"),
]


@pytest.mark.parametrize(("spec", "place", "value", "reason"), WRONG)
def test_what_is_wrong_in_a_configuration_is_named(
    spec: ModelSpec, place: str, value: object, reason: str, tmp_path: Path
) -> None:
    tree = config(spec)
    *sections, key = f"model.params.{place}".split(".")
    node = tree
    for section in sections:
        node = node[section]  # type: ignore[assignment]
    if value is None:
        del node[key]
    else:
        node[key] = value
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "config.yaml")
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_configuration_of_another_family_is_refused(tmp_path: Path) -> None:
    path, _ = write(tmp_path, SD1)
    for other, reason in ((SD2_EPS, "context_dim|linear_projection|OpenCLIP"), (SDXL, "numbers on the size")):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config(other)), "utf-8")
        with pytest.raises(ConfigError, match=f"does not fit the weights.*({reason})"):
            load_model(path)


def test_published_models_begin_as_they_were_published(tmp_path: Path) -> None:
    """With or without a description beside them."""
    sizes = {"sd1": (512, 7.5), "sd2-v": (768, 7.5), "x4-upscaler": (512, 9.0), "sdxl": (1024, 5.0)}
    for name, (size, scale) in sizes.items():
        write(tmp_path / name, CASES[name])
        for described in (False, True):
            if described:
                (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config(CASES[name])), "utf-8")
            elif name == "sd2-v":
                continue  # its weights do not tell enough
            defaults = ModelLibrary([tmp_path]).info(name).defaults
            assert (defaults.width, defaults.height, defaults.guidance_scale) == (size, size, scale)
            assert (defaults.steps, defaults.spacing) == (50, "uniform")
