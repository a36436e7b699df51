"""Which of the things that were asked for the judge finds in pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ldm_core import scenes
from ldm_core.evaluation import metrics

OBJECTS = (
    "house",
    "boat",
    "palm",
    "sun",
    "moon",
    "tree",
    "barn",
    "chapel",
    "lighthouse",
    "windmill",
    "bridge",
)
_LEAST = 0.003  # share of a picture from which on a thing is there: half of a crescent moon
_COVERED = 0.5  # of the pixels that a label map asks for

Labels = NDArray[np.uint8]
Found = Callable[[scenes.Scene, Labels, str], bool]


def of_class(labels: Labels, name: str) -> NDArray[np.bool_]:
    """The pixels of a class; a tree may be of any kind."""
    whole = scenes.coarse(labels) if name not in scenes.KINDS else labels
    return np.asarray(whole == scenes.CLASSES.index(name))


def by_prompt(scene: scenes.Scene, labels: Labels, name: str) -> bool:
    """Anywhere in the picture."""
    return bool(of_class(labels, name).mean() >= _LEAST)


def by_map(scene: scenes.Scene, labels: Labels, name: str) -> bool:
    """Where the label map has it."""
    return bool(of_class(labels, name)[of_class(scene.labels, name)].mean() >= _COVERED)


def by_box(scene: scenes.Scene, labels: Labels, name: str) -> bool:
    """In half of its boxes or more."""
    boxes = [box for box in scene.boxes if box.label == name]
    pixels = of_class(labels, name)
    return bool(np.mean([metrics.box_found((b.x0, b.y0, b.x1, b.y1), pixels) for b in boxes]) >= 0.5)


def shares_found(
    rendered: Sequence[scenes.Scene], labels: Labels, found: Found, classes: int
) -> dict[str, float]:
    """`found_NAME` of each thing that scenes have, and the mean over things, `found`.

    labels: (n, h, w), what the judge sees in the pictures for the scenes; classes: those that it knows.
    """
    shares: dict[str, float] = {}
    for name in OBJECTS:
        boxed = found is not by_box or name in scenes.BOX_CLASSES
        if scenes.CLASSES.index(name) >= classes or not boxed:
            continue
        seen = [
            found(scene, made, name)
            for scene, made in zip(rendered, labels, strict=True)
            if by_prompt(scene, scene.labels, name)
            and (found is not by_box or any(box.label == name for box in scene.boxes))
        ]
        if seen:
            shares[f"found_{name}"] = float(np.mean(seen))
    return shares | ({"found": float(np.mean(list(shares.values())))} if shares else {})


def invented(rendered: Sequence[scenes.Scene], labels: Labels, classes: int) -> float:
    """Share of the things that are in pictures although the scene has none."""
    wrong = [
        by_prompt(scene, made, name)
        for scene, made in zip(rendered, labels, strict=True)
        for name in OBJECTS
        if scenes.CLASSES.index(name) < classes and not of_class(scene.labels, name).any()
    ]
    return float(np.mean(wrong))
