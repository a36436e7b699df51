"""The published conditioners with weights that are no transformers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.spec import ClassSpec, LabelMapSpec


class ClassEmbedder(nn.Module):
    """Class ids (b,) int64 -> context (b, 1, dim)."""

    def __init__(self, spec: ClassSpec) -> None:
        super().__init__()
        self.embedding = nn.Embedding(spec.num_classes, spec.dim)

    def forward(self, classes: Tensor) -> Tensor:
        return self.embedding(classes)[:, None]


class SpatialRescaler(nn.Module):
    """One-hot label map (b, num_classes, H, W) -> (b, channels, H / 2^halvings, W / 2^halvings)."""

    def __init__(self, spec: LabelMapSpec) -> None:
        super().__init__()
        self.halvings = spec.halvings
        self.channel_mapper = nn.Conv2d(spec.num_classes, spec.channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.halvings):
            x = F.interpolate(x, scale_factor=0.5, mode="bilinear")
        return self.channel_mapper(x)
