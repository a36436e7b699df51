"""A family of models is one file and one row: `tests/toy_family.py` is recognised, loaded and drawn with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ldm_core.engine.sample import sample
from ldm_core.errors import ConfigError
from ldm_core.formats import load_model
from ldm_core.formats.families import FAMILIES
from ldm_core.formats.identify import describe, identify
from ldm_core.library.models import ModelLibrary
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import first_stage
from tests.toy_family import FIRST_STAGE, TOY, UNET, Mixer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    parts = {"mixer.": Mixer(UNET), "vae.": first_stage(FIRST_STAGE)}
    weights = {f"{start}{name}": t for start, part in parts.items() for name, t in part.state_dict().items()}
    save_file(weights, tmp_path / "toy.safetensors")
    return tmp_path / "toy.safetensors"


@pytest.fixture
def row() -> Iterator[None]:
    FAMILIES.insert(0, TOY)
    yield
    FAMILIES.remove(TOY)


def test_without_its_row_it_is_no_model(file: Path) -> None:
    assert (identify(file).kind, identify(file).family) == ("first stage", "") and identify(file).problem
    with pytest.raises(ConfigError, match="not those of a latent diffusion model"):
        load_model(file)


def test_it_is_recognised_and_described(file: Path, row: None) -> None:
    found = identify(file)
    assert (found.kind, found.family, found.problem) == ("model", "Toy", "")
    assert found.tasks == ("image-to-image", "inpaint", "unconditional")
    spec = describe(file).spec
    assert isinstance(spec, ModelSpec)
    assert spec.first_stage == FIRST_STAGE and spec.unet == UNET and spec.latent_channels == 16
    library = ModelLibrary([file.parent])
    assert library.names() == ("toy",) and library.entry("toy").family == "Toy"
    asked = library.info("toy").defaults
    assert (asked.width, asked.height, asked.steps, asked.guidance_scale) == (64, 64, 4, 1.0)


def test_it_is_loaded_and_drawn_with(file: Path, row: None) -> None:
    model = load_model(file)
    assert isinstance(model, LatentDiffusion) and isinstance(model.model.diffusion_model, Mixer)
    assert model.defaults.steps == 4
    torch.manual_seed(0)
    assert torch.equal(model.model.diffusion_model.mix.weight, Mixer(UNET).mix.weight)
    z = sample(model, "", seeds=[0], height=64, width=64, steps=4)
    other = sample(model, "", seeds=[1], height=64, width=64, steps=4)
    assert z.shape == (1, 16, 32, 32) and z.isfinite().all() and not torch.equal(z, other)
    assert model.decode(z).shape == (1, 3, 64, 64)


def test_a_folder_of_it_is_told_but_not_opened(tmp_path: Path, row: None) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "ToyPipeline"}', "utf-8")
    found = identify(tmp_path)
    assert (found.family, found.tasks) == ("Toy", ()) and "choose a single file" in found.problem
