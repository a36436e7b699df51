"""Large latents in overlapping tiles: the grid, the blending, and a decoder whose memory does not grow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ldm_core.device import is_out_of_memory
from ldm_core.model import LatentDiffusion
from ldm_core.samplers import Region

WHOLE_PIXELS = 2048 * 2048  # up to here a picture is decoded at once where memory allows
TILE = 64  # cells of a side of a decoded tile
OVERLAP = 16  # cells that neighbours share; a decoder looks about 10 cells far
PASSES = 3  # over all tiles, in which the statistics settle


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


@torch.inference_mode()
def tiled_decode(model: LatentDiffusion, z: Tensor, tile: int = TILE, overlap: int = OVERLAP) -> Tensor:
    """As `model.decode`, with the memory of one tile and the picture.

    Group normalization looks at all of a picture.  Its means and variances are found first: every pass over
    the tiles uses those of the pass before, and after each the statistics of one more layer are exact.
    """
    cells = (int(z.shape[-2]), int(z.shape[-1]))
    regions = grid(cells, tile, overlap, 1)
    weights = blending(cells, regions)
    cell = model.spec.first_stage.downsampling
    picture = torch.zeros(1, 3, cells[0] * cell, cells[1] * cell)
    norms = [one for one in model.first_stage_model.decoder.modules() if isinstance(one, nn.GroupNorm)]
    with shared_statistics(norms) as statistics:
        for _ in range(PASSES):
            for region, weight in zip(regions, weights, strict=True):
                statistics.weight = weight
                model.decode(z[..., region[0], region[1]])
            statistics.settle()
        statistics.weight = None
        for region, weight in zip(regions, weights, strict=True):
            rows, columns = (slice(cell * one.start, cell * one.stop) for one in region)
            fine = nn.functional.interpolate(weight[None, None], scale_factor=cell, mode="nearest")
            picture[..., rows, columns] += fine[0, 0] * model.decode(z[..., region[0], region[1]]).cpu()
    return picture


class Statistics:
    """Means and variances of group normalizations, gathered over tiles.

    Attributes:
        weight: (h, w) of the present tile while they are gathered; None: they are only used.
        moments: for each layer (groups,) mean and variance, once they are known.
    """

    def __init__(self) -> None:
        self.weight: Tensor | None = None
        self.moments: dict[nn.GroupNorm, tuple[Tensor, Tensor]] = {}
        self._sums: dict[nn.GroupNorm, list[Tensor]] = {}

    def normalize(self, norm: nn.GroupNorm, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """A forward hook: the output by the statistics of all tiles, where they are known."""
        x = args[0].float()
        grouped = x.reshape(1, norm.num_groups, -1, *x.shape[-2:])  # (1, g, c / g, h, w)
        if self.weight is not None:
            self._gather(norm, grouped)
        if norm not in self.moments:
            return output
        mean, variance = (moment.view(1, -1, 1, 1, 1) for moment in self.moments[norm])
        normal = ((grouped - mean) * (variance + norm.eps).rsqrt()).flatten(1, 2).to(output.dtype)
        return normal * norm.weight[:, None, None] + norm.bias[:, None, None]

    def settle(self) -> None:
        """What was gathered in this pass is used in the next one."""
        for norm, (count, first, second) in self._sums.items():
            mean = first / count
            self.moments[norm] = mean, (second / count - mean**2).clamp(min=0)
        self._sums.clear()

    def _gather(self, norm: nn.GroupNorm, grouped: Tensor) -> None:
        assert self.weight is not None
        size = grouped.shape[-2:]
        weight = nn.functional.interpolate(self.weight[None, None], size, mode="nearest")[0, 0]
        weight = weight.to(grouped) * self.weight.numel() / weight.numel()
        first = (weight * grouped).mean(2).sum((0, 2, 3))
        second = (weight * grouped**2).mean(2).sum((0, 2, 3))
        sums = self._sums.setdefault(norm, [torch.zeros(())] * 3)
        self._sums[norm] = [old.to(new) + new for old, new in zip(sums, (weight.sum(), first, second))]


@contextmanager
def shared_statistics(norms: Sequence[nn.GroupNorm]) -> Iterator[Statistics]:
    """Normalizes by statistics of one's own choice inside of the block."""
    statistics = Statistics()
    hooks = [norm.register_forward_hook(statistics.normalize) for norm in norms]
    try:
        yield statistics
    finally:
        for hook in hooks:
            hook.remove()


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
