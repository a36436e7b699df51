"""Picture files as cameras and other programs write them, for tests: modes, orientations, colour profiles."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# x and y of red, green, blue and white, and gamma.
_SPACES = {
    "adobe-rgb": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290), 2.2),
    "display-p3": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.3290), 2.2),
    "prophoto": ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585), 1.8),
}
PROFILES = ("srgb", *_SPACES, "broken", "grey")
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smooth(width: int = 40, height: int = 24, channels: int = 3) -> NDArray[np.uint8]:
    """Soft colours with all their range, (height, width, channels)."""
    values = np.random.default_rng(0).integers(0, 256, (3, 5, channels), dtype=np.uint8)
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 24)) -> Image.Image:
    """Soft colours in any of Pillow's modes."""
    image = Image.fromarray(smooth(*size))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "LAB":
        spaces = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
        return ImageCms.applyTransform(image, ImageCms.buildTransform(*spaces, "RGB", "LAB"))
    if mode in ("LA", "RGBA", "PA"):
        image.putalpha(Image.fromarray(smooth(*size, 4)[..., 3]))
    return image.convert(mode)


def deep_png(pixels: NDArray[np.uint16], profile: bytes | None = None) -> bytes:
    """A PNG of 16 bits, (H, W, 3) RGB or (H, W, 4), which Pillow cannot write."""
    order = [2, 1, 0, 3][: pixels.shape[2]]
    data = cv2.imencode(".png", pixels[..., order])[1].tobytes()
    if profile is None:
        return data
    return data[:33] + chunk(b"iCCP", b"ICC\0\0" + zlib.compress(profile)) + data[33:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def coloured_png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A picture whose colours chunks of a PNG name."""
    plain = file_of(picture())
    return plain[:33] + b"".join(chunk(*one) for one in chunks) + plain[33:]


def gamma(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def _corners(name: str) -> tuple[bytes, bytes]:
    *corners, white, _ = _SPACES[name]
    values = [value for corner in (white, *corners) for value in corner]
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values))


def _cicp(primaries: int, transfer: int, full: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, 0, full])


SRGB = (b"sRGB", b"\0")
# By what they are called, and whether they mean sRGB.
COLOUR_CHUNKS = {
    "gAMA alone": ((gamma(1 / 1.8),), False),
    "gAMA of 1": ((gamma(1.0),), False),
    "gAMA near sRGB": ((gamma(1 / 2.2),), True),
    "cHRM alone": ((_corners("display-p3"),), True),
    "gAMA and cHRM": ((gamma(1 / 2.2), _corners("adobe-rgb")), False),
    "cHRM of nothing": ((gamma(1.0), (b"cHRM", bytes(32))), True),
    "gAMA of nothing": ((gamma(0),), True),
    "sRGB above gAMA": ((SRGB, gamma(1.0), _corners("display-p3")), True),
    "cICP P3": ((_cicp(12, 13),), False),
    "cICP BT.2020": ((_cicp(9, 14),), False),
    "cICP above sRGB": ((_cicp(12, 13), SRGB), False),
    "cICP unspecified": ((_cicp(2, 2),), True),
    "cICP of a narrow range": ((_cicp(12, 13, 0),), True),
}


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def profile_of(name: str) -> bytes:
    """An ICC profile."""
    if name == "srgb":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if name == "broken":
        return profile_of("adobe-rgb")[:200] + b"\0" * 300
    if name == "grey":
        return _profile(b"GRAY", {b"wtpt": _xyz(_D50), b"kTRC": _gamma(1.8)})
    *corners, gamma = _SPACES[name]
    red, green, blue, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in corners)
    primaries = np.stack([red, green, blue], 1)
    primaries = primaries * np.linalg.solve(primaries, white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD
    columns = (adapted @ primaries).T
    tags = {b"wtpt": _xyz(_D50)}
    for letter, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {letter + b"XYZ": _xyz(column), letter + b"TRC": _gamma(gamma)}
    return _profile(b"RGB ", tags)


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(value * 256))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79, **tags}
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        tag += b"\0" * (-len(tag) % 4)
        table += name + struct.pack(">II", at + len(data), len(tag))
        data += tag
    header = struct.pack(">I4sI4s4s4s", at + len(data), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + _xyz(_D50)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data
