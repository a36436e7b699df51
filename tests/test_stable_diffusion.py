"""Single files of the Stable Diffusion family, beside what diffusers makes of the same weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from ldm_core.conditioners import Inputs, LowResolutionSpec, MaskedImageSpec
from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.engine.sample import sample
from ldm_core.errors import ConfigError, ModelFileError, WeightsError
from ldm_core.formats import load_model, read_config
from ldm_core.formats.families.stable_diffusion import SCHEDULE
from ldm_core.formats.identify import describe, identify
from ldm_core.library.models import ModelLibrary
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from tests.diffusers_pipelines import DRAWS
from tests.stable_diffusion import (
    CASES,
    PROMPT,
    SCALE,
    SD1,
    SD1_INPAINT,
    SD2_EPS,
    SD2_V,
    SDXL,
    SDXL_INPAINT,
    SIZE,
    STEPS,
    UPSCALER,
    Reference,
    write,
)
from tests.stable_diffusion_configs import config
from tests.tiny import initial_noise


@pytest.mark.parametrize("name", CASES)
def test_a_single_file_makes_the_picture_that_diffusers_makes(name: str, tmp_path: Path) -> None:
    spec = CASES[name]
    path, state = write(tmp_path, spec)
    if spec != SD2_V:  # whose random weights look like eps
        assert describe(path).spec == spec
    if spec != SDXL_INPAINT:  # for which none was published
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config(spec)), "utf-8")
    model = load_model(path)
    assert isinstance(model, LatentDiffusion) and model.tokenizer is not None
    assert model.spec == spec
    reference, ids = Reference(state, spec), model.tokenizer([PROMPT, ""])
    tokens, pooled = reference.text(ids)
    inputs = some_inputs(spec)
    ours = model.condition([inputs], (8, 8))
    assert ours.context is not None and (ours.context - tokens[:1]).abs().max() < 1e-5
    if spec.unet.vector_dim:
        assert ours.vector is not None
        assert (ours.vector[:, : pooled.shape[1]] - pooled[:1]).abs().max() < 1e-5
    latents = initial_noise([0], (4, SIZE // 2, SIZE // 2))
    z = sample(
        model,
        [inputs],
        height=SIZE,
        width=SIZE,
        steps=STEPS,
        guidance=SCALE,
        seeds=[0],
        sampler="ddim",
        spacing="uniform",
    )
    theirs = reference.picture(ids, latents, inputs)
    error = (model.decode(z).clamp(-1, 1) - theirs).abs().max().item()
    print(f"{name}: {error:.1e}")
    assert theirs.std() > 0.01 and error < 1e-3


def some_inputs(spec: ModelSpec) -> Inputs:
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand(3, SIZE, SIZE, generator=generator) * 2 - 1
    if spec.conditioner(MaskedImageSpec):
        mask = torch.zeros(1, SIZE, SIZE)
        mask[:, 4:12, 4:12] = 1
        return Inputs(prompt=PROMPT, image=picture, mask=mask)
    if spec.conditioner(LowResolutionSpec):
        noise = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))[0]
        return Inputs(prompt=PROMPT, low_res=picture[:, :8, :8], low_res_noise=noise)
    return Inputs(prompt=PROMPT)


def test_stable_diffusion_2_predicts_what_its_weights_tell_unless_somebody_says_otherwise(
    tmp_path: Path,
) -> None:
    path, state = write(tmp_path, SD2_EPS)
    last = "model.diffusion_model.output_blocks.1.1.transformer_blocks.0.norm1.bias"
    for std, spec in ((0.02, SD2_EPS), (0.2, SD2_V)):
        state[last] = std * torch.randn(state[last].shape, generator=torch.Generator().manual_seed(0))
        save_file(state, path)
        assert describe(path).spec == spec
    for said, spec in (("eps", SD2_EPS), ("v", SD2_V)):
        (tmp_path / "model.yaml").write_text(f"atelier:\n  parameterization: {said}\n", "utf-8")
        assert describe(path).spec == spec and not identify(path).problem
        assert ModelLibrary([tmp_path]).info("model").spec == spec
    (tmp_path / "model.yaml").write_text("atelier:\n  parameterization: w\n", "utf-8")
    with pytest.raises(ConfigError, match="'eps' or 'v'"):
        load_model(path)


def test_a_configuration_says_which_layer_of_clip_counts(tmp_path: Path) -> None:
    path, state = write(tmp_path, SD1)
    tree = config(SD1)
    params = tree["model"]["params"]["cond_stage_config"]["params"]  # type: ignore[index]
    params |= {"layer": "hidden", "layer_idx": 11}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    model = load_model(path)
    assert isinstance(model, LatentDiffusion) and model.tokenizer is not None
    skipping = replace(SD1.conditioners[0], penultimate=True)  # type: ignore[type-var]
    tokens, _ = Reference(state, replace(SD1, conditioners=(skipping,))).text(model.tokenizer([PROMPT]))
    context = model.condition([Inputs(prompt=PROMPT)], (8, 8)).context
    assert context is not None and (context - tokens).abs().max() < 1e-5
    params["layer_idx"] = 3
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    with pytest.raises(ConfigError, match="layer_idx"):
        load_model(path)


def test_half_precision_loads_the_same_model(tmp_path: Path) -> None:
    path, _ = write(tmp_path, SD1, torch.bfloat16)
    model = load_model(path, dtype=torch.bfloat16)
    assert isinstance(model, LatentDiffusion) and model.spec == SD1
    assert model.condition([Inputs(PROMPT)], (8, 8)).context.isfinite().all()


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
    save_file(state | {"what": torch.ones(4)}, path)
    with pytest.raises(WeightsError, match="what"):
        load_model(path)
    assert "what" in identify(path).problem  # as the list says before
    more = {"safety_checker.concept_embeds": torch.ones(3), "logit_scale": torch.ones(1)}
    more |= {
        "denoiser.log_sigmas": ones,
        "conditioner.embedders.0.transformer.text_projection.weight": torch.ones(2, 2),
    }
    save_file(state | more, path)
    told = identify(path)
    assert load_model(path) is not None and not told.problem and "safety_checker" in told.note


def test_what_each_can_do(tmp_path: Path) -> None:
    path, _ = write(tmp_path, SD1_INPAINT)
    assert set(identify(path).tasks) == DRAWS
    assert UPSCALER.tasks == {"super-resolution"}
    overflow = {name for name, spec in CASES.items() if spec.first_stage_overflows}
    assert overflow == {"x4-upscaler", "sdxl", "sdxl-inpaint", "sdxl-refiner"}


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
        model.condition([Inputs(PROMPT)], (8, 8))


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
                continue  # random weights look like eps
            defaults = ModelLibrary([tmp_path]).info(name).defaults
            assert (defaults.width, defaults.height, defaults.guidance_scale) == (size, size, scale)
            how = (50, "uniform") if name == "x4-upscaler" else (30, "karras")
            assert (defaults.steps, defaults.spacing) == how
