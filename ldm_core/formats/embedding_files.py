"""Files of embeddings (textual inversion), in the layouts that circulate.

    string_to_param.*     A1111's .pt: (n, d), beside what its trainer noted
    emb_params            kohya's scripts: (n, d)
    <name>                diffusers' learned_embeds: (d) or (n, d), the only tensor
    clip_l, clip_g        Stable Diffusion XL: one for each text encoder
    .png                  A1111's pictures, with a text `sd-ti-embedding`: base64 of JSON

A file with several tensors of one name's layout has them one after the other.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ldm_core.conditioners.embeddings import Embedding
from ldm_core.errors import ModelFileError
from ldm_core.formats.reading import Checkpoint
from ldm_core.spec import ClipTower
from ldm_core.wording import shown

XL = ("clip_l", "clip_g")
_FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 1280: "Stable Diffusion XL refiner"}
_FAMILY_XL = "Stable Diffusion XL"
_PNG, _KEYWORD = b"\x89PNG\r\n\x1a\n", b"sd-ti-embedding\0"
_MAX_VECTORS = 256
_MAX_PNG = 64_000_000  # bytes of a file
_MAX_JSON = 16_000_000


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingFile:
    """parts: "clip_l" and "clip_g", or "" alone -> (n, d) float32."""

    name: str
    parts: Mapping[str, Tensor]

    @property
    def family(self) -> str:
        """The models that it is for, as far as that is known."""
        if set(self.parts) == set(XL):
            return _FAMILY_XL
        return _FAMILIES.get(next(iter(self.parts.values())).shape[1], "")

    @property
    def length(self) -> int:
        return len(next(iter(self.parts.values())))

    def fitting(self, towers: Sequence[ClipTower]) -> Embedding | None:
        """For these text encoders; None where it was made for others."""
        if len(towers) == 1 and "" in self.parts:
            vectors = [self.parts[""]]
        elif len(towers) == 1 and XL[1] in self.parts and not towers[0].open_clip:
            return None  # its other half would fit Stable Diffusion 1, which it does not know
        else:
            names = [XL[tower.open_clip] for tower in towers]
            vectors = [self.parts[name] for name in names if name in self.parts]
        dims = [vector.shape[1] for vector in vectors]
        return Embedding(self.name, tuple(vectors)) if dims == [tower.dim for tower in towers] else None


def is_embedding(shapes: Mapping[str, Tensor]) -> bool:
    """Whether a file with these tensors is one."""
    names = [name.rpartition(".")[2] if name.startswith("part") else name for name in shapes]
    if not names or any(tensor.dim() not in (1, 2) for tensor in shapes.values()):
        return False
    return (
        all(name.startswith("string_to_param.") for name in names)
        or set(names) in ({"emb_params"}, set(XL), {XL[0]}, {XL[1]})
        or all(name.startswith("<") for name in names)
        or (len(names) == 1 and next(iter(shapes.values())).shape[-1] in _FAMILIES and "." not in names[0])
    )


def read_embedding(path: Path, name: str) -> EmbeddingFile:
    """
    Raises:
        ModelFileError: the file cannot be read, is not safe to read, or holds no embedding.
    """
    if path.suffix.lower() == ".png":
        tensors = {"string_to_param.*": _of_picture(path)}
    else:
        with Checkpoint(path) as file:
            if not is_embedding(file.shapes):
                raise ModelFileError(f"{shown(path.name)} holds no embedding.")
            _check_size(path, file.shapes.values())
            tensors = dict(file.read(file.shapes))
    parts: dict[str, list[Tensor]] = {}
    for key, tensor in tensors.items():
        part = key.rpartition(".")[2]
        parts.setdefault(part if part in XL else "", []).append(tensor.float().reshape(-1, tensor.shape[-1]))
    try:
        joined = {part: torch.cat(vectors) for part, vectors in parts.items()}
    except RuntimeError:
        raise ModelFileError(f"The vectors in {shown(path.name)} have different lengths.") from None
    if len({len(vectors) for vectors in joined.values()}) > 1:
        raise ModelFileError(f"{shown(path.name)} has more vectors for one text encoder than for the other.")
    return EmbeddingFile(name, joined)


def _check_size(path: Path, tensors: Collection[Tensor]) -> None:
    if sum(tensor.numel() // max(tensor.shape[-1], 1) for tensor in tensors) > 2 * _MAX_VECTORS:
        raise ModelFileError(f"{shown(path.name)} has more vectors than any embedding.")


def _of_picture(path: Path) -> Tensor:
    """(n, d), from the text that A1111 puts into a PNG."""
    try:
        text = next(_texts(path), None)
        said = None if text is None else json.loads(base64.b64decode(text))
        rows = next(iter(said["string_to_param"].values()))["TORCHTENSOR"] if said else None
        vectors = torch.tensor(rows, dtype=torch.float32) if rows else None
    except OSError as error:
        raise ModelFileError(f"{shown(path.name)} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration, RecursionError):
        raise ModelFileError(f"The embedding in {shown(path.name)} is damaged.") from None
    if vectors is None:
        raise ModelFileError(f"{shown(path.name)} is a picture without an embedding.")
    if vectors.dim() != 2 or len(vectors) > _MAX_VECTORS or not bool(vectors.isfinite().all()):
        raise ModelFileError(f"The embedding in {shown(path.name)} is damaged.")
    return vectors


def _texts(path: Path) -> Iterator[bytes]:
    """What stands under the keyword in a PNG."""
    if path.stat().st_size > _MAX_PNG:
        return
    with open(path, "rb") as file:
        if file.read(8) != _PNG:
            return
        while len(head := file.read(8)) == 8:
            (length,), kind = struct.unpack(">I", head[:4]), head[4:]
            if kind == b"tEXt" and length <= _MAX_JSON:
                content = file.read(length)
                file.seek(4, 1)
                if content.startswith(_KEYWORD):
                    yield content.removeprefix(_KEYWORD)
            else:
                file.seek(length + 4, 1)


def family_for(towers: Sequence[ClipTower]) -> str:
    """As `EmbeddingFile.family`, of what fits a model's text encoders."""
    return _FAMILY_XL if len(towers) > 1 else _FAMILIES.get(towers[0].dim, "")
