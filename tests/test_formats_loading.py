"""From a file or folder to a model: descriptions, recognition by tensors, and what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from ldm_core.conditioners import Inputs, MaskedImageSpec
from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.errors import AtelierError, ConfigError, ModelFileError, WeightsError
from ldm_core.formats import load_model, read_config
from ldm_core.formats.families import family_of
from ldm_core.formats.families.first_stage import FIRST_STAGE_ALONE
from ldm_core.formats.shapes import conditioners, first_stage, schedule, unet
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import AutoencoderKL
from ldm_core.spec import AutoencoderSpec, ScheduleSpec
from tests import tiny
from tests.golden import shared_folder

SHARED = shared_folder()
PUBLISHED_CONFIGS = sorted((SHARED / "published_configs").glob("*.yaml")) if SHARED else []


def recognise(weights: dict[str, torch.Tensor]) -> ModelSpec | AutoencoderSpec:
    """What tensors are that have our names, without a configuration."""
    found = family_of(weights)
    return (found[0] if found else FIRST_STAGE_ALONE).describe(weights)


def refused(kind: type[AtelierError], path: Path, config: Path | None = None) -> str:
    with pytest.raises(kind) as caught:
        load_model(path, config=config)
    message = str(caught.value)
    assert str(path.parent) not in message and "\n" not in message
    return message


def test_loading_does_not_import_torchs_compiler(tmp_path: Path) -> None:
    """Which initializing on the meta device would do: most of the time of a process's first model."""
    folder = tiny.write_model(tmp_path)
    script = (
        "import sys; from pathlib import Path; from ldm_core.formats import load_model; "
        "load_model(Path(sys.argv[1])); sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, timeout=100)


def test_bundled_folder(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    model = load_model(folder)
    assert isinstance(model, LatentDiffusion) and model.spec == tiny.SPEC
    assert model.dtype == torch.float32 and model.tokenizer is not None
    assert model.condition([Inputs("a lake")], (8, 8)).context.shape == (1, 16, 32)


def test_one_model_in_three_formats(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path)
    weights = load_file(folder / "model.safetensors")
    torch.save({"state_dict": weights}, tmp_path / "x.ckpt")
    torch.save(weights, tmp_path / "y.pt")
    pictures = []
    for path in (folder, tmp_path / "x.ckpt", tmp_path / "y.pt"):
        model = load_model(path, config=folder / "config.yaml")
        assert isinstance(model, LatentDiffusion)
        pictures.append(model.decode(torch.ones(1, 4, 4, 4)))
    assert torch.equal(pictures[0], pictures[1]) and torch.equal(pictures[0], pictures[2])


def test_a_configuration_of_the_file_s_own_name_comes_first(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path)
    (folder / "model.yaml").write_text((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text("a: 1")
    assert isinstance(load_model(folder / "model.safetensors"), LatentDiffusion)


def test_first_stage_alone(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path)
    prefix = "first_stage_model."
    whole = load_file(folder / "model.safetensors")
    weights = {k.removeprefix(prefix): v for k, v in whole.items() if k.startswith(prefix)}
    weights["loss.logvar"] = torch.zeros(())
    save_file(weights, tmp_path / "first.safetensors")
    model = load_model(tmp_path / "first.safetensors")
    assert isinstance(model, AutoencoderKL)
    assert replace(model.spec, resolution=64) == tiny.SPEC.first_stage
    assert "a whole model, but" in refused(
        ConfigError, tmp_path / "first.safetensors", folder / "config.yaml"
    )


def test_shapes_tell_all_but_the_heads(tmp_path: Path) -> None:
    weights = tiny.weights()
    network, autoencoder = unet(weights), first_stage(weights, "first_stage_model.")
    assert network == replace(tiny.SPEC.unet, num_heads=None)
    assert replace(autoencoder, resolution=64) == tiny.SPEC.first_stage
    assert conditioners(weights, autoencoder, network) == tiny.SPEC.conditioners
    save_file(weights, tmp_path / "m.safetensors")
    assert "attention heads" in refused(ConfigError, tmp_path / "m.safetensors")


def meta(shared: Path, case: str) -> dict[str, torch.Tensor]:
    """A golden case's tensors without their values, but for the schedule."""
    manifest = json.loads((shared / "golden" / case / "manifest.json").read_text())
    weights = {name: torch.empty(shape, device="meta") for name, (shape, _) in manifest.items()}
    if "betas" in weights:
        start, end = (float(x) for x in manifest["betas"][1].split(":")[1:3])
        weights["betas"] = (torch.linspace(start**0.5, end**0.5, 1000, dtype=torch.float64) ** 2).float()
    return weights


@pytest.mark.parametrize("name", ["txt2img_1p4B", "celeba256", "bsr_sr", "inpainting_big", "semantic256"])
def test_published_models_are_recognised_without_a_configuration(name: str, shared: Path) -> None:
    weights = meta(shared, f"published/{name}")
    found = recognise(weights)
    described = read_config(shared / "published_configs" / f"{name}.yaml").spec
    assert isinstance(found, ModelSpec) and isinstance(described, ModelSpec)
    levels = {2**i for i in range(len(found.unet.channel_mult))}
    resolutions = tuple(sorted(levels & set(described.unet.attention_resolutions)))
    assert found == replace(described, unet=replace(described.unet, attention_resolutions=resolutions))
    del weights["betas"]
    assert recognise(weights) == found


@pytest.mark.parametrize(
    "name", [path.stem for path in PUBLISHED_CONFIGS if not path.stem.startswith("first_stage")]
)
def test_every_published_configuration_is_recognised_by_its_tensors(name: str, shared: Path) -> None:
    """The tensors are those of a model built from the configuration."""
    described = read_config(shared / "published_configs" / f"{name}.yaml").spec
    assert isinstance(described, ModelSpec)
    with torch.device("meta"):
        weights: dict[str, torch.Tensor] = dict(
            LatentDiffusion(replace(described, scale_factor=1.0)).state_dict()
        )
    if described.conditioners == (MaskedImageSpec(),):
        weights["cond_stage_model.encoder.conv_in.weight"] = torch.empty(1, device="meta")
    if described.scale_factor is None:
        weights["scale_factor"] = torch.tensor(0.75)
    found = recognise(weights)
    assert isinstance(found, ModelSpec)
    assert found.unet == replace(described.unet, attention_resolutions=found.unet.attention_resolutions)
    assert found.scale_factor == (described.scale_factor or 0.75)
    for part in ("first_stage", "conditioners", "schedule", "parameterization"):
        assert getattr(found, part) == getattr(described, part)


@pytest.mark.parametrize(
    "name", "kl-f4 kl-f8 kl-f16 kl-f32 vq-f4 vq-f4-noattn vq-f8 vq-f8-n256 vq-f16".split()
)
def test_first_stages_are_recognised(name: str, shared: Path) -> None:
    found = recognise(meta(shared, f"first_stage_small/{name}"))
    described = read_config(shared / "golden/first_stage_small" / name / "config.yaml").spec
    assert found == described and isinstance(found, AutoencoderSpec)


def test_what_is_none_of_the_published_models_needs_its_heads(shared: Path) -> None:
    for path in (shared / "golden").glob("*/*/manifest.json"):
        case = f"{path.parent.parent.name}/{path.parent.name}"
        try:
            recognise(meta(shared, case))
        except ConfigError as error:
            assert case.startswith("small/") and "attention heads" in str(error), case


def test_schedule_of_the_buffer() -> None:
    betas = torch.linspace(0.0015**0.5, 0.0205**0.5, 1000, dtype=torch.float64) ** 2
    found = schedule({"betas": betas.float()})
    assert found is not None
    assert (found.num_timesteps, found.linear_start, found.linear_end) == (1000, 0.0015, 0.0205)
    for spec in (
        ScheduleSpec(1000, 0.0015, 0.0205, "linear"),
        ScheduleSpec(1000, 0.00085, 0.012, "scaled_linear", zero_terminal_snr=True),
        ScheduleSpec(1000, 0.0, 0.0, "cosine"),
        ScheduleSpec(4, 0.1, 0.2, betas=(0.1, 0.15, 0.3, 0.2)),
    ):
        alpha_bar = NoiseSchedule(spec).alphas_cumprod
        betas = 1 - alpha_bar / torch.cat([torch.ones(1), alpha_bar[:-1]])
        found = schedule({"betas": betas.float()})
        assert found is not None and (found.kind == spec.kind or found.betas)
        assert torch.allclose(NoiseSchedule(found).alphas_cumprod, alpha_bar, rtol=1e-3, atol=1e-7)
    with pytest.raises(ConfigError, match="damaged"):
        schedule({"betas": torch.tensor([0.5, -1.0])})


@pytest.mark.parametrize(
    ("part", "key", "value", "reason"),
    [
        ("unet_config", "num_res_blocks", 2, "UNet's num_res_blocks is 2 in the configuration, but 1"),
        ("unet_config", "model_channels", 4096, "UNet's model_channels is 4096"),
        ("cond_stage_config", "n_layer", 100, "text transformer's depth is 100"),
        ("cond_stage_config", "vocab_size", 1_000_000, "vocab_size is 1000000"),
    ],
)
def test_configuration_of_another_model(part: str, key: str, value: int, reason: str, tmp_path: Path) -> None:
    """Refused before anything of the described size is built."""
    folder = tiny.write_model(tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"]["params"][part]["params"][key] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert reason in refused(ConfigError, folder)


def test_missing_unexpected_and_wrong_tensors(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path)
    good = load_file(folder / "model.safetensors")
    name = "model.diffusion_model.out.0.weight"
    for weights, reason in (
        ({k: v for k, v in good.items() if k != name}, name),
        ({**good, "model.diffusion_model.extra": torch.zeros(1)}, "extra"),
        ({**good, name: torch.zeros(7)}, "[7]"),
    ):
        save_file(weights, folder / "model.safetensors")
        assert reason in refused(WeightsError, folder)


def test_without_a_first_stage_or_a_text_transformer(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path)
    good = load_file(folder / "model.safetensors")
    for prefix in ("first_stage_model.", "cond_stage_model."):
        save_file({k: v for k, v in good.items() if not k.startswith(prefix)}, folder / "model.safetensors")
        refused(ConfigError, folder)
    save_file({"a": torch.ones(1)}, tmp_path / "lora.safetensors")
    assert "not those of a latent diffusion model" in refused(ConfigError, tmp_path / "lora.safetensors")


def test_moving_averages_are_used(tmp_path: Path) -> None:
    """Each of the UNet's weights is its average; the other networks have none and stay."""
    folder = tiny.write_model(tmp_path)
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.rand(tensor.shape, generator=generator) + 1 if tensor.is_floating_point() else tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    prefix = "model."
    averages = {
        f"model_ema.{k.removeprefix(prefix).replace('.', '')}": v * 2
        for k, v in weights.items()
        if k.startswith(prefix)
    }
    extra = {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(3)}
    save_file({**weights, **averages, **extra}, folder / "model.safetensors")
    loaded = load_model(folder).state_dict()
    for name, tensor in weights.items():
        expected = tensor * 2 if name.startswith(prefix) else tensor
        assert torch.equal(loaded[name], expected), name


def test_other_folders(tmp_path: Path) -> None:
    assert "no model.safetensors" in refused(ModelFileError, tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    assert "none of the latent diffusion family" in refused(ConfigError, tmp_path)


def test_half_precision_where_asked(tmp_path: Path) -> None:
    model = load_model(tiny.write_model(tmp_path), dtype=torch.bfloat16)
    assert isinstance(model, LatentDiffusion) and model.dtype == torch.bfloat16


def test_models_share_a_first_stage_that_lies_beside_them(tmp_path: Path) -> None:
    """The folder is looked up by name among the neighbours; a path instead of a name finds nothing."""
    whole = tiny.write_model(tmp_path)
    weights = load_file(whole / "model.safetensors")
    alone = {name: t for name, t in weights.items() if name.startswith("first_stage_model.")}
    rest = {name: t for name, t in weights.items() if name not in alone}
    stage = tmp_path / "stage"
    stage.mkdir()
    save_file(
        {n.removeprefix("first_stage_model."): t for n, t in alone.items()}, stage / "model.safetensors"
    )
    expected = load_model(whole)
    save_file(rest, whole / "model.safetensors")
    config = yaml.safe_load((whole / "config.yaml").read_text("utf-8"))

    def load_with(name: str) -> LatentDiffusion:
        config.setdefault("atelier", {})["first_stage"] = name
        (whole / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
        model = load_model(whole)
        assert isinstance(model, LatentDiffusion)
        return model

    shared = load_with("stage").state_dict()
    assert all(torch.equal(t, shared[n]) for n, t in expected.state_dict().items())
    for name in ("other", "../" + tmp_path.name + "/stage", str(stage)):
        with pytest.raises(ModelFileError, match="has to lie beside"):
            load_with(name)
