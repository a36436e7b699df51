"""The colours that chunks of a PNG name without an ICC profile, as a profile.

As browsers do: cICP goes before iCCP, that before sRGB, that before gAMA and cHRM.  PNG specification, third
edition, section 11.3.2; code points: ITU-T H.273.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Corners = tuple[tuple[float, float], ...]  # x and y of red, green, blue and white

_D65 = (0.3127, 0.3290)
_BT709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_PRIMARIES: dict[int, Corners] = {
    1: _BT709,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}


def _television(values: Values) -> Values:
    """As screens show what BT.709's curve was made for: ITU-R BT.1886."""
    return values**2.4


def _srgb(values: Values) -> Values:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


# What is stored -> light, both 0 to 1.
_TRANSFERS: dict[int, Callable[[Values], Values]] = {
    1: _television,
    4: lambda values: values**2.2,
    5: lambda values: values**2.8,
    6: _television,
    8: lambda values: values,
    11: _television,
    13: _srgb,
    14: _television,
    15: _television,
    17: lambda values: np.minimum(1, values**2.6 * 52.37 / 48),
}
_HDR = {16: "PQ", 18: "HLG"}
_NEARLY_SRGB = 0.05  # of gAMA alone: 1 / 2.2 is what sRGB's curve is called where only a number has room


@dataclass(frozen=True, slots=True)
class Colours:
    """What the chunks say.

    Attributes:
        profile: None where they say nothing.
        goes_first: whether it stands above an ICC profile.
        note: a sentence about what is not read.
    """

    profile: bytes | None = None
    goes_first: bool = False
    note: str = ""


def colours_of(png: bytes) -> Colours:
    """The colours that a PNG's chunks name."""
    chunks: dict[bytes, bytes] = {}
    for kind, body in _chunks(png):
        chunks.setdefault(kind, body)
    primaries, transfer, matrix, full = (*chunks.get(b"cICP", b""), 0, 0, 0, 0)[:4]
    if len(chunks.get(b"cICP", b"")) == 4 and full == 1 and matrix == 0:
        if transfer in _HDR:
            said = f"coded for HDR ({_HDR[transfer]}), which is not read"
            return Colours(note=f"Its brightness is {said}; it is taken as sRGB.")
        if primaries in _PRIMARIES and transfer in _TRANSFERS:
            return Colours(_profile(_PRIMARIES[primaries], transfer, 0.0), True)
    if b"sRGB" in chunks or len(chunks.get(b"gAMA", b"")) != 4:
        return Colours()
    stored = int.from_bytes(chunks[b"gAMA"], "big") / 100_000
    if not 0.1 <= stored <= 10:
        return Colours()
    if b"cHRM" not in chunks and abs(2.2 * stored - 1) <= _NEARLY_SRGB:
        return Colours()
    corners = _corners(chunks[b"cHRM"]) if b"cHRM" in chunks else _BT709
    if corners is None:
        return Colours()
    return Colours(_profile(corners, None, 1 / stored))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those before the pixels."""
    at = 8
    while at + 12 <= len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        if kind == b"IDAT":
            return
        if kind in (b"cICP", b"sRGB", b"gAMA", b"cHRM"):
            yield kind, png[at + 8 : at + 8 + min(length, 32)]
        at += 12 + length


def _corners(chunk: bytes) -> Corners | None:
    """None where it is damaged, or its colours span nothing."""
    if len(chunk) != 32:
        return None
    white_x, white_y, *rest = (value / 100_000 for value in struct.unpack(">8I", chunk))
    corners = (*zip(rest[::2], rest[1::2], strict=True), (white_x, white_y))
    (ax, ay), (bx, by), (cx, cy) = corners[:3]
    spans = abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) > 1e-3
    inside = all(0 <= x <= 1 and 0 < y <= 1 for x, y in corners)
    return corners if spans and inside else None


# As an ICC profile, version 2 -----------------------------------------------------------------------------

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_STEPS = 1024  # of a curve


@functools.lru_cache(maxsize=16)
def _profile(corners: Corners, transfer: int | None, exponent: float) -> bytes:
    """Of primaries and white, and a curve: H.273's, or an exponent."""
    red, green, blue, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in corners)
    primaries = np.stack([red, green, blue], 1)
    primaries = primaries * np.linalg.solve(primaries, white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD
    columns = (adapted @ primaries).T
    stored = np.linspace(0, 1, _STEPS)
    light = stored**exponent if transfer is None else _TRANSFERS[transfer](stored)
    curve = b"curv\0\0\0\0" + struct.pack(">I", _STEPS) + np.rint(light * 65535).astype(">u2").tobytes()
    name = b"desc\0\0\0\0" + struct.pack(">I", 4) + b"PNG\0" + b"\0" * 78
    tags = {b"desc": name, b"cprt": b"text\0\0\0\0CC0\0", b"wtpt": _xyz(_D50)}
    corner_tags = zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    tags |= {kind: _xyz(column) for kind, column in corner_tags}
    at = 128 + 4 + 12 * (len(tags) + 3)
    table, data = b"", b""
    for kind, tag in tags.items():
        table += kind + struct.pack(">II", at + len(data), len(tag))
        data += tag + b"\0" * (-len(tag) % 4)
    for kind in (b"rTRC", b"gTRC", b"bTRC"):  # the three share one
        table += kind + struct.pack(">II", at + len(data), len(curve))
    data += curve
    header = struct.pack(">I4sI4s4s4s", at + len(data), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + _xyz(_D50)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags) + 3) + table + data


def _xyz(values: Values) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)
