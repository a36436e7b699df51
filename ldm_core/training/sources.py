"""What is trained on: rendered scenes, or a person's folder; cached as memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from ldm_core import scenes
from ldm_core.errors import FileError
from ldm_core.pictures.reading import read_picture
from ldm_core.request.raster import NOTHING
from ldm_core.training import data
from ldm_core.training.variety import vary

MAX_BOXES = 12

Row = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """The pictures of a source, memory-mapped.

    images: (n, size, size, 3) uint8; labels: (n, size, size) uint8, class ids or NOTHING.
    boxes: (n, MAX_BOXES, 5) float32: class id, or -1 for no box, then x0, y0, x1, y1 in [0, 1].
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    boxes: NDArray[np.float32]


class Source(Protocol):
    """Square pictures and what is known of them.  Can be sent to another process."""

    @property
    def name(self) -> str:
        """A file name that tells this source from every other."""

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""

    def __len__(self) -> int: ...

    def row(self, index: int) -> Row:
        """Picture, label map and boxes as in `Arrays`."""

    def caption(self, index: int, rng: np.random.Generator, full: bool) -> str:
        """A wording; `full`: one that says all that is known."""

    def vocabulary(self) -> Sequence[str]:
        """Every word of the captions, lower case."""

    def class_id(self, index: int) -> int: ...


@dataclass(frozen=True, slots=True)
class SceneSource:
    """`count` rendered scenes.  Scene i is the same at every size."""

    split: str
    size: int
    count: int
    look: data.Look = "painting"

    @property
    def name(self) -> str:
        kind = "" if self.look == "painting" else f"{self.look}-"
        return f"{self.split}-{kind}{self.size}-{self.count}"

    def __len__(self) -> int:
        return self.count

    def row(self, index: int) -> Row:
        scene = data.render(self.split, index, self.size, self.look)
        return scene.image, scene.labels, box_array(scene.boxes, scenes.BOX_CLASSES)

    def caption(self, index: int, rng: np.random.Generator, full: bool) -> str:
        attributes = data.attributes(self.split, index, self.look)
        return scenes.describe(attributes) if full else scenes.caption(attributes, rng)

    def vocabulary(self) -> Sequence[str]:
        return scenes.vocabulary()

    def class_id(self, index: int) -> int:
        """Time of day and season as one number."""
        attributes = data.attributes(self.split, index, self.look)
        times, seasons = scenes.ATTRIBUTES["time"], scenes.ATTRIBUTES["season"]
        return times.index(attributes.time) * len(seasons) + seasons.index(attributes.season)


@dataclass(frozen=True, slots=True)
class VariedSource:
    """Crops of `count` rendered scenes of twice the size, half of them turned, tinted, textured or shrunk.

    For models that should serve any picture.  Nothing but the picture is known.
    """

    split: str
    size: int
    count: int

    @property
    def name(self) -> str:
        return f"{self.split}-varied-{self.size}-{self.count}"

    def __len__(self) -> int:
        return self.count

    def row(self, index: int) -> Row:
        rng = np.random.default_rng([index, self.size])
        whole = data.render(self.split, index, 2 * self.size).image
        top, left = rng.integers(0, self.size + 1, 2)
        image = vary(whole[top : top + self.size, left : left + self.size], rng)
        return image, np.full(image.shape[:2], NOTHING, np.uint8), box_array((), ())

    def caption(self, index: int, rng: np.random.Generator, full: bool) -> str:
        return ""

    def vocabulary(self) -> Sequence[str]:
        return ()

    def class_id(self, index: int) -> int:
        return 0


PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class Item:
    """A picture of a folder and what its files say of it."""

    image: Path
    labels: Path | None
    captions: tuple[str, ...]
    class_id: int
    boxes: tuple[scenes.Box, ...]


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A person's pictures, scaled and cropped around the centre to squares.

    `NAME.txt` beside a picture holds captions, one a line.  `NAME.labels.png` is its label map, an indexed
    or grey PNG of class ids.  `metadata.jsonl` may say of each picture `{"file_name", "captions", "class_id",
    "boxes": [{"class", "x", "y", "width", "height"}]}`, boxes as fractions of the picture.
    """

    folder: Path
    size: int
    items: tuple[Item, ...]
    box_classes: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path, size: int, box_classes: tuple[str, ...] = ()) -> FolderSource:
        """Lists the folder; opens no picture.

        Raises:
            FileError: there is no picture, or `metadata.jsonl` is wrong.
        """
        images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
        images = [path for path in images if not path.name.endswith(".labels.png")]
        if not images:
            raise FileError(f"{folder} holds no picture ({', '.join(PICTURES)}); choose another folder.")
        metadata = _metadata(folder / "metadata.jsonl")
        return cls(
            folder, size, tuple(_item(path, metadata.get(path.name, {})) for path in images), box_classes
        )

    @property
    def name(self) -> str:
        stamps = [f"{item} {item.image.stat().st_mtime_ns}" for item in self.items]
        return f"{self.folder.name}-{self.size}-{hashlib.sha256(repr(stamps).encode()).hexdigest()[:12]}"

    def __len__(self) -> int:
        return len(self.items)

    def row(self, index: int) -> Row:
        item = self.items[index]
        try:
            upright = Image.fromarray(read_picture(item.image).pixels)
            square = (self.size, self.size)
            image = np.asarray(ImageOps.fit(upright, square, Image.Resampling.LANCZOS))
            labels = np.full(square, NOTHING, np.uint8)
            if item.labels is not None:
                with Image.open(item.labels) as file:
                    labels = np.asarray(ImageOps.fit(_class_ids(file), square, Image.Resampling.NEAREST))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:  # of the label map
            raise FileError(f"{item.image.name} cannot be read as a picture: {error}.") from error
        boxes = [moved for box in item.boxes if (moved := _cropped(box, *upright.size)) is not None]
        return image, labels, box_array(boxes, self.box_classes)

    def caption(self, index: int, rng: np.random.Generator, full: bool) -> str:
        captions = self.items[index].captions
        if not captions:
            return ""
        return max(captions, key=len) if full else captions[rng.integers(len(captions))]

    def vocabulary(self) -> Sequence[str]:
        text = " ".join(caption for item in self.items for caption in item.captions)
        return sorted(set(re.findall(r"\w+", text.lower())))

    def class_id(self, index: int) -> int:
        return self.items[index].class_id


def _metadata(path: Path) -> dict[str, Mapping[str, object]]:
    """File name -> what `metadata.jsonl` says of it."""
    metadata: dict[str, Mapping[str, object]] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines() if path.is_file() else (), 1):
        try:
            entry = json.loads(line)
            metadata[entry["file_name"]] = entry
        except (ValueError, KeyError, TypeError) as error:
            raise FileError(f"{path.name}, line {number}: expected a JSON object with file_name.") from error
    return metadata


def _item(image: Path, metadata: Mapping[str, object]) -> Item:
    text, labels = image.with_suffix(".txt"), image.with_suffix(".labels.png")
    captions = metadata.get("captions", ())
    if isinstance(captions, str):
        captions = [captions]
    try:
        lines = text.read_text("utf-8").splitlines() if text.is_file() else list(captions)  # type: ignore[call-overload]
        boxes = tuple(
            scenes.Box(b["class"], b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"])
            for b in metadata.get("boxes", ())  # type: ignore[attr-defined]
        )
        return Item(
            image,
            labels if labels.is_file() else None,
            tuple(line.strip() for line in lines if line.strip()),
            int(metadata.get("class_id", 0)),  # type: ignore[call-overload]
            boxes,
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise FileError(
            f"What metadata.jsonl says of {image.name} is wrong; captions are a list of texts, class_id is a "
            "whole number, boxes are objects with class, x, y, width and height."
        ) from error


def _class_ids(file: Image.Image) -> Image.Image:
    if file.mode not in ("P", "L"):
        raise OSError(f"a label map is an indexed or grey PNG, this one is {file.mode}")
    # An indexed picture's pixels are the ids; its palette is only how a viewer shows them.
    return Image.fromarray(np.array(file, np.uint8))


def _cropped(box: scenes.Box, width: int, height: int) -> scenes.Box | None:
    """A box of the whole picture as one of its central square; None where nothing of it is left."""
    side = min(width, height)
    x0, x1 = (((x - 0.5) * width / side + 0.5) for x in (box.x0, box.x1))
    y0, y1 = (((y - 0.5) * height / side + 0.5) for y in (box.y0, box.y1))
    moved = scenes.Box(box.label, max(x0, 0.0), max(y0, 0.0), min(x1, 1.0), min(y1, 1.0))
    return moved if moved.x0 < moved.x1 and moved.y0 < moved.y1 else None


def box_array(boxes: Sequence[scenes.Box], classes: Sequence[str]) -> NDArray[np.float32]:
    """(MAX_BOXES, 5), largest first; see `Arrays`.  Boxes of other classes are left out."""
    array = np.full((MAX_BOXES, 5), -1, np.float32)
    known = [box for box in boxes if box.label in classes]
    known.sort(key=lambda box: (box.x0 - box.x1) * (box.y1 - box.y0))
    for row, box in zip(array, known, strict=False):
        row[:] = classes.index(box.label), box.x0, box.y0, box.x1, box.y1
    return array


def cached(source: Source, cache: Path, processes: int | None = None) -> Arrays:
    """A source's arrays, made on first use by several processes.

    The folder appears under its name only when it is complete.
    """
    folder = cache / source.name
    if not folder.exists():
        unfinished = cache / f"{source.name}.{os.getpid()}.part"
        unfinished.mkdir(parents=True)
        _fill(unfinished, source, processes or os.cpu_count() or 1)
        unfinished.rename(folder)
    return read_arrays(folder)


def read_arrays(folder: Path) -> Arrays:
    """A source's arrays that `cached` has made."""
    images, labels, boxes = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "labels", "boxes")
    )
    return Arrays(images, labels, boxes)


def _fill(folder: Path, source: Source, processes: int) -> None:
    n, size = len(source), source.size
    arrays = [
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        for name, dtype, shape in (
            ("images", np.uint8, (n, size, size, 3)),
            ("labels", np.uint8, (n, size, size)),
            ("boxes", np.float32, (n, MAX_BOXES, 5)),
        )
    ]
    # Spawned, because forking a process in which torch has started its threads can hang.
    with multiprocessing.get_context("spawn").Pool(processes, _use_one_thread) as pool:
        rows = pool.imap(source.row, range(n), chunksize=min(32, -(-n // processes)))
        for index, row in enumerate(tqdm(rows, source.name, n)):
            for array, value in zip(arrays, row, strict=True):
                array[index] = value
    for array in arrays:
        array.flush()


def _use_one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
