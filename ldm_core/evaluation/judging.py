"""What the judge, a network trained on scenes that no generator has seen, sees in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ldm_core import scenes
from ldm_core.training import data
from ldm_core.training.scene_network import SceneNetwork

Pictures = NDArray[np.uint8]
BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """attributes: attribute -> (n,) value names; features: (n, d); labels: (n, h, w), `scenes.CLASSES`."""

    attributes: dict[str, list[str]]
    features: NDArray[np.float64]
    labels: NDArray[np.uint8]


@torch.inference_mode()
def judge_pictures(judge: SceneNetwork, pictures: Pictures) -> Opinion:
    """Of (n, h, w, 3)."""
    seen: dict[str, list[str]] = {name: [] for name in judge.heads}
    features, labels = [], []
    for i in range(0, len(pictures), BATCH):
        images = data.to_tensor(pictures[i : i + BATCH])
        for name, logits in judge(images)[0].items():
            seen[name] += [scenes.ATTRIBUTES[name][index] for index in logits.argmax(1).tolist()]
        features.append(judge.features(images).double().numpy())
        labels.append(judge.segment(images).to(torch.uint8).numpy())
    return Opinion(seen, np.concatenate(features), np.concatenate(labels))


def accuracies(opinion: Opinion, wanted: Sequence[scenes.Attributes]) -> dict[str, float]:
    """Share of the pictures in which the judge sees the wanted value, by attribute; `mean` over those that
    can be told at a glance.
    """
    shares = {
        name: float(np.mean([s == getattr(a, name) for s, a in zip(seen, wanted, strict=True)]))
        for name, seen in opinion.attributes.items()
    }
    return {**shares, "mean": float(np.mean([shares[name] for name in scenes.PHRASES]))}
