"""UNets alone, in each layout, draw with the rest of a whole model beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ldm_core.conditioners import Inputs
from ldm_core.engine.sample import sample
from ldm_core.errors import ConfigError
from ldm_core.formats import load_model
from ldm_core.formats.identify import identify
from ldm_core.library.models import ModelLibrary
from ldm_core.network.latent_diffusion import LatentDiffusion
from tests.stable_diffusion import PROMPT, SD1, SDXL, SIZE, Reference, write

UNET = "model.diffusion_model."


def picture(model: object) -> torch.Tensor:
    assert isinstance(model, LatentDiffusion)
    z = sample(model, [Inputs(prompt=PROMPT)], height=SIZE, width=SIZE, steps=2, guidance=2.0, seeds=[0])
    return model.decode(z)


@pytest.mark.parametrize("layout", ["published", "without a prefix", "diffusers"])
def test_it_draws_on_its_base(layout: str, tmp_path: Path) -> None:
    base, state = write(tmp_path, SDXL)
    base.rename(tmp_path / "base.safetensors")
    _, other = write(tmp_path / "other", SDXL, seed=1)
    own = {n: t for n, t in other.items() if n.startswith(UNET)}
    expected = load_model(write(tmp_path / "expected", SDXL)[0])
    save_file(state | own, tmp_path / "expected" / "model.safetensors")
    expected = load_model(tmp_path / "expected" / "model.safetensors")
    tensors = {
        "published": own,
        "without a prefix": {n.removeprefix(UNET): t for n, t in own.items()},
        "diffusers": Reference(other, SDXL).unet().state_dict(),
    }[layout]
    path = tmp_path / "sdxl_lightning_2step_unet.safetensors"
    save_file({n: t.contiguous() for n, t in tensors.items()}, path)
    assert "base: NAME" in identify(path).problem and identify(path).kind == "UNet"
    path.with_suffix(".yaml").write_text("atelier:\n  base: base\n", "utf-8")
    assert identify(path).kind == "model" and not identify(path).problem
    info = ModelLibrary([tmp_path]).info(path.stem)
    assert info.spec == SDXL and (info.defaults.steps, info.defaults.sampler) == (2, "euler")
    model = load_model(path)
    for one in (model, expected):
        one.defaults = info.spec and model.defaults  # type: ignore[union-attr]
    assert torch.equal(picture(model), picture(expected))


def test_a_base_of_another_kind_or_none_is_told(tmp_path: Path) -> None:
    path, state = write(tmp_path, SDXL)
    other, _ = write(tmp_path / "other", SD1)
    other.rename(tmp_path / "sd1.safetensors")
    path.unlink()
    unet = tmp_path / "unet.safetensors"
    save_file({n: t for n, t in state.items() if n.startswith(UNET)}, unet)
    for name, told in (
        ("sd1", "context_dim|vector_dim"),
        ("../sd1", "not in the same folder"),
        ("x", "not in"),
    ):
        unet.with_suffix(".yaml").write_text(f"atelier:\n  base: {name}\n", "utf-8")
        with pytest.raises(ConfigError, match=told):
            load_model(unet)
