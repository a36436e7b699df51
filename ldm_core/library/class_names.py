"""Names of the classes that models know, and from a name to its id.  Imports no torch.

The lists in assets/palettes name their source and licence.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Literal

from ldm_core.bundled import ASSETS
from ldm_core.errors import RequestError
from ldm_core.model_spec import ModelSpec

Vocabulary = Literal["scenes", "coco-stuff", "open-images", "imagenet"]

_LISTS = ASSETS / "palettes"


@functools.cache
def class_names(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Names of the classes; the index is the class id."""
    return tuple(json.loads((_LISTS / f"{vocabulary}.json").read_text(encoding="utf-8"))["names"])


def box_classes(spec: ModelSpec) -> tuple[str, ...]:
    """What a model's boxes may hold; of one that draws them by prompts alone they may hold anything."""
    boxes = spec.taking("boxes")
    if boxes is None:
        return class_names("open-images") if spec.takes_regions else ()
    return boxes.class_names or class_names("open-images")


def picture_classes(spec: ModelSpec) -> tuple[str, ...]:
    """What a class-conditional model's pictures may show; numbers where the names are not known."""
    classes = spec.taking("class")
    if classes is None:
        return tuple(name for name, _ in spec.class_prompts)
    count = classes.class_count
    return classes.class_names or (class_names("imagenet") if count >= 1000 else _numbers(count))


def num_labels(spec: ModelSpec) -> int:
    """Classes of a model's label maps."""
    labels = spec.taking("label_map")
    if labels is None:
        return len(class_names("coco-stuff")) if spec.takes_regions else 0
    return labels.class_count


def label_names(spec: ModelSpec) -> tuple[str, ...]:
    """Names of the classes of a model's label maps; numbers where they are not known.

    Of a model that draws them by prompts alone COCO-Stuff's, which name most of what there is.
    """
    labels, names, count = spec.taking("label_map"), class_names("coco-stuff"), num_labels(spec)
    if labels is not None and labels.class_names:
        return labels.class_names
    return names if count == len(names) else _numbers(count)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(count))


def class_id(field: str, label: str | int, names: Sequence[str], count: int) -> int:
    """The id of a class by its name, or by one of the names that its commas separate; ids stay.

    Raises:
        RequestError: there is no such class.
    """
    if isinstance(label, int):
        if label < count:
            return label
        raise RequestError(field, label, f"a class id from 0 to {count - 1} with this model")
    wanted = label.strip().lower()
    for index, name in enumerate(names):
        if wanted == name.lower() or wanted in (part.strip().lower() for part in name.split(",")):
            return index
    some = ", ".join(repr(name) for name in names[:5])
    raise RequestError(field, label, f"a class that the model knows, such as {some}" if some else "an id")
