"""A small network that recognises a scene's attributes and the class of every pixel.

Its features serve as the perceptual loss where no published network's weights are at hand, and, trained
on other scenes, as the judge of generated pictures.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core import scenes

WIDTHS = (32, 64, 96, 128)
PYRAMID = 48  # channels of the maps that are added up to tell classes (arXiv:1612.03144)
INPUT_SIZE = 128  # pixels
ATTRIBUTES: Mapping[str, int] = {name: len(values) for name, values in scenes.ATTRIBUTES.items()}


class SceneNetwork(nn.Module):
    """Pictures (b, 3, H, W) in [-1, 1] -> attributes' logits and features.

    attributes: name -> number of values, the first ones of `scenes.ATTRIBUTES`; classes: number of the first
    ones of `scenes.CLASSES`.
    """

    def __init__(
        self, attributes: Mapping[str, int] = ATTRIBUTES, classes: int = len(scenes.CLASSES)
    ) -> None:
        super().__init__()
        self.classes = classes
        self.stages = nn.ModuleList()
        channels = 3
        for width in WIDTHS:
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(channels, width, 3, stride=2, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, width, 3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                )
            )
            channels = width
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * channels, count) for name, count in attributes.items()}
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, PYRAMID, 1) for width in WIDTHS)
        self.segment_out = nn.Sequential(
            nn.Conv2d(PYRAMID, PYRAMID, 3, padding=1),
            nn.BatchNorm2d(PYRAMID),
            nn.ReLU(),
            nn.Conv2d(PYRAMID, classes, 3, padding=1),
        )

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """One map a stage, at 1/2, 1/4, 1/8 and 1/16 of the picture's size."""
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps

    def features(self, images: Tensor) -> Tensor:
        """(b, 3, H, W) -> (b, 256): mean and maximum over the picture, at INPUT_SIZE."""
        return _pooled(self.feature_maps(resize(images)))

    def segment(self, images: Tensor) -> Tensor:
        """(b, 3, H, W) -> (b, H, W) int64 class ids, seen at INPUT_SIZE."""
        logits = self._segment(self.feature_maps(resize(images)))
        return F.interpolate(logits.float(), size=images.shape[-2:], mode="bilinear").argmax(1)

    def _segment(self, maps: list[Tensor]) -> Tensor:
        """Class logits at half of INPUT_SIZE."""
        h = self.laterals[-1](maps[-1])
        for lateral, finer in zip(reversed(self.laterals[:-1]), reversed(maps[:-1]), strict=True):
            h = lateral(finer) + F.interpolate(h, scale_factor=2.0)
        return self.segment_out(h)

    def forward(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(b, 3, H, W) -> attribute name -> (b, number of values), and (b, classes, 64, 64); logits."""
        maps = self.feature_maps(resize(images))
        features = _pooled(maps)
        return {name: head(features) for name, head in self.heads.items()}, self._segment(maps)


def _pooled(maps: list[Tensor]) -> Tensor:
    last = maps[-1].float()
    return torch.cat([last.mean((2, 3)), last.amax((2, 3))], dim=1)


def resize(images: Tensor) -> Tensor:
    """To INPUT_SIZE squared, averaging over areas."""
    if images.shape[-2:] == (INPUT_SIZE, INPUT_SIZE):
        return images
    return F.interpolate(images, size=(INPUT_SIZE, INPUT_SIZE), mode="area")


def targets(attributes: list[scenes.Attributes]) -> dict[str, Tensor]:
    """Attribute name -> (b,) int64 index of its value."""
    return {
        name: torch.tensor([values.index(getattr(a, name)) for a in attributes])
        for name, values in scenes.ATTRIBUTES.items()
    }
