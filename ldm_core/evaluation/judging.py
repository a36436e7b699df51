"""What the judge, a network trained on scenes that no generator has seen, sees in pictures."""

from __future__ import annotations

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
    """attributes: attribute -> (n,) value names; features: (n, d); labels: (n, h, w) ids of `scenes.CLASSES`."""

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


def accuracies(opinion: Opinion, count: int) -> dict[str, float]:
    """Share of the unseen scenes' counted attributes that the judge sees, by attribute and on average."""
    wanted = [data.attributes("unseen", i) for i in range(count)]
    shares = {
        name: float(
            np.mean([s == getattr(a, name) for s, a in zip(opinion.attributes[name], wanted, strict=True)])
        )
        for name in scenes.PHRASES
    }
    return {**shares, "mean": float(np.mean(list(shares.values())))}
