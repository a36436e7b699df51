"""Large pictures in overlapping tiles: the grid, the blending, and a first stage whose memory does not grow.

A first stage looks at a whole picture in two ways: by attention, at low resolution, and by the statistics of
its group normalizations.  So the layers up to or from its attention run on the whole.  The others run tile by
tile, side by side up to each normalization, where the tiles' statistics are put together.  Tiles overlap by
what those layers see, so the result is that of the whole, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.diffusion.samplers import Region
from ldm_core.network.images import to_pixels
from ldm_core.nn.autoencoder import AttnBlock, Downsample, FirstStage, ResnetBlock, through
from ldm_core.nn.upsample import Upsample
from ldm_core.request.raster import Pixels

TILE = 512  # pixels of a side of a first stage's tile
OVERLAP = 16  # cells that neighbours share where they are blended
INNER_CELLS = 128 * 128  # up to here attention is of the whole picture, beyond of its tile
# Of the features of tiles that stand side by side; where there are more tiles, evenly chosen ones tell the
# statistics.
STATISTICS_BYTES = 2**30
STRIP = 256  # rows of pixels that are rounded at once
QUANTIZED_ROWS = 16  # of a latent, at once
BEFORE = 0.3  # the share of decoding that comparing with a codebook is
# Of the largest feature map, up to which a picture is not cut into tiles; all maps together take six times as
# much.  A graphics card says when its memory is full, so it may be tried.
WHOLE_BYTES = {"cpu": 2**28, "cuda": 2**31}

Share = float  # of the work that is done
S = TypeVar("S")
T = TypeVar("T")


def rounded(picture: Tensor) -> Pixels:
    """`to_pixels` of a large picture, (3, H, W), with little memory."""
    return np.concatenate([to_pixels(strip) for strip in torch.split(picture, STRIP, dim=1)])


def fits(stage: FirstStage, size: tuple[int, int]) -> bool:
    """Whether a picture of height and width in pixels may go through a first stage at once."""
    spec, weight = stage.spec, stage.post_quant_conv.weight
    channels = spec.channels * max(spec.channel_mult[:2])
    features = math.prod(size) * channels * weight.element_size() // spec.patch_size**2
    return features <= WHOLE_BYTES.get(weight.device.type, min(WHOLE_BYTES.values()))


@torch.inference_mode()
def encode(stage: FirstStage, image: Tensor, tile: int = TILE) -> Tensor:
    """`stage.latent` in tiles, (1, 3, H, W) -> (1, c, h, w)."""
    layers, blended = stage.encoder.layers(), OVERLAP
    first = len(layers)
    if math.prod(image.shape[-2:]) <= INNER_CELLS * stage.spec.downsampling**2:
        first, blended = next((i for i, entry in enumerate(layers) if isinstance(entry, AttnBlock)), first), 0
    h = torch.cat(run(in_tiles(layers[:first], image, tile, lambda strip: strip, blended)), dim=-2)
    return stage.after_encoder(through(layers[first:], h.to(image)))


@torch.inference_mode()
def decoding(stage: FirstStage, z: Tensor, tile: int = TILE) -> Generator[Share, None, Pixels]:
    """`stage.decode` in tiles, (1, c, h, w) -> (H, W, 3)."""
    rows: list[Tensor] = []
    for part in torch.split(z, QUANTIZED_ROWS, dim=-2):
        rows.append(stage.before_decoder(part))
        yield BEFORE * len(rows) * QUANTIZED_ROWS / (z.shape[-2] + QUANTIZED_ROWS)
    layers, h, blended, after = stage.decoder.layers(), torch.cat(rows, dim=-2), OVERLAP, 0
    if math.prod(z.shape[-2:]) <= INNER_CELLS:
        after = max((i + 1 for i, entry in enumerate(layers) if isinstance(entry, AttnBlock)), default=0)
        h, blended = through(layers[:after], h), 0
    cells = tile * h.shape[-1] // (stage.spec.downsampling * z.shape[-1])
    work = in_tiles(layers[after:], h, cells, lambda strip: to_pixels(strip[0]), blended)
    while True:
        try:
            yield BEFORE + (1 - BEFORE) * next(work)
        except StopIteration as done:
            return np.concatenate(done.value)


def run(work: Generator[Share, None, T]) -> T:
    """Runs work to its end."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result


def in_tiles(
    layers: Sequence[nn.Module], x: Tensor, tile: int, kept: Callable[[Tensor], S], blended: int
) -> Generator[Share, None, list[S]]:
    """`through(layers, x)` of a large x, (1, c, h, w), as strips from the top.

    Args:
        tile: pixels of x of a tile's side.
        kept: what is kept of a strip (1, d, H, W) on the CPU, float32.
        blended: further cells that tiles share, where layers see farther (attention).
    """
    shrinks, reach = _seen(layers)
    blended = blended if any(isinstance(layer, AttnBlock) for layer in layers) else 0
    cells = (int(x.shape[-2]) // shrinks, int(x.shape[-1]) // shrinks)
    regions = grid(cells, max(tile // shrinks, 4 * reach + blended), 2 * reach + blended, 1)
    weights = blending(cells, regions, reach)
    parts = [
        x[..., shrinks * rows.start : shrinks * rows.stop, shrinks * columns.start : shrinks * columns.stop]
        for rows, columns in regions
    ]
    few = _few(layers, parts)
    before = len(few) / len(parts)  # the share of the work that the statistics are
    known: Known = {}
    made = yield from _statistics(layers, {i: parts[i] for i in few}, weights, known, before)

    def result(i: int) -> Tensor:
        out = made.pop(i) if i in made else through(layers, parts[i], partial(_normed, known))
        return out.float().cpu()

    strips: list[S] = []
    below: Tensor | None = None  # what is made already of the next strip
    for first, end in _strips(regions):
        for i in range(first, end):
            out, (rows, columns) = result(i), regions[i]
            grows = out.shape[-1] // weights[i].shape[-1]
            if i == first:
                strip = out.new_zeros(1, out.shape[1], out.shape[2], grows * cells[1])
                if below is not None:
                    strip[:, :, : below.shape[2]] = below
            strip[..., grows * columns.start : grows * columns.stop] += _enlarged(weights[i], out) * out
            yield before + (1 - before) * (i + 1) / len(regions)
        done = grows * ((regions[end][0].start if end < len(regions) else rows.stop) - rows.start)
        strips.append(kept(strip[:, :, :done]))
        below = strip[:, :, done:]
    return strips


def _strips(regions: Sequence[Region]) -> list[tuple[int, int]]:
    """The first tile of each row of tiles, and the next one's."""
    starts = [i for i, entry in enumerate(regions) if entry[1].start == 0]
    return list(pairwise([*starts, len(regions)]))


def _seen(layers: Sequence[nn.Module]) -> tuple[int, int]:
    """How many times layers shrink what they are given, and how many cells they see to each side.

    Cells are pixels of what they are given or of what they make, whichever is smaller.
    """
    far, size = 0.0, 1.0  # in pixels of what is given; of one at hand
    for layer in layers:
        match layer:
            case nn.PixelUnshuffle():
                size *= layer.downscale_factor
            case Downsample():
                far, size = far + 2 * size, 2 * size
            case Upsample():
                far, size = far + size / 2, size / 2
            case ResnetBlock():
                far += 2 * size
            case nn.Conv2d():
                far += size
    cell = max(1, round(size))
    return cell, math.ceil(far / cell)


def _few(layers: Sequence[nn.Module], parts: Sequence[Tensor]) -> range:
    """The tiles whose features may stand side by side: all of them, or evenly chosen ones."""
    side = min(parts[0].shape[-2:])
    corner = h = parts[0][..., :side, :side]
    largest = max((h := through([layer], h)).nbytes for layer in layers) / corner.numel()
    return range(0, len(parts), math.ceil(len(parts) * parts[0].numel() * largest / STATISTICS_BYTES))


# Group normalization by the statistics of the whole ------------------------------------------------------

Known = dict[nn.GroupNorm, tuple[Tensor, Tensor]]  # scale and shift of each channel, (c, 1, 1)


class _Reached(Exception):
    """What a normalization is given."""

    def __init__(self, x: Tensor) -> None:
        self.x = x


def _statistics(
    layers: Sequence[nn.Module],
    tiles: dict[int, Tensor],
    weights: Sequence[Tensor],
    known: Known,
    share: Share,
) -> Generator[Share, None, dict[int, Tensor]]:
    """Fills in what is known of each normalization; returns what the layers make of the tiles."""
    for depth, layer in enumerate(layers):
        for norm in [entry for entry in layer.modules() if isinstance(entry, nn.GroupNorm)]:
            sums = torch.zeros((), dtype=torch.float64)
            for i, h in tiles.items():
                sums = sums + _sums(layer, h, weights[i], known)
                yield share * depth / len(layers)
            known[norm] = _affine(norm, sums)
        for number, (i, h) in enumerate(tiles.items(), start=1):
            tiles[i] = through([layer], h, partial(_normed, known))
            yield share * (depth + number / len(tiles)) / len(layers)
    return tiles


def _normed(known: Known, norm: nn.GroupNorm, x: Tensor) -> Tensor:
    if norm not in known:
        raise _Reached(x)
    scale, shift = known[norm]
    return torch.addcmul(shift, scale, x.float()).to(x.dtype)


def _sums(layer: nn.Module, h: Tensor, weight: Tensor, known: Known) -> Tensor:
    """(3, channels) float64 of what a layer's first unknown normalization is given for a tile.

    Number, sum and sum of squares.
    """
    try:
        through([layer], h, partial(_normed, known))
    except _Reached as reached:
        x = reached.x.float()
    fine = _enlarged(weight, x).to(x)
    sums = [(fine * entry).sum((0, 2, 3)) for entry in (x, x.square())]
    return torch.stack([fine.sum().expand_as(sums[0]), *sums]).cpu().double()


def _affine(norm: nn.GroupNorm, sums: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift by the sums (3, channels) over all tiles."""
    number, total, squares = sums.view(3, norm.num_groups, -1).sum(2)
    mean = total / number
    std = (squares / number - mean**2 + norm.eps).sqrt()
    mean, std = (entry.repeat_interleave(norm.num_channels // norm.num_groups) for entry in (mean, std))
    scale = norm.weight.cpu().double() / std
    shift = norm.bias.cpu().double() - mean * scale
    device = norm.weight.device
    return scale.float().to(device)[:, None, None], shift.float().to(device)[:, None, None]


def _enlarged(weight: Tensor, x: Tensor) -> Tensor:
    """A tile's (h, w) weights of cells for each of its pixels, (1, 1, H, W)."""
    return F.interpolate(weight[None, None], size=x.shape[-2:], mode="nearest")


# The grid -------------------------------------------------------------------------------------------------


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


def blending(cells: tuple[int, int], regions: Sequence[Region], reach: int = 0) -> list[Tensor]:
    """For each tile a weight of each of its cells, (h, w) float32, that falls towards its neighbours.

    Over all tiles the weights of a cell sum to 1.

    Args:
        reach: so many cells at an edge within the picture count for nothing, as another tile has them.
    """
    falling = [
        _ramp(rows, cells[0], reach)[:, None] * _ramp(columns, cells[1], reach) for rows, columns in regions
    ]
    total = torch.zeros(cells)
    for region, weight in zip(regions, falling, strict=True):
        total[region] += weight
    return [weight / total[region] for region, weight in zip(regions, falling, strict=True)]


def _ramp(span: slice, count: int, reach: int) -> Tensor:
    """Cells to the nearest edge that is not the picture's, cubed, so that the outermost ones hardly count."""
    index = torch.arange(span.start, span.stop, dtype=torch.float32) + 0.5
    before = index - span.start if span.start else torch.full_like(index, math.inf)
    after = span.stop - index if span.stop < count else torch.full_like(index, math.inf)
    return (torch.minimum(before, after) - reach).clamp(1e-3, OVERLAP / 2) ** 3
