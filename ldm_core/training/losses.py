"""Losses of the first stage (paper, section 3.1; Appendix G)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.formats.reading import read_shapes
from ldm_core.training.lpips import LPIPS
from ldm_core.training.scene_network import SceneNetwork
from ldm_core.training.scene_trainer import load_scene_network


class PerceptualLoss(nn.Module):
    """Distance between unit-normalised features, as in LPIPS (arXiv:1801.03924) with equal weights."""

    def __init__(self, network: SceneNetwork) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        distance = torch.zeros((), device=image.device)
        for a, b in zip(
            self.network.feature_maps(image)[:3], self.network.feature_maps(reconstruction)[:3], strict=True
        ):
            a, b = F.normalize(a.float(), dim=1), F.normalize(b.float(), dim=1)
            distance = distance + (a - b).pow(2).sum(dim=1).mean()
        return distance


def perceptual_loss(path: Path) -> nn.Module:
    """Pictures (b, 3, H, W) in [-1, 1] and others -> their distance; LPIPS where the file holds its weights.

    Raises:
        ModelFileError: the file holds neither network.
    """
    if any(name.endswith("lin0.model.1.weight") for name in read_shapes(path)):
        return LPIPS.read(path)
    return PerceptualLoss(load_scene_network(path))


def gradient_loss(image: Tensor, reconstruction: Tensor, scales: int = 3) -> Tensor:
    """L1 between horizontal and vertical differences at several scales; keeps edges crisp."""
    loss = torch.zeros((), device=image.device)
    for _ in range(scales):
        for dim in (2, 3):
            loss = loss + F.l1_loss(reconstruction.diff(dim=dim), image.diff(dim=dim))
        image, reconstruction = F.avg_pool2d(image, 2), F.avg_pool2d(reconstruction, 2)
    return loss


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches (arXiv:1611.07004).  (b, 3, H, W) -> (b, 1, h, w) logits."""

    def __init__(self, width: int, layers: int = 3) -> None:
        super().__init__()
        blocks: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = width
        for i in range(1, layers):
            wider = width * min(2**i, 8)
            blocks += [
                nn.Conv2d(channels, wider, 4, stride=2, padding=1, bias=False),
                nn.GroupNorm(8, wider),
                nn.LeakyReLU(0.2),
            ]
            channels = wider
        self.main = nn.Sequential(*blocks, nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x)
        return out.float()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator's logits."""
    return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean())


def adaptive_weight(reconstruction_loss: Tensor, adversarial_loss: Tensor, last_layer: Tensor) -> Tensor:
    """Balances the two losses by their gradients at the decoder's last layer.  Eq. 7, arXiv:2012.09841."""
    (rec,) = torch.autograd.grad(reconstruction_loss, last_layer, retain_graph=True)
    (adv,) = torch.autograd.grad(adversarial_loss, last_layer, retain_graph=True)
    return (rec.norm() / (adv.norm() + 1e-4)).clamp(0.0, 1e4).detach()
