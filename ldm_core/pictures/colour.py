"""Colours between a file's own space, as its ICC profile describes it, and sRGB, which models are given."""

from __future__ import annotations

import functools
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# Both intents keep what both spaces have; black is black in both.
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_SAME = 1  # of 255: a profile that changes colours by no more than that is sRGB


class BrokenProfile(Exception):
    """A profile that cannot be read, or that is of another kind of colour than the file."""


@functools.lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The ICC profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """A picture in mode L, RGB or CMYK in sRGB, as mode RGB.

    Raises:
        BrokenProfile: see there.
    """
    return ImageCms.applyTransform(image, _transform(profile, srgb_profile(), image.mode, "RGB")) or image


def from_srgb(pixels: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) of sRGB in the space of a profile; what that lacks becomes its nearest.

    Raises:
        BrokenProfile: see there.
    """
    transform = _transform(srgb_profile(), profile, "RGB", "RGB")
    return np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform))


def is_rgb(profile: bytes) -> bool:
    """Whether a profile is of red, green and blue (ICC.1:2022, table 17)."""
    return profile[16:20] == b"RGB "


@functools.lru_cache(maxsize=8)
def is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile means the same colours as sRGB.

    Raises:
        BrokenProfile: see there.
    """
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    seen = np.asarray(to_srgb(Image.fromarray(cube), profile))
    return int(np.abs(seen.astype(int) - cube).max()) <= _SAME


def _transform(of: bytes, to: bytes, mode: str, to_mode: str) -> ImageCms.ImageCmsTransform:
    try:
        source, target = (ImageCms.ImageCmsProfile(io.BytesIO(data)) for data in (of, to))
        return ImageCms.buildTransform(source, target, mode, to_mode, _INTENT, _FLAGS)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise BrokenProfile(str(error)) from None
