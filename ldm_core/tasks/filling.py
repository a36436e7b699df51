"""Filling a hole in a picture (paper, section 4.5): drawn at the model's size, and pasted back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ldm_core.conditioners import Inputs
from ldm_core.diffusion.samplers import Region
from ldm_core.library.models import ModelInfo
from ldm_core.model_spec import ModelSpec
from ldm_core.network.images import from_pixels, resized
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.pictures.patches import METHODS, TELEA_RADIUS, filled
from ldm_core.pictures.reading import over_white
from ldm_core.request import Inpaint, Outpaint, Request
from ldm_core.request.raster import WHITE, Pixels
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Start
from ldm_core.tasks.drawing import Drawing
from ldm_core.tasks.geometry import Geometry, Window, grown, native_size
from ldm_core.tasks.guidance import conditioning_of
from ldm_core.tasks.hints import hinted
from ldm_core.tasks.inputs import latent, prompt_of
from ldm_core.tasks.paste import PASTES, Paste
from ldm_core.tasks.regions import shares_of

_MOST = 400_000  # pixels in which PatchMatch fills what a hole begins with; others wait for it meanwhile


@dataclass(frozen=True, slots=True, eq=False)
class Filling:
    """A drawing that is pasted back into the picture.

    Attributes:
        original: (H, W, 3) or (H, W, 4).
        window: where the drawing lies, (h, w).
        opacity: (h, w), of what is drawn; where it is 0 the original stays, bit for bit.
        hole: (h, w), what was to be filled.
        paste: what brings the drawing's colours to the original's.
    """

    drawing: Drawing
    original: Pixels
    window: Window
    opacity: NDArray[np.float32]
    hole: NDArray[np.bool_]
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
        part = self.window.of(picture)
        fitting = self.paste(drawn.astype(np.float32), over_white(part), self.hole)
        part[:] = laid_over(part, fitting, self.opacity)
        return picture

    def then(self, picture: Pixels) -> None:
        return None


def laid_over(picture: Pixels, drawn: NDArray[np.float32], opacity: NDArray[np.float32]) -> Pixels:
    """(h, w, 3) laid over (h, w, 3) or, which stays transparent where nothing is laid, (h, w, 4).

    Compositing Digital Images, Porter and Duff 1984: "over".
    """
    share = opacity[..., None]
    if picture.shape[2] == 3:
        return np.rint(picture + share * (drawn - picture)).clip(0, 255).astype(np.uint8)
    colour, alpha = picture[..., :3], picture[..., 3:].astype(np.float32) / 255
    covered = share + alpha * (1 - share)
    share = np.divide(share, covered, out=np.zeros_like(share), where=covered > 0)
    mixed = np.dstack([colour + share * (drawn - colour), 255 * covered])
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


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
        picture: (H, W, 3) or (H, W, 4), which the model sees over white.
        mask: (H, W), white in the hole.
        window: the part of the picture that the model looks at.
    """
    size = (window.width, window.height)
    size = request.worked_size if request.size == size else native_size(size, info)
    geometry, masked = Geometry.of(size, model.spec), window.of(mask)
    image = from_pixels(geometry.pad(resized(_started(picture, mask, window, request.fill), *size)))
    hole = geometry.pad(resized(masked, *size)) >= WHITE
    where = torch.from_numpy(hole)[None].float()
    inputs = Inputs(prompt_of(request), image=image, mask=where)
    native = model.spec.fills_holes
    shares = shares_of(request, model.spec, geometry, window)
    conditioning = conditioning_of(request, model, inputs, geometry.cells, shares)
    conditioning = hinted(conditioning, request, model, geometry, window)
    drawing = Drawing(model, geometry, conditioning, in_hole=native)
    if not native or request.fill != "noise":
        known = None if native else known_cells(where[None], model.spec, geometry.cells).to(model.device)
        drawing = replace(drawing, x0=latent(model, image), known=known)
    soft = opacity(masked, request.feather)
    return Filling(drawing, picture, window, soft, masked >= WHITE, PASTES[request.paste])


def known_cells(hole: Tensor, spec: ModelSpec, cells: tuple[int, int]) -> Tensor:
    """(b, c, h, w), 1 in the picture's channels of cells away from the hole (b, 1, H, W)."""
    pooled = F.adaptive_max_pool2d(hole, cells)
    known = 1.0 - F.max_pool2d(pooled, 3, stride=1, padding=1)
    channels = torch.arange(spec.latent_channels) < spec.first_stage.embed_dim
    return known * channels[:, None, None]


def _started(picture: Pixels, mask: Pixels, window: Window, fill: str) -> Pixels:
    """What the model sees in the window, with the hole's content at the start."""
    if fill not in METHODS:
        return over_white(window.of(picture))
    # Of all that the method looks at, which for an extended picture may be more than the window.
    seen = grown(window, TELEA_RADIUS + 1, (picture.shape[1], picture.shape[0]))
    content = np.ascontiguousarray(over_white(seen.of(picture)))
    content = filled(content, seen.of(mask) >= WHITE, fill, _MOST)
    left, top = window.left - seen.left, window.top - seen.top
    return Window(left, top, window.width, window.height).of(content)


def opacity(mask: Pixels, feather: int) -> NDArray[np.float32]:
    """(H, W) 1 in the hole, fading to 0 over `feather` pixels around it; the mask's own greys stay."""
    grey: NDArray[np.float32] = mask.astype(np.float32) / np.float32(255)
    hole = mask >= WHITE
    if not feather or not hole.any():
        return grey
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.maximum(grey, np.clip(1 - distance / (feather + 1), 0, 1)).astype(np.float32)
