"""Boxes around the regions of label maps, from here and from elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.keeping.metadata import encode_png
from app.widgets.palettes import class_names, palette_of
from app.widgets.regions import boxes_of, filled, map_of
from ldm_core.errors import FileError
from ldm_core.request import Semantic
from ldm_core.request.raster import Raster
from ldm_core.request.rules import LabelledBox

SCENES, STUFF = class_names("scenes"), class_names("coco-stuff")
BOXED = ("sun", "tree", "house")


def test_each_connected_region_of_a_class_has_its_box_the_largest_first() -> None:
    labels = np.full((100, 200), 255, np.uint8)
    labels[10:30, 20:60] = 1
    labels[50:90, 20:60] = 1
    labels[20:60, 100:180] = 0
    labels[95:97, 100:102] = 0  # a crumb
    labels[70:100, 150:200] = 7  # no class
    sun, low, high = (
        LabelledBox("sun", 0.5, 0.2, 0.4, 0.4),
        LabelledBox("tree", 0.1, 0.5, 0.2, 0.4),
        LabelledBox("tree", 0.1, 0.1, 0.2, 0.2),
    )
    assert boxes_of(labels, ("sun", "tree"), 9) == (sun, low, high)
    assert boxes_of(labels, ("sun", "tree"), 2) == (sun, low)
    assert boxes_of(np.full((4, 4), 255, np.uint8), BOXED, 9) == ()


def test_filled_boxes_have_the_same_boxes_around_them() -> None:
    boxes = (LabelledBox("tree", 0.1, 0.1, 0.8, 0.5), LabelledBox("sun", 0.25, 0.2, 0.25, 0.2))
    labels = filled((*boxes[::-1], LabelledBox("dragon", 0, 0, 1, 1)), BOXED, 80, 40)
    assert (labels[10, 30], labels[10, 60], labels[39, 79]) == (BOXED.index("sun"), BOXED.index("tree"), 255)
    assert boxes_of(labels, BOXED, 9) == boxes


def png(labels: NDArray[np.uint8], mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(labels).convert(mode).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("origin", ["ids", "COCO-Stuff", "painted here"])
def test_maps_are_read_by_their_own_classes(origin: str, tmp_path: Path) -> None:
    names = STUFF if origin == "COCO-Stuff" else SCENES
    outside = names.index("house" if origin == "COCO-Stuff" else "sky")
    labels = np.full((64, 64), outside, np.uint8)
    labels[8:40, 8:24] = names.index("tree")
    file = tmp_path / "map.png"
    request = Semantic(label_map=Raster(labels))
    file.write_bytes(
        encode_png(np.zeros((64, 64, 3), np.uint8), request) if origin == "painted here" else png(labels)
    )
    found = map_of(file, palette_of(BOXED), palette_of(SCENES))
    assert (found[8:40, 8:24] == BOXED.index("tree")).all()
    assert found[0, 0] == (BOXED.index("house") if origin == "COCO-Stuff" else 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "transparent", "colours in a table", "another table"])
def test_a_map_in_colours_is_read_by_the_nearest(kind: str, tmp_path: Path) -> None:
    scenes, sky, tree = palette_of(SCENES), SCENES.index("sky"), SCENES.index("tree")
    labels = np.full((64, 64), sky, np.uint8)
    labels[8:40, 8:24] = tree
    rgb = np.array([list(bytes.fromhex(one.colour[1:])) for one in scenes], np.uint8)
    shown, file = Image.fromarray(rgb[labels]), tmp_path / "map"
    if kind == "transparent":
        shown = Image.fromarray(np.dstack([rgb[labels], np.where(labels == tree, 0, 255).astype(np.uint8)]))
    if kind == "colours in a table":
        shown = shown.quantize(4)  # whatever numbers that gives
    if kind == "another table":
        shown = Image.fromarray(labels, "P")
        shown.putpalette([7, 8, 9] * 256)
    shown.save(file, "JPEG" if kind == "JPEG" else "PNG")
    found = map_of(file, palette_of(BOXED), scenes)
    inside, outside = found[12:36, 12:20], found[48:, 32:]
    assert (inside == (255 if kind == "transparent" else BOXED.index("tree"))).all()
    assert (outside == 255).all()  # the sky is not to be boxed
    boxes = boxes_of(found, BOXED, 9)
    assert [box.label for box in boxes] == ([] if kind == "transparent" else ["tree"])


def test_what_is_no_map_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "map.png").write_bytes(b"no picture")
    with pytest.raises(FileError, match="This is no map"):
        map_of(tmp_path / "map.png", palette_of(BOXED), palette_of(SCENES))
