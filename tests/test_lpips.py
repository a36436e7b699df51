"""LPIPS, read from files in the published names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ldm_core.errors import ModelFileError
from ldm_core.training.lpips import LPIPS

# The convolutions of torchvision's VGG-16.
CONVOLUTIONS = {
    0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256),
    17: (256, 512), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512),
}  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    tensors = {}
    for layer, (inside, out) in CONVOLUTIONS.items():
        tensors[f"net.features.{layer}.weight"] = torch.randn(out, inside, 3, 3) * (2 / inside / 9) ** 0.5
        tensors[f"net.features.{layer}.bias"] = torch.zeros(out)
    for stage, width in enumerate((64, 128, 256, 512, 512)):
        tensors[f"lin{stage}.model.1.weight"] = torch.rand(1, width, 1, 1)
    return tensors


def test_equal_pictures_have_no_distance_and_more_noise_has_more(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(weights, tmp_path / "vgg.safetensors")
    lpips = LPIPS.read(tmp_path / "vgg.safetensors")
    a, noise = torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 3, 64, 64)
    assert lpips(a, a).abs().max() == 0
    little, much = lpips(a, a + 0.02 * noise), lpips(a, a + 0.3 * noise)
    assert little.shape == (2,)
    assert ((little > 0) & (little < much)).all()


def test_a_file_without_the_weights_is_refused(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file({k: t for k, t in weights.items() if not k.startswith("lin3")}, tmp_path / "part.safetensors")
    with pytest.raises(ModelFileError, match=r"lin3\.model\.1\.weight"):
        LPIPS.read(tmp_path / "part.safetensors")
