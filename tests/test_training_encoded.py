"""What a first stage makes of pictures once is kept, also where the encoding was interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ldm_core.training import encoded
from ldm_core.training.encoded import known_regions, latents
from ldm_core.training.sources import FolderSource


class Counting(nn.Module):
    """A first stage of f = 8 that only averages, and breaks off before a picture too many."""

    def __init__(self, allowed: float = float("inf")) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen, self.allowed = 0, allowed

    def latent(self, images: Tensor) -> Tensor:
        if self.seen + len(images) > self.allowed:
            raise KeyboardInterrupt
        self.seen += len(images)
        return nn.functional.avg_pool2d(images, 8) * self.weight


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{i}.png")
    return FolderSource.read(folder, 32)


@pytest.mark.parametrize("what", ["latents", "holes"])
def test_an_interrupted_encoding_goes_on(
    what: str, source: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded, "PIECE", 4)
    weights = tmp_path / "weights"
    weights.touch()

    def encode(first_stage: Counting, cache: Path) -> Tensor:
        cache.mkdir(exist_ok=True)
        if what == "latents":
            return latents(first_stage, source, cache, weights)  # type: ignore[arg-type]
        return known_regions(first_stage, source, cache, weights, 1)  # type: ignore[arg-type]

    expected = encode(Counting(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        encode(Counting(allowed=7), tmp_path / "parts")
    rest = Counting()
    torch.testing.assert_close(encode(rest, tmp_path / "parts"), expected, rtol=0, atol=0)
    assert rest.seen == 6, "four of ten were kept"
    again = Counting()
    assert torch.equal(encode(again, tmp_path / "parts"), expected)
    assert again.seen == 0
