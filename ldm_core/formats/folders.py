"""Folders of models: which of their files hold the weights, and their JSON.  Imports no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from ldm_core.errors import ConfigError, ModelFileError

MAX_JSON = 1_000_000  # bytes
MAX_PIECES = 100
# The parts of a folder in the layout of diffusers whose weights count; `safety_checker` does not.
PARTS = ("unet", "vae", "vqvae", "text_encoder", "text_encoder_2", "bert")
NOTED = ("scheduler", "low_res_scheduler", "tokenizer", "tokenizer_2")  # those that have none, and count
# Full precision first.  Others, as `non_ema`, are not what a model is sampled with.
_VARIANTS = ("", ".fp32", ".bf16", ".fp16")
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_WEIGHTS = re.compile(
    rf"({'|'.join(_STEMS)})(\.[a-z0-9_]+)?(?:-(\d{{5}})-of-(\d{{5}}))?(\.[a-z0-9_]+)?\.(safetensors|bin)"
)


def weights_of(folder: Path) -> tuple[Path, ...]:
    """The weights of a model folder; in the layout of diffusers those of its parts.

    Raises:
        OSError: the folder cannot be read.
    """
    if not (folder / "model_index.json").is_file():
        return (folder / "model.safetensors",)
    parts = [folder / part for part in PARTS if (folder / part).is_dir()]
    return tuple(file for part in parts for file in weights_in(part))


def weights_in(part: Path) -> tuple[Path, ...]:
    """The files with the weights of a part, several where it was saved in pieces; none where one is missing.

    Raises:
        OSError: the folder cannot be read.
    """
    there = {file.name: file for file in part.iterdir()}
    return tuple(there[name] for name in choose_weights(there))


def choose_weights(names: Iterable[str]) -> tuple[str, ...]:
    """Of the names of a part's files those to use: safetensors before pickles, which stay unopened then.

    Pieces are told by their names (`model-00001-of-00002.safetensors`); the index beside them says no more.
    """
    found: dict[tuple[int, int, int, int], dict[int, str]] = {}
    for name in names:
        match = _WEIGHTS.fullmatch(name)
        variant = (match[2] or match[5] or "") if match else "?"
        if match and variant in _VARIANTS:
            rank = (match[6] == "bin", _VARIANTS.index(variant), int(match[4] or 1), _STEMS.index(match[1]))
            found.setdefault(rank, {})[int(match[3] or 1)] = name
    whole = (rank for rank in sorted(found) if set(found[rank]) == set(range(1, rank[2] + 1)))
    best = next(whole, None)
    return tuple(name for _, name in sorted(found[best].items())) if best else ()


PIECE = re.compile(r"-(\d{5})-of-(\d{5})$")  # behind the name of a checkpoint that was saved in pieces


def pieces_of(file: Path) -> tuple[Path, ...]:
    """A checkpoint's files: itself, or all pieces of it.

    Raises:
        ModelFileError: a piece is missing.
    """
    match = PIECE.search(file.stem)
    if match is None or not 0 < int(match[2]) <= MAX_PIECES:
        return (file,)
    stem, count = PIECE.sub("", file.stem), int(match[2])
    pieces = [file.with_name(f"{stem}-{i:05}-of-{count:05}{file.suffix}") for i in range(1, count + 1)]
    missing = [piece.name for piece in pieces if not piece.is_file()]
    if missing:
        raise ModelFileError(f"{file.name} is one of {count} pieces, and {missing[0]} is not beside it.")
    return tuple(pieces)


def first_stage_beside(file: Path) -> Path | None:
    """What takes the place of a file's own first stage: `NAME.vae.safetensors` (.ckpt, .pt) beside it."""
    names = (f"{file.stem}.vae{end}" for end in (".safetensors", ".ckpt", ".pt"))
    return next((file.with_name(name) for name in names if file.with_name(name).is_file()), None)


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
