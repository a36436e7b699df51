"""The one reader of picture files: what it gives is what a person is shown and what is worked on.

Upright as EXIF or XMP say; in sRGB as the ICC profile says, without one as it is; of an animation the first
frame; 8 bits a channel.  16-bit values are cut to their upper 8 bits.  Floating-point grey is read from 0,
black, to 1, white, and refused outside of that.  Nothing is decoded before its size is known to be allowed.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from ldm_core.errors import FileError
from ldm_core.pictures.colour import BrokenProfile, is_rgb, is_srgb, to_srgb
from ldm_core.pictures.formats import names, open_any
from ldm_core.pictures.png_colour import colours_of

MAX_SIDE = 16_384  # pixels
MAX_PIXELS = 64_000_000
MAX_ASPECT = 16  # of the longer side to the shorter one
MAX_BYTES = 450_000_000  # of a file; 64 megapixels of 16 bits have 384 MB
SIZES = f"{MAX_SIDE:,} pixels a side, {MAX_PIXELS:,} in all and a shape of up to {MAX_ASPECT} : 1"

_ORIENTATION = 0x0112
_MORE = {"icc_profile", "exif", "Raw profile type exif", "Raw profile type iptc"}  # of a PNG's chunks
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# A picture of 64 megapixels takes some 500 MB while it is decoded.
_decoding = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture file as it is seen.

    Attributes:
        pixels: (H, W, 3) of sRGB, upright.
        alpha: (H, W), None where the picture says nothing of it.
        file: its bytes, from which `file_pixels` and `pictures/rights.py` take the rest.
        format: Pillow's name of it.
        profile: of the colours of `file_pixels`; None: sRGB.
        xmp: its XMP packet, empty without one.
        is_plain: whether the file holds nothing but `rgba`, a packet and other texts.
        notes: sentences about what a person may not expect.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    file: bytes
    format: str
    profile: bytes | None
    xmp: bytes = b""
    is_plain: bool = False
    notes: tuple[str, ...] = ()

    @property
    def rgba(self) -> NDArray[np.uint8]:
        """(H, W, 4), or (H, W, 3) without alpha."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])


def over_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) of a picture that may be transparent: what shows where white is behind it."""
    if pixels.shape[2] == 3:
        return pixels
    seen, alpha = pixels[..., :3].copy(), pixels[..., 3]
    part = alpha < 255
    share = alpha[part, None].astype(np.float32) / 255
    seen[part] = np.rint(share * seen[part] + (1 - share) * 255).astype(np.uint8)
    return seen


def fits(width: int, height: int) -> bool:
    """Whether a picture may have this size."""
    shorter, longer = sorted((width, height))
    return (
        shorter > 0
        and longer <= MAX_SIDE
        and shorter * longer <= MAX_PIXELS
        and longer <= MAX_ASPECT * shorter
    )


def read_picture(source: Path | bytes, name: str = "The picture") -> Picture:
    """Reads a picture file.

    Args:
        source: a path, whose name is then what it is called, or the file's bytes.
        name: what sentences about it begin with.

    Raises:
        FileError: it is missing, too large, damaged, or of a kind that is not read.
    """
    name = source.name if isinstance(source, Path) else name
    data = read_bytes(source, name)
    with identified(data, name) as image:
        frames = getattr(image, "n_frames", 1)
        notes = [f"Of its {frames:,} frames the first is used."] if frames > 1 else []
        deep = is_deep(image)
        image.load()
        alpha = alpha_of(image, deep)
        rgb, profile = _srgb(image, data, name, notes)
        turn = turn_of(image)
        pixels, seen = np.asarray(turn(rgb)), None if alpha is None else np.asarray(turn(alpha))
        plain = image.format == "PNG" and not deep and profile is None and not image.info.keys() & _MORE
        xmp = image.info.get("xmp", b"")
        xmp = xmp if isinstance(xmp, bytes) else b""
        return Picture(pixels, seen, data, str(image.format), profile, xmp, plain, tuple(notes))


def read_bytes(source: Path | bytes, name: str) -> bytes:
    """The bytes of a file that is not too large.

    Raises:
        FileError: it is missing or too large.
    """
    if isinstance(source, bytes):
        size, data = len(source), source
    else:
        try:
            with source.open("rb") as file:
                size, data = source.stat().st_size, file.read(MAX_BYTES + 1)
        except OSError as error:
            raise FileError(f"{name} cannot be read: {error.strerror or 'the system refuses it'}.") from None
    if len(data) > MAX_BYTES:
        most = MAX_BYTES // 1_000_000
        raise FileError(f"{name} is too large, {size / 1e6:.0f} MB; files of up to {most} MB can be used.")
    return data


@contextmanager
def identified(data: bytes, name: str) -> Iterator[Image.Image]:
    """The picture that a file holds, as Pillow has it, not decoded yet; its size is one that is allowed.

    Raises:
        FileError: it is of a kind that is not read, or too large; or the block finds damage.
    """
    try:
        with _decoding, open_any(data, name) as image:
            check_size(*image.size, name)
            yield image
    except FileError:
        raise
    except Image.DecompressionBombError as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        has = f"{int(found[1]):,} pixels" if found else "too many pixels"
        raise FileError(f"{name} has {has}; up to {SIZES} can be used.") from None
    except UnidentifiedImageError:
        raise FileError(f"{name} is no picture that can be opened; save it as {names()}.") from None
    except Exception as error:  # on damaged files Pillow raises errors of a dozen classes
        raise FileError(f"{name} is damaged or incomplete and cannot be opened.") from error


def check_size(width: int, height: int, name: str) -> None:
    """Raises FileError where a picture may not have this size."""
    if not fits(width, height):
        raise FileError(f"{name} has {width:,} x {height:,} pixels; up to {SIZES} can be used.")


def is_transparent(image: Image.Image) -> bool:
    """Whether a picture says of its pixels how opaque they are."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def alpha_of(image: Image.Image, deep: bool) -> Image.Image | None:
    """In mode L; None where the picture says nothing of it."""
    if not is_transparent(image):
        return None
    key = image.info.get("transparency")
    if image.mode.startswith("I;16"):  # one grey is transparent, which convert() does not see
        return Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8))
    if deep and image.mode == "RGB" and isinstance(key, tuple):  # a colour of 16 bits
        same = np.asarray(image) == np.array(key) >> 8
        return Image.fromarray(np.where(same.all(2), 0, 255).astype(np.uint8))
    return image.convert("RGBA").getchannel("A")


def _srgb(image: Image.Image, data: bytes, name: str, notes: list[str]) -> tuple[Image.Image, bytes | None]:
    """In mode RGB, and the profile of its own colours where these are RGB and not sRGB's."""
    plain = _eight_bit(image, name)
    profile = image.info.get("icc_profile")
    if image.format == "PNG":
        named = colours_of(data)
        notes.extend([named.note] if named.note else [])
        if named.goes_first or not profile:
            profile = named.profile
    if not isinstance(profile, bytes) or not profile or plain.mode == "LAB":
        return plain.convert("RGB"), None
    try:
        if plain.mode == "CMYK" or (plain.mode == "L" and not is_rgb(profile)):
            return to_srgb(plain, profile), None
        rgb = plain.convert("RGB")
        return (rgb, None) if is_srgb(profile) else (to_srgb(rgb, profile), profile)
    except BrokenProfile:
        notes.append("Its colour profile cannot be used, so its colours are taken as sRGB.")
        return plain.convert("RGB"), None


def _eight_bit(image: Image.Image, name: str) -> Image.Image:
    """In a mode that converts to RGB as it is seen; without alpha where it is grey."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "F":
        return Image.fromarray(_from_float(np.asarray(image), name))
    if image.mode == "I":
        raise FileError(f"{name} holds whole numbers of 32 bits, which name no white; save it with 8 or 16.")
    if image.mode == "La":
        image = image.convert("LA")
    return image.convert("L") if image.mode in ("1", "LA") else image


def _from_float(values: NDArray[np.float32], name: str) -> NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise FileError(f"{name} holds NaN or infinity, which is no brightness.")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise FileError(
            f"{name} holds numbers from {low:g} to {high:g}; floating-point pictures are read from 0, black, "
            "to 1, white."
        )
    return np.rint(values * 255).astype(np.uint8)


def turn_of(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What turns it upright, as EXIF, XMP or a raw profile of it say."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data; the picture itself may be whole
        turn = None
    return lambda pixels: pixels if turn is None else pixels.transpose(turn)


# The file's own pixels -----------------------------------------------------------------------------------


def is_deep(image: Image.Image) -> bool:
    """Whether a picture that is not decoded yet holds 16 bits a channel."""
    raw = {_raw_mode(tile.args) for tile in _tiles(image)}
    return image.mode.startswith("I;16") or any(mode.startswith(("RGB;16", "RGBA;16")) for mode in raw)


def file_pixels(picture: Picture) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(H, W, 3) or, where the picture has alpha, (H, W, 4), upright, in the colours of `profile`.

    What the file holds, bit for bit, where that is RGB of 8 or 16 bits or grey of 16; else as `rgba`.
    """
    with identified(picture.file, "The picture") as image:
        deep = is_deep(image)
        image.load()
        turn = turn_of(image)
        pixels: NDArray[np.uint8] | NDArray[np.uint16]
        if image.mode.startswith("I;16"):
            pixels = np.repeat(np.asarray(turn(image)).astype(np.uint16)[..., None], 3, 2)
        elif not deep:
            pixels = picture.pixels if picture.profile is None else np.asarray(turn(image.convert("RGB")))
        else:
            # Pillow reads the upper bytes alone; told that they are stored the other way round, the lower.
            with open_any(picture.file, "The picture") as swapped:
                tiles = [tile._replace(args=_swapped(tile.args)) for tile in _tiles(swapped)]
                swapped.tile = tiles  # type: ignore[attr-defined]
                swapped.load()
                upper, lower = (np.asarray(turn(part)).astype(np.uint16) for part in (image, swapped))
                pixels = upper * np.uint16(256) + lower
    if picture.alpha is None or pixels.shape[2] == 4:
        return pixels
    return np.dstack(
        [pixels, picture.alpha.astype(pixels.dtype) * pixels.dtype.type(257 if pixels.itemsize == 2 else 1)]
    )


def _tiles(image: Image.Image) -> list[ImageFile._Tile]:
    """What Pillow is still to decode: decoder, extents, offset and arguments."""
    return [tile for tile in getattr(image, "tile", ()) if isinstance(tile, ImageFile._Tile)]


def _raw_mode(args: object) -> str:
    """How the bytes of a tile are stored, of Pillow's arguments for its decoder."""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _swapped(args: tuple[object, ...] | str | None) -> tuple[object, ...] | str:
    raw = _raw_mode(args)
    other = raw[:-1] + {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}[raw[-1]]
    return (other, *args[1:]) if isinstance(args, tuple) else other
