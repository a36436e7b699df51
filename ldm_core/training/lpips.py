"""LPIPS with VGG-16 (arXiv:1801.03924), from weights that a person has as a local file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.errors import ModelFileError
from ldm_core.formats.reading import read_state_dict

# Channels of VGG-16's convolutions; a new stage begins after a pooling.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the pictures VGG was trained on, in [-1, 1]


class LPIPS(nn.Module):
    """Perceptual distance of pictures (b, 3, H, W) in [-1, 1] -> (b,).  Eq. 1."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        channels = 3
        for widths in STAGES:
            layers: list[nn.Module] = []
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            self.stages.append(nn.Sequential(*layers))
        self.weights = nn.ParameterList(torch.zeros(1, widths[-1], 1, 1) for widths in STAGES)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    @classmethod
    def read(cls, path: Path) -> LPIPS:
        """From a file with VGG-16's convolutions (`features.0.weight` ...) and LPIPS' weights of the stages
        (`lin0.model.1.weight` ...), under any prefixes.

        Raises:
            ModelFileError: some of them are missing.
        """
        found, model = read_state_dict(path), cls()
        wanted = dict(_published_names(model))
        weights = {name: _ending(found, ending, path) for name, ending in wanted.items()}
        model.load_state_dict(weights | {"mean": model.mean, "std": model.std})
        return model.eval().requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x = (torch.cat([a, b]) - self.mean) / self.std
        distance = torch.zeros(len(a), device=a.device)
        for number, (stage, weight) in enumerate(zip(self.stages, self.weights, strict=True)):
            x = stage(F.max_pool2d(x, 2) if number else x)
            unit_a, unit_b = F.normalize(x.float(), dim=1, eps=1e-10).chunk(2)
            distance = distance + ((unit_a - unit_b) ** 2 * weight).sum(1).mean((1, 2))
        return distance


def _published_names(model: LPIPS) -> list[tuple[str, str]]:
    """(our name, how the published name ends) of every weight."""
    names = [(f"weights.{i}", f"lin{i}.model.1.weight") for i in range(len(STAGES))]
    layer = 0  # in torchvision's numbering: every convolution, ReLU and pooling counts
    for number, widths in enumerate(STAGES):
        for i in range(len(widths)):
            names += [
                (f"stages.{number}.{2 * i}.{kind}", f"features.{layer}.{kind}") for kind in ("weight", "bias")
            ]
            layer += 2
        layer += 1
    return names


def _ending(found: Mapping[str, Tensor], ending: str, path: Path) -> Tensor:
    for name, tensor in found.items():
        if name == ending or name.endswith("." + ending):
            return tensor.float()
    raise ModelFileError(
        f"{path.name} has no {ending}; expected a file with VGG-16's convolutions and the weights of LPIPS."
    )
