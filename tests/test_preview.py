"""The latent-to-colour map."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.network.preview import PreviewMap, smooth_latents
from tests import tiny


def test_a_linear_first_stage_is_found_exactly() -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = 0.1 * torch.randn(3, 4, generator=generator)
    offset = torch.tensor([0.3, 0.0, -0.2]).view(3, 1, 1)

    def decode(z: Tensor) -> Tensor:
        rgb = torch.einsum("kc,bchw->bkhw", matrix, z) + offset
        return F.interpolate(rgb, scale_factor=8.0)

    preview = PreviewMap.fit(decode, 4)
    assert np.allclose(preview.weights[:-1], matrix.T, atol=1e-4)
    assert np.allclose(preview.weights[-1], offset.flatten(), atol=1e-4)


def test_previews_look_like_the_picture() -> None:
    model = LatentDiffusion.from_state_dict(tiny.SPEC, tiny.weights())
    preview = PreviewMap.fit(model.decode, 4)
    z = smooth_latents(1, 4, 20).flip(-1).contiguous()  # not what it was fitted on
    shown = preview(z[0])
    assert shown.shape == (20, 20, 3) and shown.dtype == np.uint8
    truth = F.adaptive_avg_pool2d(model.decode(z), 20)[0].movedim(0, -1).numpy()
    for channel in range(3):  # this first stage is random; a trained one is far closer to linear
        assert np.corrcoef(shown[..., channel].ravel(), truth[..., channel].ravel())[0, 1] > 0.4


def test_it_costs_next_to_nothing() -> None:
    preview = PreviewMap(np.ones((5, 3), np.float32))
    z = torch.randn(4, 64, 64)
    preview(z)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        preview(z)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.001


def test_a_failing_decoder_gives_a_finite_map() -> None:
    preview = PreviewMap.fit(lambda z: torch.full((len(z), 3, 128, 128), torch.nan), 4)
    assert np.isfinite(preview.weights).all()
    assert preview(torch.full((4, 2, 2), torch.nan)).shape == (2, 2, 3)
