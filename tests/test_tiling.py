"""A first stage in tiles is the first stage: every kind of it, up to rounding, with the memory of a tile."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldm_core.network import tiling
from ldm_core.network.images import to_pixels
from ldm_core.nn.autoencoder import FirstStage, first_stage
from ldm_core.spec import AutoencoderSpec
from tests import tiny
from tests.memory import Peak

KL = replace(tiny.SPEC.first_stage, resolution=256, patch_size=1, channels=32, num_res_blocks=1)
VQ = replace(KL, z_channels=3, embed_dim=3, n_embed=64)
ATTENTION = "KL, f = 8, attention in the middle"
KINDS: dict[str, AutoencoderSpec] = {
    "KL, f = 8, patches, no attention": replace(KL, patch_size=4, channel_mult=(2, 3), attention=False),
    "VQ, f = 4, patches, no attention": replace(VQ, patch_size=4, channel_mult=(1,), attention=False),
    ATTENTION: replace(KL, channel_mult=(1, 1, 1, 2)),
    "VQ, f = 4, attention in the middle": replace(VQ, channel_mult=(1, 1, 2)),
    "VQ, f = 8, attention in a level": replace(VQ, channel_mult=(1, 1, 1, 2), attn_resolutions=(32,)),
    "KL, f = 32, attention in two levels": replace(
        KL, channel_mult=(1, 1, 1, 1, 2, 2), attn_resolutions=(16, 8), z_channels=16, embed_dim=16
    ),
}
TILE = 64  # pixels, where more are not needed for what the layers see


def made(name: str) -> FirstStage:
    torch.manual_seed(0)
    stage = first_stage(KINDS[name]).eval().requires_grad_(False)
    for module in stage.modules():  # so that statistics of a tile would show
        if isinstance(module, torch.nn.GroupNorm):
            torch.nn.init.normal_(module.bias, std=0.3)
    return stage


def picture(height: int, width: int) -> Tensor:
    """(1, 3, H, W) whose parts are unlike each other: dark, bright, flat, busy."""
    generator = torch.Generator().manual_seed(1)
    ramp = torch.linspace(-1, 1, width).expand(height, width)
    noise = torch.rand((3, height, width), generator=generator) * torch.linspace(0, 1, height)[:, None]
    return (0.7 * ramp + 0.6 * (noise - 0.3))[None].clamp(-1, 1)


def varied_latent(stage: FirstStage, height: int, width: int) -> Tensor:
    z = stage.latent(picture(height, width))
    return z + torch.randn(z.shape, generator=torch.Generator().manual_seed(2)) * z.std()


def decoded(stage: FirstStage, z: Tensor) -> tuple[NDArray[np.int64], list[float]]:
    """Pixels of a latent decoded in tiles, and what was told on the way."""
    work, shares = tiling.decoding(stage, z, TILE), []
    while True:
        try:
            shares.append(next(work))
        except StopIteration as done:
            return done.value.astype(int), shares


def at_once(stage: FirstStage, z: Tensor) -> NDArray[np.int64]:
    return to_pixels(stage.decode(z)[0]).astype(int)


def assert_no_lines(difference: NDArray[np.int64]) -> None:
    """Nowhere does what two pictures differ by change much more than elsewhere."""
    for axis in (0, 1):
        steps = np.abs(np.diff(difference, axis=axis)).mean((1 - axis, 2))
        assert steps.max() < 3 * steps.mean() + 1


@pytest.mark.parametrize("name", KINDS)
@torch.inference_mode()
def test_in_tiles_as_at_once(name: str) -> None:
    stage = made(name)
    long = 768 + stage.spec.downsampling  # an odd number of cells
    z = varied_latent(stage, 64, long)
    whole, (tiled, shares) = at_once(stage, z), decoded(stage, z)
    assert np.abs(whole - tiled).max() <= 2
    assert whole.std() > 5  # something is there to be equal
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 10
    image = picture(long, 64)
    latent, in_tiles = stage.latent(image), tiling.encode(stage, image, TILE)
    assert (latent - in_tiles).abs().max() < 1e-3 * latent.abs().max()


@torch.inference_mode()
def test_tiles_in_both_directions_and_some_for_the_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = made("KL, f = 8, patches, no attention")
    z = varied_latent(stage, 512, 512)
    whole = at_once(stage, z)
    assert np.abs(whole - decoded(stage, z)[0]).max() <= 2
    monkeypatch.setattr(tiling, "STATISTICS_BYTES", 2**20)
    pixels, shares = decoded(stage, z)
    assert shares == sorted(shares) and shares[-1] == 1.0 and np.diff(shares).max() < 0.2
    difference = pixels - whole  # not of all, but the same for each tile: no lines
    assert np.abs(difference).max() > 2
    assert_no_lines(difference)


@torch.inference_mode()
def test_without_the_statistics_of_the_whole_it_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = made(ATTENTION)
    z = varied_latent(stage, 64, 768)
    whole = at_once(stage, z)
    monkeypatch.setattr(tiling, "_normed", lambda known, norm, x: norm(x))
    monkeypatch.setattr(tiling, "_sums", lambda layer, h, weight, known: torch.ones(3, 32))
    assert np.abs(whole - decoded(stage, z)[0]).max() > 2


@torch.inference_mode()
def test_beyond_the_reach_of_attention_nothing_is_seen_of_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention of a tile alone: not the same picture, but no lines where tiles meet."""
    monkeypatch.setattr(tiling, "INNER_CELLS", 0)
    stage = made(ATTENTION)
    z = varied_latent(stage, 64, 768)
    difference = decoded(stage, z)[0] - at_once(stage, z)
    assert 0 < np.abs(difference).mean() < 6
    assert_no_lines(difference)


def test_memory_is_that_of_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "STATISTICS_BYTES", 2**23)
    with Peak() as peak:
        stage = made(ATTENTION)
        tiling.run(tiling.decoding(stage, torch.randn(1, 4, 16, 512), TILE))
        time.sleep(0.02)
    features = 128 * 4096 * 32 * 4  # bytes of the largest map; at once it took five times as much
    assert 0 < peak.bytes < 2 * features


def spans(count: int, tile: int, overlap: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Where the tiles of one row of tiles begin and end."""
    regions = tiling.grid((1, count), tile, overlap, multiple)
    assert all(rows == slice(0, 1) for rows, _ in regions)
    return [(columns.start, columns.stop) for _, columns in regions]


def test_as_few_tiles_as_cover_a_latent_and_overlap_enough() -> None:
    assert spans(8, 8, 4) == [(0, 8)] and spans(5, 8, 4) == [(0, 5)]
    assert spans(12, 8, 4) == [(0, 8), (4, 12)]
    assert spans(13, 8, 4) == [(0, 8), (2, 10), (5, 13)]
    assert spans(26, 10, 2) == [(0, 10), (8, 18), (16, 26)]
    assert spans(27, 10, 2) == [(0, 10), (6, 16), (11, 21), (17, 27)]
    assert spans(24, 16, 4, multiple=4) == [(0, 16), (8, 24)]
    assert spans(32, 16, 4, multiple=8) == [(0, 16), (8, 24), (16, 32)]
    both = tiling.grid((12, 13), 8, 4, 1)
    assert [(rows.start, columns.start) for rows, columns in both] == [
        (0, 0), (0, 2), (0, 5), (4, 0), (4, 2), (4, 5)
    ]  # fmt: skip


def test_where_tiles_overlap_their_weights_sum_to_one() -> None:
    regions = tiling.grid((10, 22), 10, 4, 1)
    for reach in (0, 1):
        weights = tiling.blending((10, 22), regions, reach)
        total = torch.zeros(10, 22)
        for region, weight in zip(regions, weights, strict=True):
            assert weight.shape == (10, 10) and weight.min() >= 0
            total[region] += weight
        torch.testing.assert_close(total, torch.ones(10, 22))
        first = weights[0][0]  # falls towards the next tile, which begins at cell 6
        assert (first[:6] == 1).all() and (first[6:].diff() < 0).all()
        assert (weights[1].flip(1)[0, :4] > 0.5).sum() == 2 and (first[-1] < 1e-4) == (reach == 1)


def test_what_goes_through_a_first_stage_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, patches = made(ATTENTION), made("KL, f = 8, patches, no attention")
    monkeypatch.setattr(tiling, "WHOLE_BYTES", {"cpu": 64 * 64 * 32 * 4})
    assert tiling.fits(plain, (64, 64)) and not tiling.fits(plain, (64, 65))
    # 3 * 32 channels at a quarter of the resolution, in both directions.
    assert tiling.fits(patches, (64, 320)) and not tiling.fits(patches, (64, 352))
    assert tiling.fits(plain.half(), (128, 64))
    monkeypatch.setattr(tiling, "WHOLE_BYTES", {"cuda": 64 * 64 * 32 * 4, "mps": 0})
    assert not tiling.fits(plain, (1, 1))  # on another device as on the smallest


@torch.inference_mode()
def test_attention_is_of_the_whole_up_to_a_number_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = made(ATTENTION)
    image, z = picture(512, 64), varied_latent(stage, 64, 512)
    latent = stage.latent(image)
    made_of: list[NDArray[np.int64]] = []
    for cells, same in ((512, True), (511, False)):
        monkeypatch.setattr(tiling, "INNER_CELLS", cells)
        in_tiles = tiling.encode(stage, image, TILE)
        assert in_tiles.shape == latent.shape
        assert ((latent - in_tiles).abs().max() < 1e-3 * latent.abs().max()) == same
        made_of.append(decoded(stage, z)[0])
    assert not np.array_equal(*made_of)
    assert np.abs(made_of[0] - at_once(stage, z)).max() <= 2
