"""Models for semantic segmentation in transformers' layout: recognised by their description, checked first.

Nothing here imports transformers, and nothing of such a folder but JSON is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ldm_core.errors import AtelierError, ModelFileError
from ldm_core.formats.folders import read_json
from ldm_core.wording import shown

_KIND = "ForSemanticSegmentation"
_NETWORKS = "Beit Data2VecVision DPT MobileNetV2 MobileViT MobileViTV2 Segformer UperNet".split()
ARCHITECTURES = tuple(f"{network}{_KIND}" for network in _NETWORKS)
DESCRIPTION, WEIGHTS, PICTURES = "config.json", "model.safetensors", "preprocessor_config.json"
_PICKLE = "pytorch_model.bin"
_LARGEST = 4096  # pixels a side of the pictures that the network is given

# Where transformers would run a folder's code, or ask the network for a part, however it is called.
_REACHING = (
    "auto_map", "quantization_config", "backbone", "use_pretrained_backbone", "use_timm_backbone",
    "attn_implementation", "_attn_implementation",
)  # fmt: skip


def folder_of(path: Path) -> Path | None:
    """The folder of a segmentation model, of which the path may be the weights; None where it is none."""
    folder = path if path.is_dir() else path.parent
    named = path.is_dir() or path.name in (WEIGHTS, _PICKLE)
    return folder if named and architecture(folder) else None


def architecture(folder: Path) -> str:
    """The class of transformers that its description names; "" where that is none for segmentation."""
    with suppress(AtelierError):
        names = read_json(folder / DESCRIPTION).get("architectures")
        if isinstance(names, list) and names[:1] and names[0] in ARCHITECTURES:
            return str(names[0])
    return ""


def family(folder: Path) -> str:
    return architecture(folder).removesuffix(_KIND)


def require_safe(folder: Path) -> None:
    """Looks whether it can be loaded without running, fetching or unpickling anything.

    Raises:
        ModelFileError, ConfigError: it cannot.
    """
    name = shown(folder.name)
    if not (folder / WEIGHTS).is_file():
        raise ModelFileError(
            f"{name} has no {WEIGHTS}; other files of weights, such as {_PICKLE}, are pickles and are not "
            "read: look for a version of the model with it."
        )
    if not (folder / PICTURES).is_file():
        raise ModelFileError(f"{name} lacks {PICTURES}; copy it from where the model came from.")
    for file in (DESCRIPTION, PICTURES):
        for key, value in _entries(read_json(folder / file)):
            if key in _REACHING and value:
                raise ModelFileError(
                    f"{name} asks for code or files from elsewhere ({key} in {file}), which is not done for "
                    "safety; choose another model."
                )
            if file == PICTURES and isinstance(value, int | float) and value > _LARGEST:
                raise ModelFileError(f"{name} has {key} {value:g} in {file}; up to {_LARGEST} can be used.")


def _entries(obj: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Every key, at any depth, with its value."""
    waiting: list[object] = [obj]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
        if isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)
