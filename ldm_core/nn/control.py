"""Controls: networks beside the UNet that look at a hint (edges, depth, a sketch) and add residuals to it."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.nn.residuals import Residuals
from ldm_core.nn.unet import Encoder
from ldm_core.spec import UNetSpec

HINT_CELL = 8  # pixels of a hint to a cell of the UNet's first feature map


class Control(Protocol):
    """What a kind of control is to the model."""

    def guide(self, hint: Tensor) -> Tensor:
        """(b, 3, H, W) in [0, 1] -> (b, c, h, w), what of it is the same in all steps."""

    def residuals(
        self, x: Tensor, t: Tensor, context: Tensor | None, vector: Tensor | None, guide: Tensor
    ) -> Residuals:
        """What it adds at one step.

        Args:
            x: (b, c, h, w), x_t.
            t, context, vector: as the UNet is given them.
            guide: of its hint.
        """


class ControlNet(Encoder):
    """A copy of the UNet's encoder that also sees a hint; its outputs come through zero convolutions.

    Module names are those of the published files.  arXiv:2302.05543, github.com/lllyasviel/ControlNet.

    Args:
        spec: of the UNet that is controlled.
    """

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__(spec)
        self.in_channels = spec.in_channels
        self.input_hint_block = _hint_block(spec.model_channels)
        self.zero_convs = nn.ModuleList(nn.Sequential(nn.Conv2d(width, width, 1)) for width in self.widths)
        self.middle_block_out = nn.Sequential(nn.Conv2d(self.widths[-1], self.widths[-1], 1))

    def guide(self, hint: Tensor) -> Tensor:
        """As `Control.guide`."""
        return self.input_hint_block(hint)

    def residuals(
        self, x: Tensor, t: Tensor, context: Tensor | None, vector: Tensor | None, guide: Tensor
    ) -> Residuals:
        """As `Control.residuals`."""
        emb = self.embedding(t, context, vector, x.dtype)
        h, skips = F.pixel_unshuffle(x[:, : self.in_channels], self.patch_size), []
        for i, (block, zero_conv) in enumerate(zip(self.input_blocks, self.zero_convs, strict=True)):
            h = self._run(block, h, emb, context)
            h = h + guide if i == 0 else h
            skips.append(zero_conv(h))
        h = self._run(self.middle_block, h, emb, context)
        return Residuals(tuple(skips), self.middle_block_out(h))


def _hint_block(channels: int) -> nn.Sequential:
    """A picture -> a feature map of an eighth of its size."""
    widths = (3, 16, 16, 32, 32, 96, 96, 256)
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        layers += [nn.Conv2d(before, after, 3, stride=2 if i in (2, 4, 6) else 1, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, padding=1))
