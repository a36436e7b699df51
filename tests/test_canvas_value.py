"""What a canvas sends, read as hostile input; and the way back."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.widgets.canvas_value import CanvasValue, Json, pack, parse_value, value_payload
from app.widgets.palettes import class_names, palette_of
from ldm_core.errors import AtelierError, FileError, RequestError
from ldm_core.request.rules import LabelledBox
from ldm_core.scenes import CLASSES

NAMES = ["sky", "tree", "water"]


def payload(**changes: object) -> Json:
    """Classes on 4x3 pixels: a row of each id."""
    runs = bytes([0, 4, 0, 1, 4, 0, 255, 4, 0])
    fields = {"mode": "classes", "width": 4, "height": 3, "classes": NAMES, "packing": "runs", "feather": 0}
    return {**fields, "labels": base64.b64encode(runs).decode(), "boxes": [], "picture": None, **changes}


def b64(*values: int) -> str:
    return base64.b64encode(bytes(values)).decode()


def box(**changes: object) -> Json:
    fields = {"class": "tree", "x": 0.25, "y": 0, "width": 0.5, "height": 1.0, **changes}
    return payload(mode="boxes", boxes=[fields])


def test_what_arrives(tmp_path: Path) -> None:
    value = parse_value(payload(), tmp_path)
    assert value is not None
    assert value.labels is not None
    assert value.labels.tolist() == [[0] * 4, [1] * 4, [255] * 4]
    assert value.classes == tuple(NAMES)
    assert not value.is_empty
    raw = parse_value(payload(mode="mask", packing="raw", labels=b64(*[0, 255] * 6)), tmp_path)
    assert raw is not None
    assert raw.labels is not None
    assert raw.labels[0].tolist() == [0, 255, 0, 255]
    boxed = parse_value(box(), tmp_path)
    assert boxed is not None
    assert boxed.boxes == (LabelledBox("tree", 0.25, 0.0, 0.5, 1.0),)
    assert parse_value(None, tmp_path) is None


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("text", "canvas is 'text'"),
        (payload(mode="paint"), "canvas mode is 'paint'"),
        (payload(width=0), "canvas width is 0; it has to be a whole number from 1 to 2048."),
        (payload(height=2049), "canvas height is 2049"),
        (payload(width=True), "canvas width is True"),
        (payload(width=4.0), "canvas width is 4.0"),
        (payload(classes=[]), "classes is []"),
        (payload(classes=["x"] * 256), "classes is"),
        (payload(classes=["x" * 81]), "a class is"),
        (payload(classes=["sky"]), "a pixel of labels is 1; it has to be a class id from 0 to 0"),
        (payload(mode="mask"), "a pixel of labels is 1; it has to be 0 or 255"),
        (payload(labels=None), "labels is None"),
        (payload(labels="A" * 1000), "labels is"),
        (payload(labels="?" * 8), "base64 text"),
        (payload(labels="é" * 8), "base64 text"),
        (payload(labels=b64(0, 4)), "packing is 'runs'"),
        (payload(labels=b64(0, 4, 0)), "labels is '4 pixels'; it has to be 12 pixels"),
        (payload(labels=b64(0, 255, 255, 0, 255, 255)), "131070 pixels"),
        (payload(packing="raw", labels=b64(0, 0)), "labels is '2 pixels'"),
        (payload(packing="zip"), "packing is 'zip'"),
        (payload(feather=NAN), "feather is nan"),
        (payload(mode="boxes", boxes=None), "boxes is None"),
        (payload(mode="boxes", boxes=[1]), "boxes is"),
        (payload(mode="boxes", boxes=[{}] * 1001), "boxes is"),
        (box(x=NAN), "boxes is"),
        (box(width=INF), "boxes is"),
        (box(y=-0.1), "boxes is"),
        (box(x=10**400), "boxes is"),
        (box(x="0"), "boxes is"),
        (box(width=0), "inside of it"),
        (box(x=0.6), "inside of it"),
        (box(**{"class": ""}), "class (a name or an id)"),
        (payload(picture="file"), "picture is 'file'"),
    ],
)
def test_wrong_values_give_a_sentence(wrong: object, says: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        parse_value(wrong, tmp_path)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 250


def test_pictures_come_from_the_uploads_alone(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(uploads / "a.png")
    Image.fromarray(pixels).save(tmp_path / "secret.png")
    Image.fromarray(pixels[:2]).save(uploads / "small.png")
    (uploads / "broken.png").write_bytes(b"no picture")
    (uploads / "link.png").symlink_to(tmp_path / "secret.png")
    value = parse_value(payload(picture={"path": str(uploads / "a.png")}), uploads)
    assert value is not None
    assert value.image is not None
    assert np.array_equal(value.image, pixels)
    assert not value.image.flags.writeable
    sentences = {
        str(tmp_path / "secret.png"): "no longer at hand",
        str(uploads / ".." / "secret.png"): "no longer at hand",
        str(uploads / "link.png"): "no longer at hand",
        str(uploads): "no longer at hand",
        str(uploads / "gone.png"): "no longer at hand",
        str(uploads / "small.png"): "The picture has 4 x 2 pixels and the canvas 4 x 3",
        str(uploads / "broken.png"): "no picture that can be opened",
        "\0": "did not reach",
    }
    for path, says in sentences.items():
        with pytest.raises(FileError, match=says):
            parse_value(payload(picture={"path": path}), uploads)
    with pytest.raises(FileError, match="still on its way"):
        parse_value(payload(picture={"state": "sending"}), uploads)


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=4)
)
def test_no_field_can_do_more_than_be_refused(anything: object) -> None:
    for name in payload():
        for mode in ("mask", "classes", "boxes"):
            try:
                parse_value({**payload(mode=mode), name: anything}, Path("/nonexistent"))
            except AtelierError as error:
                assert len(str(error)) < 300


def test_a_small_message_cannot_unpack_to_much(tmp_path: Path) -> None:
    """Lengths are summed before anything is made of them."""
    bomb = b64(*([0, 255, 255] * 300))
    with pytest.raises(RequestError, match="19660500 pixels"):
        parse_value(payload(width=40, height=40, labels=bomb), tmp_path)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_label_maps_go_and_come_exactly(width: int, height: int, run: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    flat = np.repeat(rng.choice([0, 1, 2, 255], width * height // run + 1), run)[: width * height]
    labels = flat.astype(np.uint8).reshape(height, width)
    sent = value_payload(CanvasValue(width, height, labels=labels), None)
    message = payload(width=width, height=height, packing=sent["packing"], labels=sent["labels"])
    value = parse_value(message, Path("/nonexistent"))
    assert value is not None
    assert np.array_equal(value.labels, labels)


def test_long_runs_are_cut(tmp_path: Path) -> None:
    packing, text = pack(np.zeros((2048, 2048), np.uint8))
    assert packing == "runs"
    assert len(text) < 300
    value = parse_value(payload(mode="mask", width=2048, height=2048, packing=packing, labels=text), tmp_path)
    assert value is not None
    assert value.is_empty
    noise = np.random.default_rng(0).integers(0, 3, (64, 64), dtype=np.uint8)
    assert pack(noise)[0] == "raw"


def test_wrong_shapes_are_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="shape of labels"):
        value_payload(CanvasValue(4, 4, labels=np.zeros((3, 4), np.uint8)), None)
    with pytest.raises(RequestError, match="canvas width is 4096"):
        value_payload(CanvasValue(4096, 4), None)


def test_palettes() -> None:
    assert class_names("scenes") == CLASSES
    assert [len(class_names(name)) for name in ("coco-stuff", "open-images", "imagenet")] == [182, 601, 1000]
    for name in ("scenes", "coco-stuff", "open-images"):
        palette = palette_of(class_names(name))
        assert len({swatch.colour for swatch in palette}) == len(palette)
        assert all(len(swatch.colour) == 7 and int(swatch.colour[1:], 16) >= 0 for swatch in palette)


def test_the_bundled_classes_are_easy_to_tell_apart() -> None:
    """At least 20 apart in CIE Lab, where 2 can just be told side by side."""
    import cv2

    colours = [swatch.colour for swatch in palette_of(CLASSES)]
    rgb = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours], np.float32)
    lab = cv2.cvtColor(rgb[None] / 255, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    first, second = np.unravel_index(np.argmin(apart + 1000 * np.eye(len(lab))), apart.shape)
    assert apart[first, second] > 20, (CLASSES[first], CLASSES[second])
