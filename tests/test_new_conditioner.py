"""A conditioner is one file and one row: `tests/brightness.py` is read, loaded, drawn with and trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from ldm_core.conditioners import CONDITIONERS, Inputs
from ldm_core.conditioners.tokenizer import Tokenizer
from ldm_core.engine.sample import sample
from ldm_core.errors import ConfigError
from ldm_core.formats import load_model
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.training.batches import Batches, TrainingSet, Wording
from ldm_core.training.diffusion import Denoiser
from ldm_core.training.sources import Arrays, SceneSource
from tests import tiny
from tests.brightness import BrightnessSpec

UNET = replace(tiny.SPEC.unet, in_channels=6)
SPEC = replace(tiny.SPEC, unet=UNET, conditioners=(*tiny.SPEC.conditioners, BrightnessSpec(2)))


@pytest.fixture(autouse=True)
def row() -> Iterator[None]:
    CONDITIONERS.append(BrightnessSpec)
    yield
    CONDITIONERS.remove(BrightnessSpec)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with it, described in the published schema."""
    folder = tiny.write_model(tmp_path, spec=SPEC)
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    config["model"]["params"] |= {
        "conditioning_key": "hybrid",
        "concat_conditions": [{"brightness": {"channels": 2}}],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return folder


def test_it_is_read_and_its_network_loaded(folder: Path) -> None:
    model = load_model(folder)
    assert isinstance(model, LatentDiffusion) and model.spec == SPEC
    weights = load_file(folder / "model.safetensors")
    kept = model.get_submodule("brightness_model").get_parameter("weight")
    assert torch.equal(kept, weights["brightness_model.weight"].float())
    assert model.spec.tasks == tiny.SPEC.tasks  # it adds none
    rest = {name: tensor for name, tensor in weights.items() if not name.startswith("brightness_model.")}
    save_file(rest, folder / "model.safetensors")
    with pytest.raises(ConfigError, match="of which the weights have none"):
        load_model(folder)


def test_it_is_drawn_with_and_guided_away_from(folder: Path) -> None:
    model = load_model(folder)
    assert isinstance(model, LatentDiffusion)

    def latent(given: Inputs, guidance_scale: float = 1.0) -> torch.Tensor:
        how = {"height": 64, "width": 64, "steps": 2, "seeds": [0]}
        return sample(model, [given], guidance=guidance_scale, **how)  # type: ignore[arg-type]

    dark_above = torch.cat([torch.zeros(1, 32, 64), torch.ones(1, 32, 64)], dim=1)
    inputs = Inputs("a lake", negative_prompt="a lake", others={"brightness": dark_above})
    nothing = replace(inputs, others={})
    assert torch.equal(latent(replace(inputs, others={"brightness": 0 * dark_above})), latent(nothing))
    assert (latent(inputs) - latent(nothing)).abs().max() > 1e-3
    assert (latent(inputs, 3.0) - latent(inputs)).abs().max() > 1e-3
    assert inputs.uncond(model.spec).others == {} and nothing.uncond(model.spec) is nothing


def test_it_is_drawn_for_training_and_left_out(folder: Path) -> None:
    model = load_model(folder)
    assert isinstance(model, LatentDiffusion)
    source = SceneSource("train", 64, 4)
    images, labels, boxes = (np.stack(part) for part in zip(*map(source.row, range(4)), strict=True))
    chosen = TrainingSet(source, Arrays(images, labels, boxes), torch.randn(4, 4, 8, 8), 1.0)
    tokenizer, stage = Tokenizer(folder / "vocab.txt", 16), model.first_stage_model
    batches = Batches(model.spec, [chosen], tokenizer, stage, {"brightness": 0.5}, Wording(1.0, 0.0))
    batch = batches.draw(np.random.default_rng(0), 16)
    brightness = batch.prepared[1]
    means = {round(float(image.mean()) / 255, 3) for image in images}
    left_out = brightness.flatten(1).sum(1) == 0
    assert 2 < left_out.sum() < 14
    assert {round(float(each.mean()), 3) for each in brightness[~left_out]} <= means
    denoiser = Denoiser(model.model.diffusion_model, model).requires_grad_(True)
    denoiser(batch.z, torch.full((16,), 500), batch).sum().backward()
    assert denoiser.networks["brightness_model"].get_parameter("weight").grad.abs().sum() > 0
    with pytest.raises(ConfigError, match="can do without: brightness, prompt"):
        Batches(model.spec, [chosen], tokenizer, stage, {"boxes": 0.5}, Wording(1.0, 0.0))
