"""The hints that a request gives to controls, laid over what is drawn."""

from __future__ import annotations

from dataclasses import replace

import torch

from ldm_core.network.images import fitted, resized
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.control import HINT_CELL
from ldm_core.request import Request
from ldm_core.tasks.base import Conditioning
from ldm_core.tasks.geometry import Geometry, Window
from ldm_core.tasks.inputs import colours


def hinted(
    conditioning: Conditioning,
    request: Request,
    model: LatentDiffusion,
    geometry: Geometry,
    window: Window | None = None,
) -> Conditioning:
    """With the request's hints.

    Args:
        window: the part of the picture that is drawn, where that is not all of it.
    """
    if not request.controls:
        return conditioning
    height, width = (HINT_CELL * side // model.spec.unet.patch_size for side in geometry.cells)
    hints = []
    for control in request.controls:
        picture = fitted(colours(control.image.pixels), *request.size)
        picture = picture if window is None else window.of(picture)
        picture = geometry.pad(resized(picture, geometry.width, geometry.height))
        pixels = torch.from_numpy(resized(picture, width, height).copy()).permute(2, 0, 1)
        hints.append(
            model.hint(control.name, pixels.float() / 255, control.strength, control.start, control.end)
        )
    return replace(conditioning, hints=tuple(hints))
