"""The poster look: determinism, sizes, and that everything named can be seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ldm_core import scenes
from ldm_core.training import data

TREES = {"pine": "pine", "broadleaf": "tree", "birch": "birch", "palm": "palm"}
MANY = [data.render("unseen", i, 128, "poster") for i in range(60)]


def share(scene: scenes.Scene, name: str) -> float:
    return float((scene.labels == scenes.CLASSES.index(name)).mean())


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    one = MANY[0]
    same, other = (scenes.render(one.attributes, one.seed + k, 128, 128) for k in (0, 1))
    assert np.array_equal(one.image, same.image) and one.boxes == same.boxes
    assert not np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (64, 96), (96, 64), (61, 203), (48, 400), (300, 280)]
)
def test_any_size(height: int, width: int) -> None:
    for one in MANY[:6]:
        scene = scenes.render(one.attributes, one.seed, height, width)
        assert scene.image.shape == (height, width, 3) and scene.image.dtype == np.uint8
        assert scene.labels.shape == (height, width) and scene.labels.dtype == np.uint8


def test_the_composition_is_the_same_at_two_sizes() -> None:
    agreement = []
    for one in MANY[:12]:
        large = scenes.render(one.attributes, one.seed, 256, 256)
        reduced = cv2.resize(large.image, (128, 128), interpolation=cv2.INTER_AREA)
        assert np.abs(reduced.astype(float) - one.image).mean() < 4
        agreement.append((large.labels[::2, ::2] == one.labels).mean())
    assert np.mean(agreement) > 0.96


@pytest.mark.parametrize("scene", MANY, ids=str)
def test_what_is_named_can_be_seen_and_nothing_else_is_there(scene: scenes.Scene) -> None:
    a = scene.attributes
    count = {name: sum(box.label == name for box in scene.boxes) for name in scenes.BOX_CLASSES}
    disc = {"sun": "sun", "moon": "moon", "crescent": "moon"}.get(a.disc)
    assert count["sun"] + count["moon"] == (disc is not None)
    assert disc is None or count[disc] == 1
    assert count["boat"] == ("none", "one", "two", "three").index(a.boat_count)
    for name in scenes.BUILDINGS:
        assert count[name] == (a.building == name)
    assert count["bridge"] == (a.bridge == "bridge")
    assert (share(scene, "bird") > 0) == (a.birds == "birds")
    assert (share(scene, "water") > 0.01) == (a.water != "none")
    for kind, name in TREES.items():
        assert (share(scene, name) > 0.01) == (a.trees == kind)
    low, high = {"none": (0, 0), "one": (1, 1), "few": (1, 3), "many": (4, 12)}[a.tree_count]
    assert low <= count["tree"] <= high
    kinds = {"rocky": "mountain", "snowy": "snowy mountain"}
    for kind, name in kinds.items():
        assert (share(scene, name) > 0.01) == (a.mountains == kind)
    assert share(scene, {"rocks": "rock"}.get(a.ground, a.ground)) > 0.05


def test_boxes_hold_their_objects() -> None:
    for scene in MANY:
        for box in scene.boxes:
            assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1
            x0, x1, y0, y1 = (round(128 * v) for v in (box.x0, box.x1, box.y0, box.y1))
            assert (scenes.coarse(scene.labels)[y0:y1, x0:x1] == scenes.CLASSES.index(box.label)).any()


def test_passages_are_flat() -> None:
    """Beside a painting of the same attributes, a poster has fewer pixels that differ from neighbours."""

    def busy(image: np.ndarray) -> float:  # type: ignore[type-arg]
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
        return float((np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.0)) > 1.5).mean())

    painted = [data.render("unseen", i, 128).image for i in range(12)]
    assert np.mean([busy(one.image) for one in MANY]) < 0.8 * np.mean([busy(image) for image in painted])


def test_other_objects_leave_the_sky_as_it_is() -> None:
    one = next(one for one in MANY if one.attributes.trees != "none" and one.attributes.boat == "none")
    moved = scenes.render(one.attributes, one.seed, 128, 128, ("objects",))
    sky = ((one.labels <= 1) & (moved.labels <= 1)).astype(np.uint8)
    sky = cv2.erode(sky, np.ones((5, 5), np.uint8)) > 0  # without the soft edges of what stands before it
    assert sky.any() and np.array_equal(one.image[sky], moved.image[sky])
    assert one.boxes != moved.boxes
