"""The published conditioners with weights that are no transformers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ClassEmbedder(nn.Module):
    """Class ids (b,) int64 -> context (b, 1, dim)."""

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, dim)

    def forward(self, classes: Tensor) -> Tensor:
        return self.embedding(classes)[:, None]


class SpatialRescaler(nn.Module):
    """One-hot label map (b, num_classes, H, W) -> (b, channels, H / 2^halvings, W / 2^halvings)."""

    def __init__(self, num_classes: int, channels: int, halvings: int) -> None:
        super().__init__()
        self.halvings = halvings
        self.channel_mapper = nn.Conv2d(num_classes, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.halvings):
            x = F.interpolate(x, scale_factor=0.5, mode="bilinear")
        return self.channel_mapper(x)
