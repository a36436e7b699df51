"""Large latents in overlapping tiles: the grid, the blending, and a decoder whose memory does not grow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ldm_core.device import is_out_of_memory
from ldm_core.model import LatentDiffusion
from ldm_core.samplers import Region

WHOLE_PIXELS = 2048 * 2048  # up to here a picture is decoded at once where memory allows
TILE = 64  # cells of a side of a decoded tile
OVERLAP = 16  # cells that neighbours share; a decoder looks about 10 cells far


def decode(model: LatentDiffusion, z: Tensor) -> Tensor:
    """`model.decode`, in tiles where the picture is large or memory is too short for all of it.

    (1, c, h, w) -> (1, 3, H, W).
    """
    cell = model.spec.first_stage.downsampling
    if z.shape[-2] * z.shape[-1] * cell**2 <= WHOLE_PIXELS:
        try:
            return model.decode(z)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
    return tiled_decode(model, z)  # outside of the handler, which holds on to the failed call's tensors


def tiled_decode(model: LatentDiffusion, z: Tensor, tile: int = TILE, overlap: int = OVERLAP) -> Tensor:
    """As `model.decode`, with the memory of one tile and the picture; overlaps are blended.

    Colours differ a little from those of the whole, as group normalization sees one tile at a time.
    """
    cells = (int(z.shape[-2]), int(z.shape[-1]))
    regions = grid(cells, tile, overlap, 1)
    cell = model.spec.first_stage.downsampling
    picture = torch.zeros(1, 3, cells[0] * cell, cells[1] * cell)
    for region, weight in zip(regions, blending(cells, regions), strict=True):
        rows, columns = (slice(cell * one.start, cell * one.stop) for one in region)
        fine = nn.functional.interpolate(weight[None, None], scale_factor=cell, mode="nearest")
        picture[..., rows, columns] += fine[0, 0] * model.decode(z[..., region[0], region[1]]).cpu()
    return picture


def grid(cells: tuple[int, int], tile: int, overlap: int, multiple: int) -> list[Region]:
    """Tiles of one size that cover a latent, in rows from the top left.

    Args:
        tile: cells of a side; a shorter latent makes shorter tiles.
        overlap: cells that neighbours share at least.
        multiple: each tile begins at such a cell.
    """
    rows, columns = (_spans(count, tile, overlap, multiple) for count in cells)
    return [(row, column) for row in rows for column in columns]


def _spans(count: int, tile: int, overlap: int, multiple: int) -> list[slice]:
    if count <= tile:
        return [slice(0, count)]
    number = math.ceil((count - overlap) / (tile - overlap))
    last = count - tile
    starts = {round(last * i / (number - 1) / multiple) * multiple for i in range(number)}
    return [slice(min(start, last), min(start, last) + tile) for start in sorted(starts)]


def blending(cells: tuple[int, int], regions: Sequence[Region]) -> list[Tensor]:
    """For each tile a weight of each of its cells, (h, w) float32, that falls towards its edges.

    Over all tiles the weights of a cell sum to 1.
    """
    falling = [
        torch.minimum(*torch.meshgrid(*(_ramp(one.stop - one.start) for one in region), indexing="ij"))
        for region in regions
    ]
    total = torch.zeros(cells)
    for region, weight in zip(regions, falling, strict=True):
        total[region] += weight
    return [weight / total[region] for region, weight in zip(regions, falling, strict=True)]


def _ramp(count: int) -> Tensor:
    """Cells to the nearest edge, cubed, so that the outermost ones hardly count."""
    index = torch.arange(count, dtype=torch.float32) + 0.5
    return torch.minimum(index, count - index).clamp(max=OVERLAP / 2) ** 3
