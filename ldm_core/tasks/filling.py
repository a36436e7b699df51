"""Filling a hole in a picture (paper, section 4.5): drawn at the model's size, and pasted back."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from ldm_core.request.raster import WHITE, Pixels
from ldm_core.spec import ModelSpec
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Start
from ldm_core.tasks.drawing import Drawing
from ldm_core.tasks.geometry import Geometry, Window, native_size
from ldm_core.tasks.guidance import conditioning_of
from ldm_core.tasks.inputs import latent, prompt_of
from ldm_core.tasks.paste import PASTES, Paste

_TELEA_RADIUS = 5  # pixels


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


def fill(
    request: Inpaint | Outpaint,
    model: LatentDiffusion,
    info: ModelInfo,
    picture: Pixels,
    mask: Pixels,
    window: Window,
) -> Filling:
    """Fills the hole in a picture.

    Args:
        picture: (H, W, 3).
        mask: (H, W), white in the hole.
        window: the part of the picture that the model looks at.
    """
    size = (window.width, window.height)
    if request.size != size:
        size = native_size(size, info)
    geometry, whole_hole = Geometry.of(size, model.spec), mask >= WHITE
    content = _started(picture, whole_hole, request.fill)
    image = from_pixels(geometry.pad(resized(window.of(content), *size)))
    hole = geometry.pad(resized(window.of(mask), *size)) >= WHITE
    where = torch.from_numpy(hole)[None].float()
    inputs = Given(prompt_of(request), image=image, mask=where)
    native = model.spec.fills_holes
    conditioning = conditioning_of(request, model, inputs, geometry.cells)
    drawing = Drawing(model, geometry, conditioning, in_hole=native)
    if not native or request.fill != "noise":
        known = None if native else known_cells(where[None], model.spec, geometry.cells).to(model.device)
        drawing = replace(drawing, x0=latent(model, image), known=known)
    soft = opacity(mask, request.feather)
    return Filling(drawing, picture, soft, whole_hole, window, PASTES[request.paste])


def known_cells(hole: Tensor, spec: ModelSpec, cells: tuple[int, int]) -> Tensor:
    """(b, c, h, w), 1 in the picture's channels of cells away from the hole (b, 1, H, W)."""
    pooled = F.adaptive_max_pool2d(hole, cells)
    known = 1.0 - F.max_pool2d(pooled, 3, stride=1, padding=1)
    channels = torch.arange(spec.latent_channels) < spec.first_stage.embed_dim
    return known * channels[:, None, None]


def _started(picture: Pixels, hole: NDArray[np.bool_], fill: str) -> Pixels:
    """The picture with the hole's content at the start."""
    if fill != "telea":
        return picture
    # An Image Inpainting Technique Based on the Fast Marching Method, Telea 2004.
    filled = cv2.inpaint(
        np.ascontiguousarray(picture), hole.astype(np.uint8), _TELEA_RADIUS, cv2.INPAINT_TELEA
    )
    return filled.astype(np.uint8)


def opacity(mask: Pixels, feather: int) -> NDArray[np.float32]:
    """(H, W) 1 in the hole, fading to 0 over `feather` pixels around it; the mask's own greys stay."""
    grey: NDArray[np.float32] = mask.astype(np.float32) / np.float32(255)
    hole = mask >= WHITE
    if not feather or not hole.any():
        return grey
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.maximum(grey, np.clip(1 - distance / (feather + 1), 0, 1)).astype(np.float32)
