"""Masks and label maps from files: one reading of each, whoever made them.

A mask says of each pixel how much it is filled, 0 to 255; from 128 on it belongs to the hole, below it only
blends.  Where a file's alpha varies, alpha is the mask:

- what is drawn in one colour on a transparent sheet is filled where it is drawn, whatever the colour;
- of greys beside transparency the brightness counts, and what is transparent is black;
- of a picture in colours the transparent part is the hole.

Else the brightness is, which is that of the strongest of red, green and blue: any pure colour is as good as
white.  Where no value is above 1 the values are 0 and 1, and scaled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ldm_core.pictures.reading import identified, read_bytes, read_picture, turn_of

WHITE = 128  # from here on a pixel of a mask is filled
_ONE_COLOUR = 32  # of 255: how far the values of one colour lie apart, in a file that was compressed
_GREY = 16  # of 255: how far red, green and blue of a grey lie apart


def read_mask(source: Path | bytes, name: str = "The mask") -> NDArray[np.uint8]:
    """(H, W) of a mask's file, as above.

    Raises:
        FileError: as of `read_picture`.
    """
    picture = read_picture(source, name)
    return mask_of(picture.pixels, picture.alpha)


def mask_of(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """(H, W) of (H, W, 3) and (H, W), as above."""
    brightness = pixels.max(2)
    if alpha is None or alpha.min() == alpha.max():
        return _scaled(brightness)
    visible = pixels[alpha >= WHITE]
    if not visible.size or np.ptp(visible, axis=0).max() <= _ONE_COLOUR:
        return _scaled(alpha)
    if np.ptp(visible, axis=1).max() <= _GREY:
        return np.minimum(brightness, alpha)
    return 255 - alpha


def _scaled(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return values * np.uint8(255) if values.max() <= 1 else values


def read_labels(source: Path | bytes, name: str = "The label map") -> NDArray[np.uint8]:
    """(H, W) class ids of a label map: indices of a palette, whatever their colours, else the greys.

    Raises:
        FileError: as of `read_picture`.
    """
    data = read_bytes(source, source.name if isinstance(source, Path) else name)
    with identified(data, name) as image:
        image.load()
        if image.mode == "P":
            return np.asarray(turn_of(image)(image))
    return np.asarray(read_picture(data, name).pixels.max(2))
