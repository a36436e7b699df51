"""Both training stages, on networks small enough to train for seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from ldm_core import scenes
from ldm_core.conditioners import Inputs
from ldm_core.errors import AtelierError, ConfigError, FileError
from ldm_core.evaluation.metrics import frechet_distance, psnr
from ldm_core.formats import load_model
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import AutoencoderKL, AutoencoderVQ, FirstStage
from ldm_core.training import cli, data
from ldm_core.training.export import normalise_latent
from ldm_core.training.loop import LoopSettings
from ldm_core.training.scene_network import SceneNetwork
from ldm_core.training.scene_trainer import load_scene_network

DDCONFIG = {
    "double_z": True, "z_channels": 4, "resolution": 32, "in_channels": 3, "out_ch": 3, "ch": 32,
    "ch_mult": [1, 1], "num_res_blocks": 1, "attn_resolutions": [], "attn_type": "none", "dropout": 0.0,
    "patch_size": 4,
}  # fmt: skip
FIRST_STAGE = {
    "target": "ldm.models.autoencoder.AutoencoderKL",
    "params": {"embed_dim": 4, "ddconfig": DDCONFIG},
}
DIFFUSION = {
    "target": "ldm.models.diffusion.ddpm.LatentDiffusion",
    "params": {
        "linear_start": 0.0015, "linear_end": 0.0195, "timesteps": 1000, "parameterization": "v",
        "first_stage_key": "image", "cond_stage_key": "caption", "conditioning_key": "crossattn",
        "image_size": 8, "channels": 4, "scale_factor": 1.0, "use_ema": False,
        "unet_config": {
            "target": "ldm.modules.diffusionmodules.openaimodel.UNetModel",
            "params": {
                "image_size": 8, "in_channels": 4, "out_channels": 4, "model_channels": 32,
                "attention_resolutions": [2], "num_res_blocks": 1, "channel_mult": [1, 1],
                "num_head_channels": 16, "use_spatial_transformer": True, "transformer_depth": 1,
                "context_dim": 32, "legacy": False,
            },
        },
        "first_stage_config": FIRST_STAGE,
        "cond_stage_config": {
            "target": "ldm.modules.encoders.modules.BERTEmbedder",
            "params": {"n_embed": 32, "n_layer": 1, "max_seq_len": 40, "vocab_size": 1},
        },
    },
}  # fmt: skip
LOOP = {"learning_rate": 2e-3, "warmup": 5, "log_every": 5, "checkpoint_every": 4, "sample_every": 1000}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def train(config: dict[str, object], folder: Path, cache: Path, out: str, *options: str) -> Path:
    path = folder / f"{out}.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    cli.main([str(path), "--out", str(folder / out), "--cache", str(cache), "--device", "cpu", *options])
    return folder / out


def first_stage_config(steps: int, **changes: object) -> dict[str, object]:
    training: dict[str, object] = {
        "data": [[64, 24]], "crop": 32, "batch_size": 4, "kl_weight": 1e-6, "gradient_weight": 0.5,
        "perceptual_weight": 0.0, "adversarial_weight": 0.5, "adversarial_start": 1000,
        "discriminator_width": 8,
    }  # fmt: skip
    return {
        "kind": "first-stage",
        "model": FIRST_STAGE,
        "training": training | changes,
        "loop": LOOP | {"steps": steps},
    }


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    return train(first_stage_config(200), tmp_path_factory.mktemp("first-stage"), cache, "out")


def reconstruction_psnr(folder: Path) -> float:
    model = load_model(folder)
    assert isinstance(model, FirstStage)
    scenes = np.stack([data.render("unseen", i, 64).image for i in range(8)])
    with torch.inference_mode():
        output = model.decode(model.latent(data.to_tensor(scenes)))
    return float(psnr(scenes, data.to_pictures(output)).mean())


def test_the_first_stage_learns_and_its_export_loads(first_stage: Path, tmp_path: Path, cache: Path) -> None:
    untrained = train(first_stage_config(1), tmp_path, cache, "untrained")
    assert reconstruction_psnr(first_stage) > reconstruction_psnr(untrained) + 3


def test_the_exported_latent_is_normalised(first_stage: Path) -> None:
    model = load_model(first_stage)
    assert isinstance(model, AutoencoderKL)
    scenes = np.stack([data.render("unseen", i, 64).image for i in range(16)])
    with torch.inference_mode():
        z = model.encode(data.to_tensor(scenes)).mean
    assert z.mean((0, 2, 3)).abs().max() < 0.5
    assert z.std((0, 2, 3)).sub(1).abs().max() < 0.5


def test_normalising_the_latent_keeps_the_reconstruction(first_stage: Path) -> None:
    model = load_model(first_stage)
    assert isinstance(model, AutoencoderKL)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        before = model.decode(model.encode(images).mean)
        z = torch.randn(64, 4, 2, 2) * 2.0 + torch.tensor([1.0, -2.0, 0.5, 0.0])[:, None, None]
        deviation = model.encode(images).logvar.exp().sqrt() / z.std((0, 2, 3))[:, None, None]
        normalise_latent(model, z)
        after = model.decode(model.encode(images).mean)
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model.encode(images).logvar.exp().sqrt(), deviation, rtol=1e-4, atol=1e-6)


def quantized_config(steps: int, **changes: object) -> dict[str, object]:
    settings: dict[str, object] = {"quantize_start": 100, "revive_every": 20, "varied": True}
    config = first_stage_config(steps, **settings | changes)
    params = {"embed_dim": 4, "n_embed": 64, "ddconfig": {**DDCONFIG, "double_z": False}}
    return config | {"model": {"target": "ldm.models.autoencoder.VQModelInterface", "params": params}}


def test_a_quantized_first_stage_learns_and_uses_its_codebook(tmp_path: Path, cache: Path) -> None:
    folder = train(quantized_config(200), tmp_path, cache, "trained")
    untrained = train(quantized_config(1), tmp_path, cache, "untrained")
    # Measured with seeds 0 to 2, one thread: 3.2, 2.1 and 2.8 dB.
    assert reconstruction_psnr(folder) > reconstruction_psnr(untrained) + 1.5
    model = load_model(folder)
    assert isinstance(model, AutoencoderVQ)
    scenes = np.stack([data.render("unseen", i, 64).image for i in range(16)])
    with torch.inference_mode():
        z = model.encode(data.to_tensor(scenes))
        used = model.quantize.nearest(z).unique()
    assert len(used) > 24  # of 64; 58, 63 and 59 with the same seeds; a collapsed codebook uses one or two
    assert 0.5 < float(z.std()) < 1.5  # 0.81 to 0.96


@pytest.mark.parametrize("train_encoder", [True, False])
def test_a_trained_codebook_is_gone_on_from(train_encoder: bool, tmp_path: Path, cache: Path) -> None:
    first = train(quantized_config(2, quantize_start=0), tmp_path, cache, "first")
    changes = {"initial": str(first), "train_encoder": train_encoder, "quantize_start": 0}
    second = train(quantized_config(2, **changes), tmp_path, cache, "second")
    before, after = (load_file(folder / "model.safetensors") for folder in (first, second))
    name = "quantize.embedding.weight"
    if train_encoder:  # two small steps, and the latent is normalised anew
        pair = torch.stack([before[name].float().flatten(), after[name].float().flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.9
    else:
        assert torch.equal(before[name], after[name])


def test_resuming_is_exact(tmp_path: Path, cache: Path) -> None:
    config = first_stage_config(8, adversarial_start=3)
    whole = train(config, tmp_path, cache, "whole")
    train(config, tmp_path, cache, "parts", "--minutes", "0")
    parts = train(config, tmp_path, cache, "parts", "--resume")
    a, b = load_file(whole / "model.safetensors"), load_file(parts / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("every", "age"), [(4, 300.0), (1000, 0.0)], ids=["by steps", "by time"])
def test_resuming_in_the_middle_is_exact(
    every: int, age: float, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldm_core.training.loop._CHECKPOINT_AGE", age)
    config = first_stage_config(8, adversarial_start=3)
    config["loop"] = LOOP | {"steps": 8, "checkpoint_every": every}
    whole = train(config, tmp_path, cache, "whole")
    task = "ldm_core.training.first_stage.FirstStageTraining"
    from ldm_core.training.first_stage import FirstStageTraining

    update = FirstStageTraining.update

    def killed(self: FirstStageTraining, step: int, rate: float) -> dict[str, float]:
        if step == 6:
            raise KeyboardInterrupt
        return update(self, step, rate)

    monkeypatch.setattr(f"{task}.update", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, cache, "killed")
    monkeypatch.setattr(f"{task}.update", update)
    resumed = train(config, tmp_path, cache, "killed", "--resume")
    a, b = load_file(whole / "model.safetensors"), load_file(resumed / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_adversarial_stage_keeps_the_latent_space(first_stage: Path, tmp_path: Path, cache: Path) -> None:
    network = train(
        {
            "kind": "scene-network",
            "training": {"split": "judge", "counts": {"painting": 5, "poster": 3}, "batch_size": 4},
            "loop": LOOP | {"steps": 2},
        },
        tmp_path,
        cache,
        "network",
    )
    config = first_stage_config(
        4,
        initial=str(first_stage),
        train_encoder=False,
        adversarial_start=1,
        perceptual_network=str(network / "model.safetensors"),
        perceptual_weight=0.1,
    )
    sharpened = train(config, tmp_path, cache, "sharpened")
    before = load_file(first_stage / "model.safetensors")
    after = load_file(sharpened / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)


def test_a_judge_of_posters_goes_on_from_one_that_knew_less(tmp_path: Path, cache: Path) -> None:
    torch.manual_seed(0)
    before = SceneNetwork({"time": 4, "house": 2}, classes=14)
    save_file(
        {name: t.contiguous() for name, t in before.state_dict().items()}, tmp_path / "before.safetensors"
    )
    known = load_scene_network(tmp_path / "before.safetensors")
    assert known.classes == 14 and set(known.heads) == {"time", "house"}
    config = {
        "kind": "scene-network",
        "training": {
            "split": "judge",
            "counts": {"poster": 4},
            "batch_size": 4,
            "initial": str(tmp_path / "before.safetensors"),
        },
        "loop": LOOP | {"steps": 1, "learning_rate": 0.0},
    }
    after = load_scene_network(train(config, tmp_path, cache, "judge") / "model.safetensors")
    assert set(after.heads) == set(scenes.ATTRIBUTES) and after.classes == len(scenes.CLASSES)
    assert torch.equal(after.heads["time"].weight, before.heads["time"].weight)
    assert torch.equal(after.segment_out[3].weight[:14], before.segment_out[3].weight)


def test_a_decoder_learns_from_what_the_diffusion_model_makes(
    first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    weights = str(first_stage / "model.safetensors")
    training = {"data": [[64, 24, 1.0]], "first_stage": weights, "batch_size": 8}
    diffusion = {"kind": "diffusion", "model": DIFFUSION, "training": training, "loop": LOOP | {"steps": 2}}
    model = train(diffusion, tmp_path, cache, "diffusion")
    config = first_stage_config(4, initial=str(first_stage), train_encoder=False, denoiser=str(model))
    out = train(config, tmp_path, cache, "decoder")
    before, after = (load_file(folder / "model.safetensors") for folder in (first_stage, out))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)
    made = np.load(next(cache.glob("denoised-*.npy")))
    true = np.load(next(cache.glob("latents-*.npy")))
    assert made.shape == true.shape and not np.array_equal(made, true)
    with pytest.raises(ConfigError, match="train_encoder: false"):
        train(first_stage_config(4, denoiser=str(model)), tmp_path, cache, "both")
    with pytest.raises(ConfigError, match="the folder of a diffusion model"):
        wrong = first_stage_config(4, train_encoder=False, denoiser=str(first_stage))
        train(wrong, tmp_path, cache, "neither")


def test_the_diffusion_model_learns_and_its_export_draws(
    first_stage: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "kind": "diffusion",
        "model": DIFFUSION,
        "training": {
            "data": [[64, 24, 1.0]],
            "first_stage": str(first_stage / "model.safetensors"),
            "batch_size": 8,
            "ema_decay": 0.9,
        },
        "loop": LOOP | {"steps": 80},
    }
    out = train(config, tmp_path, cache, "diffusion")
    model = load_model(out)
    assert isinstance(model, LatentDiffusion)
    assert model.tokenizer is not None
    assert not model.tokenizer.unknown_words("a sunset over a calm lake")
    assert denoising_error(model) < 0.75  # of 1 for a network that predicts nothing


def denoising_error(model: LatentDiffusion) -> float:
    """Mean squared error of the predicted noise at t = 500 on unseen scenes, by that of no network."""
    unseen = np.stack([data.render("unseen", i, 64).image for i in range(16)])
    z = model.encode(data.to_tensor(unseen))
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    t = torch.full((16,), 500)
    alpha, sigma = model.schedule.alpha_sigma(t)
    condition = model.condition([Inputs(prompt="a landscape")] * 16, tuple(z.shape[-2:]))
    predicted = model.eps(alpha * z + sigma * noise, t, condition)
    untrained = sigma * (alpha * z + sigma * noise)  # a v of zero
    return float((predicted - noise).pow(2).mean() / (untrained - noise).pow(2).mean())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gan"}, "kind is 'gan'"),
        ({"training": {"colour": 1}}, "no setting 'colour'"),
        ({"training": None}, "section training is missing"),
        ({"loop": {"steps": 1}}, "learning_rate"),
    ],
)
def test_wrong_files_are_named(change: dict[str, object], message: str, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        train(first_stage_config(1) | change, tmp_path, cache, "wrong")


def test_an_earlier_training_is_never_overwritten(tmp_path: Path, cache: Path) -> None:
    train(first_stage_config(1), tmp_path, cache, "out")
    with pytest.raises(FileError, match="add --resume"):
        train(first_stage_config(1), tmp_path, cache, "out")
    with pytest.raises(AtelierError, match="no checkpoint to resume"):
        train(first_stage_config(1), tmp_path, cache, "other", "--resume")


def test_the_learning_rate_rises_stays_and_falls() -> None:
    settings = LoopSettings(steps=1000, learning_rate=1.0, warmup=100, cooldown=0.2)
    assert settings.rate(0) == pytest.approx(0.01)
    assert settings.rate(500) == 1.0
    assert settings.rate(900) == pytest.approx(0.5)
    assert 0 < settings.rate(999) < 0.01


def test_psnr_and_frechet_distance_of_known_cases() -> None:
    black = np.zeros((1, 4, 4, 3), np.uint8)
    assert psnr(black, black + 255)[0] == pytest.approx(0.0)
    assert psnr(black, black + 1)[0] == pytest.approx(48.13, abs=0.01)
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (20_000, 3)), rng.normal(0, 2, (20_000, 3)) + 1
    # ||1||^2 + 3 * (1 + 4 - 2 * 2)
    assert frechet_distance(a, b) == pytest.approx(6.0, rel=0.05)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)


def test_export_writes_a_model_and_its_card(first_stage: Path, tmp_path: Path, cache: Path) -> None:
    config = first_stage_config(200) | {
        "atelier": {"title": "Small eyes", "description": "Sees scenes.", "licence": "MIT"}
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    (tmp_path / "figures.json").write_text('{"first-stage": {"psnr_db": 31.5}}', "utf-8")
    arguments = [str(tmp_path / "config.yaml"), str(first_stage), str(tmp_path / "model")]
    cli.export([*arguments, "--cache", str(cache), "--figures", str(tmp_path / "figures.json")])
    assert reconstruction_psnr(tmp_path / "model") == reconstruction_psnr(first_stage)
    card = (tmp_path / "model" / "README.md").read_text("utf-8")
    for words in ("# Small eyes", "Sees scenes.", "200 steps", "psnr db | 31.5", "MIT"):
        assert words in card
    with pytest.raises(FileError, match="no checkpoint"):
        cli.export([arguments[0], str(tmp_path), str(tmp_path / "other")])
    (tmp_path / "figures.json").write_text("[1]", "utf-8")
    with pytest.raises(FileError, match=r"launch\.py evaluate"):
        cli.export([*arguments, "--cache", str(cache), "--figures", str(tmp_path / "figures.json")])
