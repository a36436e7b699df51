"""The landscape renderer: determinism, sizes, labels, boxes and truthful captions."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from ldm_core import scenes

# Attribute -> class of the label map.
MOUNTAINS = {"rocky": "mountain", "snowy": "snowy mountain"}
TREES = {"pine": "pine", "broadleaf": "tree", "birch": "birch", "palm": "palm"}


def _sample(seed: int) -> scenes.Attributes:
    return scenes.sample_attributes(np.random.default_rng(seed))


def _share(scene: scenes.Scene, name: str) -> float:
    return float((scene.labels == scenes.CLASSES.index(name)).mean())


def test_same_seed_same_bytes() -> None:
    a = _sample(3)
    first, again, other = (
        scenes.render(a, 5, 96, 96),
        scenes.render(a, 5, 96, 96),
        scenes.render(a, 6, 96, 96),
    )
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert first.boxes == again.boxes
    assert np.abs(first.image.astype(int) - other.image).mean() > 3


@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (64, 96), (96, 64), (61, 203), (48, 400), (300, 280)]
)
def test_any_size(height: int, width: int) -> None:
    for seed in range(4):
        scene = scenes.render(_sample(seed), seed, height, width)
        assert scene.image.shape == (height, width, 3) and scene.image.dtype == np.uint8
        assert scene.labels.shape == (height, width) and scene.labels.dtype == np.uint8


def test_same_composition_at_two_sizes() -> None:
    differences, agreement = [], []
    for seed in range(12):
        a = _sample(seed)
        large, small = scenes.render(a, seed, 256, 256), scenes.render(a, seed, 128, 128)
        reduced = cv2.resize(large.image, (128, 128), interpolation=cv2.INTER_AREA)
        differences.append(np.abs(reduced.astype(float) - small.image).mean())
        agreement.append((large.labels[::2, ::2] == small.labels).mean())
    assert np.mean(differences) < 4.5 and max(differences) < 10
    assert np.mean(agreement) > 0.95


def test_a_stage_drawn_anew_changes_nothing_before_it() -> None:
    attributes = dataclasses.replace(
        _sample(3),
        trees="pine",
        tree_count="many",
        water="none",
        boat="none",
        boat_count="none",
        weather="clear",
    )
    one, same = (scenes.render(attributes, 5, 128, 128, anew) for anew in ((), ()))
    assert np.array_equal(one.image, same.image)
    strokes = scenes.render(attributes, 5, 128, 128, ("finish",))
    assert np.array_equal(strokes.labels, one.labels) and not np.array_equal(strokes.image, one.image)
    moved = scenes.render(attributes, 5, 128, 128, ("objects",))
    assert np.array_equal(moved.image[:20], one.image[:20])  # the sky above all trees
    assert moved.boxes != one.boxes


def test_attributes_show_in_labels_and_boxes_agree() -> None:
    for seed in range(60):
        a = _sample(seed)
        scene = scenes.render(a, seed, 128, 128)
        assert int(scene.labels.max()) < len(scenes.CLASSES)
        assert _share(scene, "sky") + _share(scene, "cloud") > 0.1
        assert (_share(scene, "water") > 0.03) == (a.water != "none")
        assert a.water != "none" or _share(scene, "water") == 0
        for kind, name in MOUNTAINS.items():
            assert _share(scene, name) > 0.015 if a.mountains == kind else _share(scene, name) == 0
        for kind, name in TREES.items():
            assert _share(scene, name) > 0.015 if a.trees == kind else _share(scene, name) == 0
        assert (_share(scene, "house") > 0.004) == (a.house == "house")
        assert (_share(scene, "boat") > 0.0008) == (a.boat != "none")
        assert _share(scene, {"rocks": "rock"}.get(a.ground, a.ground)) > 0.05
        for box in scene.boxes:
            assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1
            y0, y1, x0, x1 = (round(128 * v) for v in (box.y0, box.y1, box.x0, box.x1))
            assert (scenes.coarse(scene.labels)[y0:y1, x0:x1] == scenes.CLASSES.index(box.label)).any()


def test_house_is_a_tenth_of_the_width() -> None:
    for seed in range(12):
        a = dataclasses.replace(_sample(seed), house="house", building="house")
        boxes = [b for b in scenes.render(a, seed, 128, 128).boxes if b.label == "house"]
        assert len(boxes) == 1 and boxes[0].x1 - boxes[0].x0 >= 0.1


def test_sampler_is_balanced() -> None:
    rng = np.random.default_rng(0)
    many = [scenes.sample_attributes(rng) for _ in range(3000)]

    def share(name: str, value: str) -> float:
        return sum(getattr(a, name) == value for a in many) / len(many)

    for time in scenes.ATTRIBUTES["time"]:
        assert 0.2 < share("time", time) < 0.3
    assert 0.44 < 1 - share("water", "none") < 0.52
    assert 0.3 < share("mountains", "none") < 0.4
    assert 0.2 < share("trees", "none") < 0.3
    assert 0.14 < share("house", "house") < 0.22
    for name in ("weather", "season", "ground", "boat"):
        assert all(share(name, value) > 0.015 for value in scenes.ATTRIBUTES[name]), name
    posters = [scenes.sample_attributes(rng, "poster") for _ in range(3000)]
    for name, values in scenes.ATTRIBUTES.items():
        for value in set(values) - ({"painting"} if name == "look" else set()):
            assert np.mean([getattr(a, name) == value for a in posters]) > 0.02, (name, value)


def test_bad_requests_are_refused() -> None:
    a = _sample(0)
    with pytest.raises(ValueError, match="seed"):
        scenes.render(a, -1)
    with pytest.raises(ValueError, match="size"):
        scenes.render(a, 1, 8, 8)
    with pytest.raises(ValueError, match="weather"):
        dataclasses.replace(a, weather="hail")
    with pytest.raises(ValueError, match="boat"):
        dataclasses.replace(a, water="none", boat="rowboat", boat_count="one")
    for impossible in (
        {"house": "house", "building": "barn"},
        {"bridge": "bridge", "water": "sea"},
        {"time": "night", "disc": "sun"},
        {"time": "day", "disc": "moon"},
        {"trees": "none", "tree_count": "few"},
        {"weather": "stormy", "disc": "sun"},
    ):
        with pytest.raises(ValueError):
            dataclasses.replace(a, **impossible)


def test_a_short_description_tells_the_rest() -> None:
    a = scenes.Attributes("day", "clear", "summer", "none", "lake", "pine", "meadow", "house", "rowboat")
    assert (a.look, a.building, a.tree_count, a.boat_count) == ("painting", "house", "many", "one")
    assert (
        scenes.Attributes("day", "clear", "summer", "none", "none", "none", "sand", building="house").house
        == "house"
    )
