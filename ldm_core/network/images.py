"""Between tensors and pixels, and reading pictures that come from outside."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ldm_core.errors import FileError, NotFinite
from ldm_core.request.raster import is_transparent, upright

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 64_000_000
MAX_BYTES = 128_000_000

# A picture of 64 megapixels takes some 500 MB while it is decoded.
_decoding = threading.BoundedSemaphore(2)


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8, rounded to the nearest value.

    Raises:
        NotFinite: the image holds NaN or infinity, which would show as black.
    """
    if not bool(torch.isfinite(image).all()):
        raise NotFinite(
            "The decoder produced NaN or infinity. Set ATELIER_DTYPE=float32; if that does not help, "
            "the model's file is damaged."
        )
    scaled = ((image.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.movedim(0, -1).cpu().numpy())


def from_pixels(pixels: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels.copy()).movedim(-1, 0).float() / 127.5 - 1


def to_image(image: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1] -> a Pillow image.

    Raises:
        NotFinite: as `to_pixels`.
    """
    return Image.fromarray(to_pixels(image))


def to_tensor(image: Image.Image) -> Tensor:
    """A Pillow image -> (3, H, W) float32 in [-1, 1]."""
    return from_pixels(np.asarray(image.convert("RGB")))


def resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(H, W) or (H, W, c) in another size; unchanged in its own."""
    if pixels.shape[:2] == (height, width):
        return pixels
    smaller = width * height < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=method).astype(np.uint8)


def fitted(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, c) in another size; from the middle as much as has its shape, so nothing is distorted."""
    rows, columns = pixels.shape[:2]
    scale = min(columns / width, rows / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (columns - across) // 2, (rows - down) // 2
    return resized(pixels[top : top + down, left : left + across], width, height)


def read_image(source: Path | bytes) -> NDArray[np.uint8]:
    """A picture file's pixels, (H, W, 3) RGB, turned upright as its EXIF data says.

    Of an animation the first frame; transparent parts show white; 16-bit grey is scaled to 8 bits.

    Args:
        source: a path, or the file's bytes.

    Raises:
        FileError: the file is missing, too large, damaged or of a format that is not read.
    """
    name = source.name if isinstance(source, Path) else "The picture"
    with _decoding:
        try:
            data = _read_bytes(source, name)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    _refuse_size(name, image.width, image.height)
                return np.asarray(_upright_rgb(image))
        except FileError:
            raise
        except Image.DecompressionBombError:
            raise FileError(f"{name} has too many pixels; up to {MAX_PIXELS:,} can be opened.") from None
        except UnidentifiedImageError:
            formats = ", ".join(FORMATS)
            raise FileError(
                f"{name} is no picture that can be opened; save it as one of {formats}."
            ) from None
        except Exception as error:  # on damaged files Pillow raises errors of a dozen classes
            raise FileError(f"{name} is damaged or incomplete and cannot be opened.") from error


def _read_bytes(source: Path | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            with source.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise FileError(f"{name} cannot be read: {error.strerror or 'the system refuses it'}.") from None
    if len(data) > MAX_BYTES:
        raise FileError(f"{name} is too large; files of up to {MAX_BYTES // 1_000_000} MB can be opened.")
    return data


def _refuse_size(name: str, width: int, height: int) -> None:
    raise FileError(f"{name} has {width} x {height} pixels; up to {MAX_PIXELS:,} can be opened.")


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    image = upright(image)
    if is_transparent(image):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
