"""Models that were distilled to few steps begin with the settings that they were made for, and say why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ldm_core.library.models import ModelLibrary
from ldm_core.request import TextToImage
from tests.stable_diffusion import SD1, SDXL, write

# A file's name -> steps, sampler, spacing, guidance, eta.
NAMES = {
    "sdxl_lightning_4step": (4, "euler", "trailing", 1.0, 0.0),
    "SDXL-Lightning-8steps": (8, "euler", "trailing", 1.0, 0.0),
    "dreamshaperXL_lightningDPMSDE": (4, "euler", "trailing", 1.0, 0.0),
    "sd_xl_turbo_1.0_fp16": (4, "euler_ancestral", "trailing", 1.0, 0.0),
    "dreamshaperXL_v21TurboDPMSDE": (6, "dpmpp_2m_sde", "karras", 2.0, 0.0),
    "Hyper-SDXL-8steps": (8, "ddim", "trailing", 1.0, 0.0),
    "Hyper-SDXL-12steps-CFG": (12, "ddim", "trailing", 5.0, 0.0),
    "Hyper-SDXL-1step": (1, "tcd", "lcm", 1.0, 1.0),
    "dmd2_sdxl_4step_unet_fp16": (4, "lcm", "trailing", 1.0, 0.0),
    "mymerge_tcd": (4, "tcd", "lcm", 1.0, 0.3),
    "realisticVision_LCM": (6, "lcm", "lcm", 1.5, 0.0),
}
USUAL = ("enlightning", "nocturbo", "sdxl_base_40step", "helcmon")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    path, state = write(folder, SDXL)
    for name in (*NAMES, *USUAL):
        (folder / f"{name}.safetensors").symlink_to(path)
    save_file(state, folder / "named_inside.safetensors", {"modelspec.title": "SDXL Lightning 2-step"})
    return folder


def test_by_name_and_metadata(folder: Path) -> None:
    library = ModelLibrary([folder])
    for name, (steps, sampler, spacing, guidance, eta) in NAMES.items():
        info = library.info(name)
        start = info.defaults
        got = (start.steps, start.sampler, start.spacing, start.guidance_scale, start.eta)
        assert got == (steps, sampler, spacing, guidance, eta), name
        assert f"{steps} step" in info.reason and ("not read" in info.reason) == (guidance == 1), name
    assert library.info("named_inside").defaults.steps == 2
    for name in USUAL:
        info = library.info(name)
        assert info.reason == "" and info.defaults.steps == 30, name


def test_by_the_weights(tmp_path: Path) -> None:
    path, state = write(tmp_path, SD1)
    width = state["model.diffusion_model.input_blocks.0.0.weight"].shape[0]
    state["model.diffusion_model.time_embed.cond_proj.weight"] = torch.randn(width, 256)
    save_file(state, path)
    info = ModelLibrary([tmp_path]).info("model")
    assert (info.defaults.steps, info.defaults.sampler, info.defaults.guidance_scale) == (4, "lcm", 8.0)
    assert "guides itself" in info.reason and "not read" in info.reason


def test_what_is_not_read_is_told_with_the_picture() -> None:
    assert "not read" in " ".join(TextToImage(negative_prompt="fog", guidance_scale=1.0).notes())
    assert not TextToImage(negative_prompt="fog").notes() and not TextToImage(guidance_scale=1.0).notes()
