"""Checkpoints, good and bad, as bytes; and how a bad one is refused."""

from __future__ import annotations

import gc
import io
import json
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from ldm_core.errors import ModelFileError
from ldm_core.formats.reading import read_state_dict

WEIGHTS = {
    "encoder.conv_in.weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4),
    "encoder.conv_in.bias": torch.tensor([0.5, -1.0]),
    "steps": torch.tensor(7),
}
# With fixtures, hypothesis examples share one folder; each overwrites the file of the one before.
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refused(path: Path, seconds: float = 1.0) -> str:
    """The message with which a file is refused: soon, in a sentence or two, without its folder."""
    gc.freeze()  # what other tests left behind is not searched for garbage meanwhile
    start = time.thread_time()  # of this thread alone: other work of process and machine does not count
    with pytest.raises(ModelFileError) as caught:
        read_state_dict(path)
    assert time.thread_time() - start < seconds
    message = str(caught.value)
    assert str(path.parent) not in message and "\n" not in message and "Traceback" not in message
    assert message.endswith(".") and len(message) < 500 and message.isprintable()
    assert "weights_only=False" not in message
    return message


def same(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return got.keys() == expected.keys() and all(
        torch.equal(got[k], expected[k]) and got[k].dtype == expected[k].dtype for k in expected
    )


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def container(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(shape: list[int], begin: float, end: float, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def archive(
    pickled: bytes, *, root: str = "archive", members: dict[str, bytes] | None = None, method: int = 0
) -> bytes:
    """A checkpoint archive around any pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in {"data.pkl": pickled, "version": b"3\n", **(members or {})}.items():
            file.writestr(f"{root}/{name}", data)
    return out.getvalue()


def tensor_pickle(numel: str, offset: str, shape: str, stride: str, key: str = "0") -> bytes:
    """A state dict with one tensor, in the text opcodes' place: numbers are given as pickled bytes."""
    numbers = {
        "": b")",
        "1": b"K\x01\x85",
        "4": b"K\x04\x85",
        "0": b"K\x00\x85",
        "-1": b"J\xff\xff\xff\xff\x85",
    }
    numbers |= {"2^40": b"\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85", "True": b"\x88\x85"}

    def plain(text: str) -> bytes:
        return numbers[text][:-1]

    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        b"ctorch\nFloatStorage\nX" + struct.pack("<I", len(key)) + key.encode() + b"X\x03\x00\x00\x00cpu"
        + plain(numel) + b"tQ" + plain(offset) + numbers[shape] + numbers[stride]
        + b"\x89ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip


def good_archive() -> bytes:
    return archive(tensor_pickle("4", "0", "4", "1"), members={"data/0": struct.pack("<4f", 1, 2, 3, 4)})


def big(count: int) -> bytes:
    return b"\x80\x02" + b"]" * count + b"."


BAD_SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "seven bytes": (b"1234567", "incomplete"),
    "eight bytes": (struct.pack("<Q", 3), "incomplete"),
    "header beyond the file": (container(b"{}" + b" " * 30, length=10_000), "incomplete download"),
    "header of 2^63": (container(b"{}" + b" " * 30, length=2**63), "incomplete download"),
    "header of 2^64-1": (container(b"{}" + b" " * 30, length=2**64 - 1), "incomplete download"),
    "header of 9 MB": (container(b"{" + b" " * 9_000_000), "header has 9.0 MB"),
    "not JSON": (container(b"{this is not JSON at all}"), "damaged"),
    "not UTF-8": (container(b'{"\xff\xfe": 1}' + b" " * 20), "damaged"),
    "100,000 deep": (container(b'{"a":' + b"[" * 100_000), "more than"),
    "30,000 deep": (container(b'{"a":' + b"[" * 30_000), "damaged"),
    "no tensors": (container({}, b"12345678"), "no tensors"),
    "truncated data": (container({"w": entry([4], 0, 16)}, b"\0" * 15), "incomplete download"),
    "trailing bytes": (container({"w": entry([4], 0, 16)}, b"\0" * 17), "1 bytes more"),
    "overlap": (container({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, b"\0" * 24), "overlaps"),
    "hole": (container({"a": entry([4], 0, 16), "b": entry([4], 20, 36)}, b"\0" * 36), "gap"),
    "reversed": (container({"a": entry([4], 16, 0)}, b"\0" * 16), "place of a"),
    "negative": (container({"a": entry([4], -16, 0)}, b"\0" * 16), "place of a"),
    "float offsets": (container({"a": entry([4], 0.0, 16.0)}, b"\0" * 16), "place"),
    "boolean offsets": (container({"a": entry([], False, 4)}, b"\0" * 4), "place"),
    "shape mismatch": (container({"a": entry([5], 0, 16)}, b"\0" * 16), "16 bytes"),
    "overflow": (container({"a": entry([2**32, 2**32], 0, 16)}, b"\0" * 16), "shape of a"),
    "2^64 dimension": (container({"a": entry([2**64], 0, 0)}), "shape of a"),
    "0 times 2^62": (container({"a": entry([0, 2**62], 0, 0)}), "shape of a"),
    "negative dimensions": (container({"a": entry([-2, -2], 0, 16)}, b"\0" * 16), "shape of a"),
    "huge number": (container(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b']}}'), "damaged"),
    "NaN in JSON": (container(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}'), "NaN"),
    "unknown dtype": (container({"a": entry([4], 0, 16, "F99")}, b"\0" * 16), "'F99'"),
    "lower-case dtype": (container({"a": entry([4], 0, 16, "f32")}, b"\0" * 16), "'f32'"),
    "F4": (container({"a": entry([3], 0, 1, "F4")}, b"\0"), "'F4'"),
    "scales alone": (container({"a": entry([3], 0, 3, "F8_E8M0")}, b"\0" * 3), "'F8_E8M0'"),
    "extra field": (container({"a": {**entry([4], 0, 16), "run": "x"}}, b"\0" * 16), "description of a"),
    "number for tensor": (container({"a": 1}, b"\0" * 16), "description of a"),
    "NUL in name": (container({"a\0b": entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "empty name": (container({"": entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "path as name": (container({"../../etc/passwd": entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "dots as name": (container({"..": entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "1 MB name": (container({"a" * 1_000_000: entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "number in metadata": (container({"__metadata__": {"a": 1}}, b"\0" * 16), "metadata"),
    "metadata is a list": (container({"__metadata__": [], "a": entry([4], 0, 16)}, b"\0" * 16), "metadata"),
}  # fmt: skip


def _second_root(data: bytes) -> bytes:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("other/data.pkl", b"")
    return out.getvalue()


def _twice(data: bytes) -> bytes:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as file, pytest.warns(UserWarning):
        file.writestr("archive/data.pkl", pickle.dumps({}))
    return out.getvalue()


def _central(data: bytes) -> int:
    return data.index(b"PK\x01\x02")


def _patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def zip64(data: bytes, count: int) -> bytes:
    """As `data`, with a ZIP64 record that counts `count` entries."""
    end = len(data) - 22
    *_, size, offset, _ = struct.unpack("<4s4H2IH", data[end:])
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return data[:end] + record + locator + data[end:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "two roots": _second_root,
    "data.pkl twice": _twice,
    "wrong checksum of the data": lambda d: d.replace(
        struct.pack("<4f", 1, 2, 3, 4), struct.pack("<4f", 1, 2, 3, 5)
    ),
    "wrong checksum of data.pkl": lambda d: d.replace(b"X\x01\x00\x00\x00w", b"X\x01\x00\x00\x00v", 1),
    "encrypted flag": lambda d: _patched(d, _central(d) + 8, b"\x01\x00"),
    "other method in the central directory": lambda d: _patched(d, _central(d) + 10, b"\x08\x00"),
    "other method in the local header": lambda d: _patched(d, 8, b"\x08\x00"),
    "other name in the local header": lambda d: _patched(d, 30, b"b"),
    "other size in the local header": lambda d: _patched(d, 18, b"\x01\x00"),
    "local header elsewhere": lambda d: _patched(d, _central(d) + 42, b"\x01"),
    "size in the central directory": lambda d: _patched(
        d, _central(d) + 20, b"\xff\xff\x00\x00\xff\xff\x00\x00"
    ),
    "sentinel size without zip64": lambda d: _patched(d, _central(d) + 20, b"\xff" * 8),
    "zip64 miscounts": lambda d: zip64(d, 7),
    "zip64 record not at its place": lambda d: _patched(zip64(d, 3), len(d) - 22 + 56 + 8, b"\x00"),
    "comment": lambda d: d[:-2] + b"\x02\x00hi",
    "bytes behind the end": lambda d: d + b"\0",
    "bytes before the start": lambda d: b"PK\x03\x04" + d,
    "count of entries": lambda d: _patched(d, len(d) - 14, b"\x02\x00\x02\x00"),
    "no entries": lambda d: _patched(d, len(d) - 14, b"\x00\x00\x00\x00"),
    "directory offset": lambda d: _patched(d, len(d) - 6, b"\x00\x00\x00\x00"),
    "other disk": lambda d: _patched(d, len(d) - 18, b"\x01\x00"),
    "half of the file": lambda d: d[: len(d) // 2],
    "only a signature": lambda d: b"PK\x03\x04",
    "end record cut": lambda d: d[:-5],
}
