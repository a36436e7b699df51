"""Figures of pictures beside the scenes that they should be like: who judges, and what of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ldm_core import scenes
from ldm_core.evaluation import metrics, objects
from ldm_core.evaluation.inception import Features
from ldm_core.evaluation.judging import BATCH, Opinion, Pictures, judge_pictures
from ldm_core.training import data
from ldm_core.training.lpips import LPIPS
from ldm_core.training.scene_network import SceneNetwork
from ldm_core.training.sources import Arrays


@dataclass(frozen=True, slots=True, eq=False)
class Judges:
    """lpips, inception: None where no weights are given.  neighbours: scenes of a training, to look for
    copies.
    """

    scenes: SceneNetwork
    lpips: LPIPS | None = None
    neighbours: Arrays | None = None
    inception: Features | None = None


def likeness(originals: Pictures, pictures: Pictures, lpips: LPIPS | None) -> dict[str, float]:
    values = metrics.psnr(originals, pictures)
    figures = {"psnr_db": float(values.mean()), "psnr_worst_db": float(values.min())}
    figures |= {"ssim": float(metrics.ssim(originals, pictures).mean())}
    if lpips is not None:
        figures |= {"lpips": float(lpips_distances(lpips, originals, pictures).mean())}
    return figures


@torch.inference_mode()
def lpips_distances(lpips: LPIPS, a: Pictures, b: Pictures) -> NDArray[np.float64]:
    parts = [
        lpips(data.to_tensor(a[i : i + BATCH]), data.to_tensor(b[i : i + BATCH])).double().numpy()
        for i in range(0, len(a), BATCH)
    ]
    return np.concatenate(parts)


def feature_distance(judges: Judges) -> Callable[[Pictures, Pictures], NDArray[np.float64]]:
    """LPIPS where its weights are given, else the distance of the judge's features."""
    if (lpips := judges.lpips) is not None:
        return lambda a, b: lpips_distances(lpips, a, b)

    def distance(a: Pictures, b: Pictures) -> NDArray[np.float64]:
        features = [judge_pictures(judges.scenes, p).features for p in (a, b)]
        return np.asarray(np.linalg.norm(features[0] - features[1], axis=1), np.float64)

    return distance


def objects_found(
    rendered: Sequence[scenes.Scene], judges: Judges, found: objects.Found, real: Opinion, made: Opinion
) -> dict[str, float]:
    """Which things the judge finds, in the scenes and in the pictures."""
    known = judges.scenes.classes
    limits = objects.shares_found(rendered, real.labels, found, known)
    return {f"judge_on_scenes_{name}": share for name, share in limits.items()} | objects.shares_found(
        rendered, made.labels, found, known
    )


def sharpness(originals: Pictures, pictures: Pictures) -> dict[str, float]:
    """Edge energy by that of the scenes, in octaves from the finest on; 1 is as sharp."""
    ratios = metrics.edge_energy(pictures).mean(axis=0) / metrics.edge_energy(originals).mean(axis=0)
    return {f"sharpness_{k + 1}": float(ratio) for k, ratio in enumerate(ratios)}


def distribution(real: Opinion, made: Opinion) -> dict[str, float]:
    """In the judge's features; not the FID, whose features are Inception's."""
    precision, recall = metrics.precision_recall(real.features, made.features)
    return {
        "scene_frechet_distance": metrics.frechet_distance(real.features, made.features),
        "scene_precision": precision,
        "scene_recall": recall,
    }


def fid(judges: Judges, originals: Pictures, pictures: Pictures) -> dict[str, float]:
    if judges.inception is None:
        return {}
    return {"fid": metrics.frechet_distance(judges.inception(originals), judges.inception(pictures))}


def copies(judge: SceneNetwork, made: Opinion, among: Arrays, real: Opinion) -> dict[str, float]:
    """How near pictures come to scenes of the training, by how near unseen scenes do; far under 1: copies."""
    trained = judge_pictures(judge, among.images[:2048]).features
    ours, theirs = (metrics.nearest(o.features, trained)[1] for o in (made, real))
    return {"nearest_neighbour_ratio": float(np.median(ours) / np.median(theirs))}


def box_recall(rendered: Sequence[scenes.Scene], opinion: Opinion) -> float:
    found = [
        metrics.box_found((box.x0, box.y0, box.x1, box.y1), labels == scenes.CLASSES.index(box.label))
        for scene, labels in zip(rendered, scenes.coarse(opinion.labels), strict=True)
        for box in scene.boxes
    ]
    return float(np.mean(found))
