"""The safetensors format, read by an own strict parser of its header.

Layout: eight bytes of little-endian header length, a JSON header
`{NAME: {"dtype": "F16", "shape": [..], "data_offsets": [begin, end]}, "__metadata__": {..}}`, then the data.
Source: https://github.com/huggingface/safetensors#format.  Stricter than the library, which accepts
duplicate names, any name and any number of tensors.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import NoReturn

import torch

from ldm_core.formats.files import RegularFile, shown, size_text

MAX_HEADER = 8_000_000  # bytes
MAX_TENSORS = 20_000
MAX_NAME = 512  # characters
MAX_DIMENSIONS = 8
MAX_ELEMENTS = 1 << 48

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_:-]|\.(?!\.))*(?:\.\*)?")  # embeddings: "string_to_param.*"
_TOKEN = re.compile(r"(?:part\d{1,3}\.)?<[A-Za-z0-9_ .:-]{1,100}>")  # embeddings: "<name>"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of the file: what it is, and where its bytes lie behind the header."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def is_tensor_name(name: object) -> bool:
    """Whether `name` is dotted words, as parameters are called: no path, space or control character."""
    return (
        isinstance(name, str)
        and len(name) <= MAX_NAME
        and (_NAME.fullmatch(name) is not None or _TOKEN.fullmatch(name) is not None)
    )


def read_entries(file: RegularFile) -> tuple[list[Entry], int, dict[str, str]]:
    """What the header describes, where the data behind it begins, and what its maker wrote down.

    Raises:
        ModelFileError: any part of the header is not as the format says, or the data is cut short.
    """
    header, data_start = _read_header(file)
    entries = [_entry(file, name, fields) for name, fields in header.items() if name != "__metadata__"]
    metadata = _metadata(file, header.get("__metadata__", {}))
    _check_layout(file, entries, file.size - data_start)
    return entries, data_start, metadata


def read_entry(file: RegularFile, entry: Entry, data_start: int) -> torch.Tensor:
    """The values of one tensor."""
    numel = math.prod(entry.shape)
    return file.tensor(data_start + entry.begin, numel, entry.dtype).reshape(entry.shape)


def _read_header(file: RegularFile) -> tuple[dict[str, object], int]:
    length = int.from_bytes(file.read(0, 8), "little")
    available = file.size - 8
    if length > available:
        raise file.error(
            f"its header should have {size_text(length)}, but the file has only {size_text(file.size)}; "
            "an incomplete download? Download it again"
        )
    if length > MAX_HEADER:
        raise file.error(f"its header has {size_text(length)}; at most {size_text(MAX_HEADER)} are read")
    raw = file.read(8, length)
    _check_size_of_json(file, raw)

    def refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise file.error(
                f"it has two entries called {shown(twice)}; download it again or use another version"
            )
        return found

    def refuse_constant(constant: str) -> NoReturn:
        raise file.error(f"its header contains {constant}, which the safetensors format does not have")

    try:
        header = json.loads(
            raw.decode("utf-8"), object_pairs_hook=refuse_duplicates, parse_constant=refuse_constant
        )
    except (ValueError, RecursionError):
        raise file.error("its safetensors header is damaged; download it again") from None
    if not isinstance(header, dict):
        raise file.error("its safetensors header is damaged; download it again")
    return header, 8 + length


def _check_size_of_json(file: RegularFile, raw: bytes) -> None:
    """Bounds what parsing can cost, before it: a header of a million tensors takes seconds and gigabytes."""
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 30 * MAX_TENSORS:
        raise file.error(f"it describes more than {MAX_TENSORS:,} tensors; no model has as many")
    structure = b"".join(bare.split(b'"')[::2])  # what stands outside of strings
    if structure.count(b"{") > MAX_TENSORS + 2 or structure.count(b"[") > 2 * MAX_TENSORS:
        raise file.error(f"it describes more than {MAX_TENSORS:,} tensors; no model has as many")
    if structure.count(b",") > 16 * MAX_TENSORS:
        raise file.error("its safetensors header is damaged; download it again")


def _entry(file: RegularFile, name: str, fields: object) -> Entry:
    if not is_tensor_name(name):
        raise file.error(f"it has a tensor called {shown(name)!r}, which is not a name of a model's weights")
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise file.error(f"the description of {shown(name)} is damaged; download it again")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise file.error(
            f"{shown(name)} has the number format {shown(str(dtype), 20)!r}, which is not supported; "
            f"supported are {', '.join(DTYPES)}"
        )
    if (
        not _is_counts(shape)
        or len(shape) > MAX_DIMENSIONS
        or math.prod(d or 1 for d in shape) > MAX_ELEMENTS
    ):
        raise file.error(f"the shape of {shown(name)} is damaged; download it again")
    if not _is_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise file.error(f"the place of {shown(name)} in the file is damaged; download it again")
    begin, end = offsets
    expected = math.prod(shape) * DTYPES[dtype].itemsize
    if end - begin != expected:
        raise file.error(
            f"{shown(name)} should take {size_text(expected)} by its shape, but {size_text(end - begin)} are "
            "set aside for it; the file is damaged, download it again"
        )
    return Entry(name, DTYPES[dtype], tuple(shape), begin, end)


def _is_counts(value: object) -> bool:
    """Whether `value` is a list of whole numbers from 0 that fit into 63 bits."""
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 1 << 63 for v in value)


def _metadata(file: RegularFile, metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise file.error("its metadata is not a list of texts; download it again")
    return metadata


def _check_layout(file: RegularFile, entries: list[Entry], available: int) -> None:
    """The tensors fill the data without gap or overlap."""
    if not entries:
        raise file.error("it contains no tensors; choose the file with the model's weights")
    position = 0
    for entry in sorted(entries, key=lambda e: (e.begin, e.end)):
        if entry.begin != position:
            problem = "overlaps another tensor" if entry.begin < position else "has a gap before it"
            raise file.error(f"{shown(entry.name)} {problem}; the file is damaged, download it again")
        position = entry.end
    if position > available:
        raise file.error(
            f"it has {size_text(file.size)}, not the {size_text(file.size - available + position)} expected; "
            "an incomplete download? Download it again"
        )
    if position < available:
        raise file.error(
            f"it has {size_text(available - position)} more than its header describes; download it again"
        )
