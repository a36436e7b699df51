"""`launch.py bench`: what it measures of loading, and beside diffusers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.commands.bench import main
from app.commands.bench_against import AGAINST_ROWS, STABLE_DIFFUSION_1, against_diffusers
from app.commands.bench_load import LOAD_ROWS
from ldm_core.errors import AtelierError
from tests import tiny


def test_the_networks_beside_those_of_diffusers() -> None:
    first_stage = replace(STABLE_DIFFUSION_1.first_stage, channels=32, channel_mult=(1, 1))
    unet = replace(STABLE_DIFFUSION_1.unet, model_channels=32, channel_mult=(1, 2))
    unet = replace(unet, attention_resolutions=(2,))
    spec = replace(STABLE_DIFFUSION_1, first_stage=first_stage, unet=unet)
    figures = against_diffusers(spec, "cpu", "float32", runs=1, cells=8)
    assert figures.keys() == {key for key, *_ in AGAINST_ROWS}
    assert figures["largest_difference"] < 1e-4  # it is the same computation
    assert all(value > 0 for value in figures.values())
    for name in ("unet", "decode"):
        assert figures[f"{name}_seconds"] != figures[f"diffusers_{name}_seconds"]


def test_without_diffusers_a_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(AtelierError, match="diffusers is not installed"):
        main(["--against", "diffusers"])


def test_loading_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_model(tmp_path)
    file = tmp_path / "figures.json"
    arguments = ["--load", "--runs=1", f"--models-dir={tmp_path}", "--model=landscapes", f"--json={file}"]
    assert main([*arguments, "--device=cpu"]) == 0
    figures = json.loads(file.read_text())["medians"]
    assert figures.keys() == {key for key, *_ in LOAD_ROWS}
    assert figures["peak_bytes"] > 0 and "as much as reading" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stored", "dtype"), [("float32", "float32"), ("float32", "bfloat16"), ("float16", "float32")]
)
def test_loading_goes_straight_to_its_destination(stored: str, dtype: str, tmp_path: Path) -> None:
    """A whole model of 0.4e9 weights: memory at most 1.3 times what is kept, time twice that of reading."""
    script = f"""
import torch
from dataclasses import replace
from pathlib import Path
from safetensors.torch import save_file
from app.commands.bench_against import STABLE_DIFFUSION_1
from ldm_core.network.latent_diffusion import LatentDiffusion
unet = replace(STABLE_DIFFUSION_1.unet, model_channels=192)
state = LatentDiffusion.without_weights(replace(STABLE_DIFFUSION_1, unet=unet)).state_dict()
dtype = torch.{stored}
state = {{n.replace("embedders.0.", ""): torch.full(t.shape, 0.01, dtype=dtype) for n, t in state.items()}}
save_file(state, {str(tmp_path / "model.safetensors")!r})
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    file = tmp_path / "figures.json"
    arguments = ["--load", "--runs=3", f"--models-dir={tmp_path}", "--model=model", f"--json={file}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_DTYPE", dtype)
        assert main([*arguments, "--device=cpu"]) == 0
    figures = json.loads(file.read_text())["medians"]
    print(figures)
    assert figures["file_bytes"] > 0.8e9
    assert figures["peak_ratio"] < 1.3 and figures["load_ratio"] < 2.0
