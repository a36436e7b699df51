"""Twice the height and width, in the UNet and in the first stage's decoder."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
