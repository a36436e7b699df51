"""The zip archives that `torch.save` writes, read by an own strict parser.

Layout: members `ROOT/data.pkl` (what there is), `ROOT/data/KEY` (one storage each) and small notes,
stored without compression, then the central directory.  APPNOTE.TXT, sections 4.3 to 4.5.  Anything
that two readers could take in two ways is refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ldm_core.formats.checkpoint_pickle import (
    MAX_PICKLE,
    Opaque,
    PickleRefused,
    Storage,
    StoredTensor,
    find_state_dict,
    read_pickle,
)
from ldm_core.formats.files import RegularFile, shown, size_text
from ldm_core.formats.safetensors_file import is_tensor_name

MAX_MEMBERS = 50_000
MAX_DIRECTORY = 16_000_000  # bytes
MAX_MEMBER_NAME = 512  # bytes

_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")

_DAMAGED = "its zip archive is damaged or incomplete; download it again"
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_KNOWN_FLAGS = 0x8 | 0x800  # sizes after the data; names in UTF-8


@dataclass(frozen=True, slots=True)
class Member:
    """A stored file: where its bytes begin, how many, and their CRC-32."""

    name: str
    start: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class _Central:
    name: bytes
    flags: int
    crc: int
    size: int
    offset: int


def read_contents(file: RegularFile) -> tuple[dict[str, Member], dict[str, StoredTensor]]:
    """The archive's members, and what its list of contents says of the weights; reads no weights.

    Raises:
        ModelFileError: the archive or its contents are not as torch.save writes them.
    """
    members = _strip_root(file, read_members(file))
    pickled = members["data.pkl"]
    if pickled.size > MAX_PICKLE:
        raise file.error("its list of contents is far larger than that of any model")
    try:
        state_dict = find_state_dict(read_pickle(_bytes_of(file, pickled)))
    except PickleRefused as refused:
        raise file.error(str(refused)) from None
    wanted: dict[str, StoredTensor] = {}
    for name, value in state_dict.items():
        if isinstance(value, Opaque):
            raise file.error(
                f"{shown(str(name))} is not stored as a plain tensor; save the model's weights only"
            )
        if isinstance(value, StoredTensor):
            if not is_tensor_name(name):
                raise file.error(
                    f"it has a tensor called {shown(str(name))!r}, not a name of a model's weights"
                )
            wanted[name] = value
    return members, wanted


def read_tensors(
    file: RegularFile, members: dict[str, Member], wanted: Mapping[str, StoredTensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """The wanted tensors, contiguous, one after the other.

    Raises:
        ModelFileError: the data is damaged or takes far more memory than the file.
    """
    of_storage: dict[Storage, list[tuple[str, StoredTensor]]] = {}
    for name, stored in wanted.items():
        of_storage.setdefault(stored.storage, []).append((name, stored))
    taken = 0  # bytes of memory
    for storage, parts in of_storage.items():
        numbers = _read_storage(file, members, storage, parts[0][0])
        taken += storage.numel * storage.dtype.itemsize
        for name, stored in parts:
            view = numbers.as_strided(stored.shape, stored.stride, stored.offset)
            taken += 0 if view.is_contiguous() else view.numel() * view.element_size()
            if taken > 4 * file.size:
                raise file.error("its tensors take far more room than the file; download it again")
            yield name, view.contiguous()


def _read_storage(file: RegularFile, members: dict[str, Member], storage: Storage, name: str) -> torch.Tensor:
    """A flat tensor of all of a storage's numbers."""
    member = members.get(f"data/{storage.key}")
    expected = storage.numel * storage.dtype.itemsize
    if member is None or member.size != expected:
        found = "nothing" if member is None else size_text(member.size)
        raise file.error(
            f"{shown(name)} should have {size_text(expected)} of data, but it has {found}; download it again"
        )
    return file.tensor(member.start, storage.numel, storage.dtype, lambda crc: crc == member.crc, shown(name))


def _bytes_of(file: RegularFile, member: Member) -> bytes:
    data = file.read(member.start, member.size)
    if zlib.crc32(data) != member.crc:
        raise file.error(
            f"the checksum of {shown(member.name)} is wrong, so the file is damaged; download it again"
        )
    return data


def _strip_root(file: RegularFile, members: list[Member]) -> dict[str, Member]:
    """Members by their name below the one top folder, which has to hold a checkpoint of this byte order."""
    roots = {member.name.partition("/")[0] for member in members}
    if len(roots) != 1:
        inside = [
            m.name for m in members if m.name.endswith((".ckpt", ".safetensors", ".pt", ".pth", ".bin"))
        ]
        if inside:
            raise file.error(f"it is a zip archive with {shown(inside[0])} in it; unpack it first")
        raise file.error(
            "it is a zip archive of several things, not a checkpoint; choose the model file itself"
        )
    below = {member.name.partition("/")[2]: member for member in members}
    if "constants.pkl" in below or any(name.startswith("code/") for name in below):
        raise file.error(
            "it is a TorchScript program, which would have to be run; look for the model's weights"
        )
    if "data.pkl" not in below:
        raise file.error("it is a zip archive, not a checkpoint; if it is a download, unpack it first")
    order = below.get("byteorder")
    if order is not None and (order.size > 16 or _bytes_of(file, order) != b"little"):
        raise file.error(
            "it was saved on a big-endian machine, which is not supported; save it as safetensors"
        )
    return below


def read_members(file: RegularFile) -> list[Member]:
    """All members of a plain, uncompressed archive that fills the file from its first byte to its last.

    Raises:
        ModelFileError: damaged, compressed, encrypted, or ambiguous in any way.
    """
    start, end, count = _find_directory(file)
    if count > MAX_MEMBERS or end - start > MAX_DIRECTORY:
        raise file.error(f"it describes more than {MAX_MEMBERS:,} parts; no model has as many")
    directory = file.read(start, end - start)
    entries: list[_Central] = []
    position = 0
    while position < len(directory):
        entry, position = _central_entry(file, directory, position)
        entries.append(entry)
    if len(entries) != count or len({entry.name for entry in entries}) != count:
        raise file.error("its zip archive names a part twice or miscounts them; download it again")
    members: list[Member] = []
    free_from = 0
    for entry in sorted(entries, key=lambda e: e.offset):
        if entry.offset < free_from or (not members and entry.offset != 0):
            raise file.error(_DAMAGED)
        member = _local_entry(file, entry, start)
        free_from = member.start + member.size
        members.append(member)
    return members


def _find_directory(file: RegularFile) -> tuple[int, int, int]:
    """(start, end, number of entries) of the central directory."""
    end = file.size - _END.size
    if end < 0:
        raise file.error(_DAMAGED)
    signature, disk, first_disk, here, count, size, offset, comment = _END.unpack(file.read(end, _END.size))
    if signature != b"PK\x05\x06" or comment:
        raise file.error(_DAMAGED)
    locator_at = end - _LOCATOR_64.size
    if locator_at >= _END_64.size:
        mark, locator_disk, end64_at, disks = _LOCATOR_64.unpack(file.read(locator_at, _LOCATOR_64.size))
        if mark == b"PK\x06\x07":
            narrow = (here, count, size, offset)
            end = locator_at - _END_64.size
            fields = _END_64.unpack(file.read(end, _END_64.size))
            mark64, length, _, _, disk, first_disk, here, count, size, offset = fields
            wide = (here, count, size, offset)
            limits = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
            agree = all(n in (w, limit) for n, w, limit in zip(narrow, wide, limits, strict=True))
            sound = mark64 == b"PK\x06\x06" and length == _END_64.size - 12 and end64_at == end
            if not agree or not sound or locator_disk or disks != 1:
                raise file.error(_DAMAGED)
    if disk or first_disk or here != count or offset + size != end or not count:
        raise file.error(_DAMAGED)
    return offset, end, count


def _central_entry(file: RegularFile, directory: bytes, position: int) -> tuple[_Central, int]:
    """The entry at `position` of the central directory, and the position behind it."""
    if position + _CENTRAL.size > len(directory):
        raise file.error(_DAMAGED)
    fields = _CENTRAL.unpack_from(directory, position)
    signature, flags, method = fields[0], fields[3], fields[4]
    crc, packed, size, name_length, extra_length, comment_length, disk = fields[7:14]
    offset = fields[16]
    name_at = position + _CENTRAL.size
    extra_at = name_at + name_length
    behind = extra_at + extra_length + comment_length
    if signature != b"PK\x01\x02" or behind > len(directory):
        raise file.error(_DAMAGED)
    name = directory[name_at:extra_at]
    if flags & _ENCRYPTED:
        raise file.error("its zip archive is encrypted; unpack it first")
    if method != 0:
        raise file.error(
            f"its part {shown(name.decode('utf-8', 'replace'))} is compressed, which checkpoints never are; "
            "if it is a packed download, unpack it first"
        )
    wide = _zip64_fields(directory[extra_at : extra_at + extra_length], (size, packed, offset))
    if wide is None or disk or wide[0] != wide[1] or flags & ~_KNOWN_FLAGS:
        raise file.error(_DAMAGED)
    return _Central(name, flags, crc, wide[0], wide[2]), behind


def _zip64_fields(extra: bytes, narrow: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """(size, packed size, offset), taken from the ZIP64 field where 32 bits are too few; None if damaged."""
    blocks: list[bytes] = []
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            blocks.append(extra[position + 4 : position + 4 + length])
        position += 4 + length
    if position != len(extra) or len(blocks) > 1:
        return None
    block, values = blocks[0] if blocks else b"", list(narrow)
    for i, value in enumerate(values):
        if value == 0xFFFFFFFF:
            if len(block) < 8:
                return None
            values[i], block = int.from_bytes(block[:8], "little"), block[8:]
    return values[0], values[1], values[2]


def _local_entry(file: RegularFile, entry: _Central, directory_start: int) -> Member:
    """The member that a local header begins, which has to say the same as the central directory."""
    if entry.offset + _LOCAL.size > directory_start or not 0 < len(entry.name) <= MAX_MEMBER_NAME:
        raise file.error(_DAMAGED)
    header = _LOCAL.unpack(file.read(entry.offset, _LOCAL.size))
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = header
    name_at = entry.offset + _LOCAL.size
    start = name_at + name_length + extra_length
    same = (
        signature == b"PK\x03\x04" and flags == entry.flags and method == 0 and name_length == len(entry.name)
    )
    if not same or start + entry.size > directory_start or file.read(name_at, name_length) != entry.name:
        raise file.error(_DAMAGED)
    # With the flag set the real values stand behind the data, and zeros may stand here.
    skipped = (0, 0xFFFFFFFF) if flags & 0x8 else (0xFFFFFFFF,)
    if any(
        v != w and v not in skipped for v, w in ((crc, entry.crc), (packed, entry.size), (size, entry.size))
    ):
        raise file.error(_DAMAGED)
    return Member(_member_name(file, entry.name), start, entry.size, entry.crc)


def _member_name(file: RegularFile, raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise file.error(_DAMAGED) from None
    parts = name.split("/")
    if (
        not name.isprintable()
        or "\\" in name
        or ":" in name
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise file.error(
            f"its zip archive has a part with the unsafe name {shown(name)!r}; do not use this file"
        )
    return name
