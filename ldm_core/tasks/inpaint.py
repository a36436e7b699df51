"""Filling a hole in a picture, and extending one (paper, section 4.5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ldm_core.conditioners import Given
from ldm_core.diffusion.samplers import Region
from ldm_core.library.models import ModelInfo
from ldm_core.network.images import from_pixels, resized
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Inpaint, Outpaint, Request
from ldm_core.spec import ModelSpec
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Pixels, Start
from ldm_core.tasks.drawing import Canvas, Drawing, conditioning, latent, opaque
from ldm_core.tasks.paste import PASTES, Paste

_WHITE = 128  # from here on a pixel of the mask is filled
_TELEA_RADIUS = 5  # pixels


N = TypeVar("N", np.uint8, np.float32, np.bool_)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, pixels: NDArray[N]) -> NDArray[N]:
        """A view of the part."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, slots=True, eq=False)
class Filling:
    """A drawing that is pasted back into the picture.

    Attributes:
        original: (H, W, 3).
        opacity: (H, W), of what is drawn; where it is 0 the original stays, bit for bit.
        hole: (H, W), what was to be filled.
        window: where the drawing lies.
        paste: what brings the drawing's colours to the original's.
    """

    drawing: Drawing
    original: Pixels
    opacity: NDArray[np.float32]
    hole: NDArray[np.bool_]
    window: Window
    paste: Paste

    @property
    def conditioning(self) -> Conditioning:
        return self.drawing.conditioning

    @property
    def shown(self) -> Region:
        return self.drawing.shown

    def start(self, request: Request, moment: Moment | None = None) -> Start:
        return self.drawing.start(request, moment)

    def finish(self, z: Tensor) -> Finishing:
        drawn = resized((yield from self.drawing.finish(z)), self.window.width, self.window.height)
        picture = self.original.copy()
        part, hole = self.window.of(picture), self.window.of(self.hole)
        alpha = self.window.of(self.opacity)[..., None]
        fitting = self.paste(drawn.astype(np.float32), part, hole)
        part[:] = np.rint(part + alpha * (fitting - part)).clip(0, 255).astype(np.uint8)
        return picture

    def then(self, picture: Pixels) -> None:
        return None


def inpaint(request: Inpaint, model: LatentDiffusion, info: ModelInfo) -> Filling:
    """Fills what is white in the mask."""
    mask, picture = request.mask.pixels, opaque(request.image.pixels)
    window = Window(0, 0, *request.size)
    if request.area == "masked":
        window = around(mask >= _WHITE, request.margin + request.feather)
    return _fill(request, model, info, _started(picture, mask, request.fill), picture, mask, window)


def outpaint(request: Outpaint, model: LatentDiffusion, info: ModelInfo) -> Filling:
    """Extends the picture by repeating its edge, and fills that."""
    sides = ((request.top, request.bottom), (request.left, request.right))
    picture = np.pad(opaque(request.image.pixels), (*sides, (0, 0)), mode="edge")
    mask = np.pad(np.zeros(request.image.pixels.shape[:2], np.uint8), sides, constant_values=255)
    start = _started(picture, mask, request.fill)
    return _fill(request, model, info, start, picture, mask, Window(0, 0, *request.size))


def _fill(
    request: Inpaint | Outpaint,
    model: LatentDiffusion,
    info: ModelInfo,
    start: Pixels,
    picture: Pixels,
    mask: Pixels,
    window: Window,
) -> Filling:
    """Args: `start` is the picture with the hole's content at the start."""
    size = (window.width, window.height)
    if request.size != size:
        size = own_size(window, info)
    canvas = Canvas.of(size, model.spec)
    content = canvas.pad(resized(window.of(start), *size))
    hole = canvas.pad(resized(window.of(mask), *size)) >= _WHITE
    image, where = from_pixels(content), torch.from_numpy(hole)[None].float()
    given = Given(prompt=request.prompt.strip(), image=image, mask=where)
    told = conditioning(request, model, given, canvas.cells)
    native = model.spec.fills_holes
    drawing = Drawing(model, canvas, told, in_hole=native)
    if not native or request.fill != "noise":
        x0 = latent(model, content)
        known = None if native else known_cells(where[None], model.spec, canvas.cells).to(model.device)
        drawing = replace(drawing, x0=x0, known=known)
    soft = opacity(mask, request.feather)
    return Filling(drawing, picture, soft, mask >= _WHITE, window, PASTES[request.paste])


def known_cells(hole: Tensor, spec: ModelSpec, cells: tuple[int, int]) -> Tensor:
    """(b, c, h, w), 1 in the picture's channels of cells away from the hole (b, 1, H, W)."""
    pooled = F.adaptive_max_pool2d(hole, cells)
    known = 1.0 - F.max_pool2d(pooled, 3, stride=1, padding=1)
    channels = torch.arange(spec.latent_channels) < spec.first_stage.embed_dim
    return known * channels[:, None, None]


def _started(picture: Pixels, mask: Pixels, fill: str) -> Pixels:
    """The picture with the hole's content at the start."""
    if fill != "telea":
        return picture
    hole = (mask >= _WHITE).astype(np.uint8)
    # An Image Inpainting Technique Based on the Fast Marching Method, Telea 2004.
    filled = cv2.inpaint(np.ascontiguousarray(picture), hole, _TELEA_RADIUS, cv2.INPAINT_TELEA)
    return filled.astype(np.uint8)


def opacity(mask: Pixels, feather: int) -> NDArray[np.float32]:
    """(H, W) 1 in the hole, fading to 0 over `feather` pixels around it; the mask's own greys stay."""
    own: NDArray[np.float32] = mask.astype(np.float32) / np.float32(255)
    hole = mask >= _WHITE
    if not feather or not hole.any():
        return own
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.maximum(own, np.clip(1 - distance / (feather + 1), 0, 1)).astype(np.float32)


def around(hole: NDArray[np.bool_], margin: int) -> Window:
    """The box around what is True, with a margin, within the picture; all of it where nothing is."""
    height, width = hole.shape
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    if not rows.size:
        return Window(0, 0, width, height)
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    bottom, right = min(height, int(rows[-1]) + 1 + margin), min(width, int(columns[-1]) + 1 + margin)
    return Window(left, top, right - left, bottom - top)


def own_size(window: Window, info: ModelInfo) -> tuple[int, int]:
    """About as many pixels as the model's own pictures have, in the window's shape."""
    pixels = info.defaults.width * info.defaults.height
    factor = (pixels / (window.width * window.height)) ** 0.5
    multiple = info.size_multiple
    width, height = (
        max(1, round(side * factor / multiple)) * multiple for side in (window.width, window.height)
    )
    return width, height
