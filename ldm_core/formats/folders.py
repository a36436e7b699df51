"""Folders of models: which of their files hold the weights, and their JSON.  Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

from ldm_core.errors import ConfigError, ModelFileError

MAX_JSON = 1_000_000  # bytes
# Of a component; the first that is there counts, so pickles are not opened beside safetensors.
WEIGHTS_NAMES = tuple(
    f"{stem}.{end}"
    for end in ("safetensors", "bin")
    for stem in ("diffusion_pytorch_model", "model", "pytorch_model")
)
_UNUSED = frozenset({"safety_checker", "feature_extractor"})


def weights_of(folder: Path) -> tuple[Path, ...]:
    """The weights of a model folder, one file a component in the layout of diffusers.

    Raises:
        OSError: the folder cannot be read.
    """
    if not (folder / "model_index.json").is_file():
        return (folder / "model.safetensors",)
    found = []
    for part in sorted(folder.iterdir()):
        there = {file.name: file for file in part.iterdir()} if part.is_dir() else {}
        chosen = next((there[name] for name in WEIGHTS_NAMES if name in there), None)
        if chosen is not None and part.name not in _UNUSED:
            found.append(chosen)
    return tuple(found)


def read_json(path: Path) -> dict[str, object]:
    """A JSON object from a file.

    Raises:
        ModelFileError: there is no such file, or it cannot be read.
        ConfigError: it is larger than 1 MB, no JSON object, names a field twice or holds NaN.
    """
    try:
        # Never opens a pipe or device, never reads more than is allowed.
        if not path.is_file():
            raise ModelFileError(f"{path.name} is not a file.")
        with open(path, "rb") as file:
            data = file.read(MAX_JSON + 1)
    except OSError:
        raise ModelFileError(f"{path.name} cannot be read; check that it is there and readable.") from None
    if len(data) > MAX_JSON:
        raise ConfigError(f"{path.name} has more than {MAX_JSON:,} bytes, far more than it needs.")
    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"{path.name} is damaged, as it is no JSON object; download it again.")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)
