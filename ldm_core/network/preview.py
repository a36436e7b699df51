"""Quick looks at a latent: a linear map from latent channels to colours, fitted to each first stage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_SAMPLES = 4
_SIZE = 16  # of the latents that the map is fitted on
_SEED = 0


class PreviewMap:
    """Colours of a latent without the decoder: rgb = z W + b at every position.

    Attributes:
        weights: (c + 1, 3) float32, the last row is b.
    """

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self.weights = weights

    @classmethod
    def fit(cls, decode: Callable[[Tensor], Tensor], channels: int) -> PreviewMap:
        """Least squares between random smooth latents and what the first stage makes of them.

        Args:
            decode: (b, c, h, w) latents of about unit variance -> (b, 3, f h, f w) in [-1, 1].
            channels: c.
        """
        z = smooth_latents(_SAMPLES, channels, _SIZE)
        with torch.inference_mode():
            colours = F.adaptive_avg_pool2d(decode(z).float().cpu().clamp(-1, 1), _SIZE)  # (b, 3, h, w)
        flat = z.movedim(1, -1).flatten(0, -2).double()
        inputs = torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1)  # (b h w, c + 1)
        targets = colours.movedim(1, -1).flatten(0, -2).double()  # (b h w, 3)
        # A little ridge keeps the map finite where the decoder ignores a channel or fails.
        gram = inputs.T @ inputs + 1e-3 * torch.eye(channels + 1, dtype=torch.float64)
        return cls(torch.linalg.solve(gram, inputs.T @ targets.nan_to_num()).float().numpy())

    def __call__(self, z: Tensor, part: tuple[slice, slice] | None = None) -> NDArray[np.uint8]:
        """(c, h, w), or a part of its rows and columns -> (h, w, 3) RGB."""
        z = z if part is None else z[:, part[0], part[1]]
        # In numpy: 0.02 ms; torch hands such small pieces to threads, which took up to 55 ms on busy cores.
        channels, height, width = z.shape
        flat = z.detach().float().cpu().numpy().reshape(channels, -1)
        rgb = self.weights[:-1].T @ flat + self.weights[-1][:, None]  # (3, h w)
        pixels = np.clip(np.rint((np.nan_to_num(rgb) + 1) * 127.5), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(pixels.T).reshape(height, width, 3)


def smooth_latents(count: int, channels: int, size: int) -> Tensor:
    """Random fields with large and small structure, (count, channels, size, size), about unit variance."""
    generator = torch.Generator().manual_seed(_SEED)
    total = torch.zeros(count, channels, size, size)
    for cells in (1, 2, 4, 8):
        coarse = torch.randn(count, channels, cells, cells, generator=generator)
        total += F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return total / total.std()
