"""Conditions that lie in the picture's plane, as channels to concatenate to x_t.

For the three that are ours (`known_region`, `label_map`, `box_map`) zeros mean "not given", so one model
serves any combination of them.  All take batches, so that training uses them as tasks do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldm_core.conditioners.base import Size
from ldm_core.conditioners.inputs import Box
from ldm_core.conditioners.label_bits import LabelBitsSpec
from ldm_core.conditioners.membrane import membrane
from ldm_core.diffusion.schedule import NoiseSchedule


def without_hole(image: Tensor, mask: Tensor) -> Tensor:
    """The picture with its hole closed smoothly from the border; nothing is left of what was in it.

    Args:
        image: (b, 3, H, W) in [-1, 1].
        mask: (b, 1, H, W), 1 in the hole and 0 elsewhere.
    """
    closed = [
        membrane(np.ascontiguousarray(picture.movedim(0, -1).numpy()), hole.numpy() < 0.5)
        for picture, hole in zip(image.cpu().float(), mask[:, 0].cpu(), strict=True)
    ]
    return torch.from_numpy(np.stack(closed)).movedim(-1, 1).to(image)


def known_region(z: Tensor, mask: Tensor) -> Tensor:
    """What is known of a picture: a latent, and which share of each cell is known.

    Cells that the hole's border crosses, and what is about it, are known as well as a first stage can say it.

    Args:
        z: (b, c, h, w), the scaled latent of the picture `without_hole`.
        mask: (b, 1, H, W), 1 in the hole and 0 elsewhere.

    Returns:
        (b, c + 1, h, w); zeros where nothing is known of a picture.
    """
    height, width = z.shape[-2:]
    known = 1.0 - F.adaptive_avg_pool2d(mask.to(z), (height, width))
    return torch.cat([z * (known.amax(dim=(2, 3), keepdim=True) > 0), known], dim=1)


def label_map(labels: Tensor, num_classes: int, size: Size) -> Tensor:
    """(b, H, W) class ids, 255 says nothing -> (b, num_classes, h, w), each class's share of a cell."""
    return F.adaptive_avg_pool2d(one_hot(labels, num_classes), size)


def label_bits(labels: Tensor, spec: LabelBitsSpec, size: Size) -> tuple[Tensor, Tensor]:
    """(b, H, W) class ids, 255 says nothing -> digits (b, n, h, w), -scale .. scale; and where, (b, 1, h, w).

    Cells that hold several classes have what lies between their digits; a cell counts where at least half of
    it says something.
    """
    table = torch.zeros(256, spec.count + 1, device=labels.device)
    ids = torch.arange(len(spec.classes), device=labels.device)
    digits = ids[:, None].bitwise_right_shift(torch.arange(spec.count, device=labels.device)) & 1
    table[: len(ids)] = F.pad(2.0 * digits - 1.0, (0, 1), value=1.0)  # the last column: something is said
    pooled = F.adaptive_avg_pool2d(table[labels.long()].movedim(-1, 1), size)
    bits, said = pooled[:, :-1], pooled[:, -1:]
    return spec.scale * bits / said.clamp(min=1e-6), (said >= 0.5).float()


def with_bits(x: Tensor, bits: Tensor) -> Tensor:
    """x_t (b, c, h, w) with given digits (b, n + 1, h, w), see `Cond`, in the place of its last n."""
    said, digits = bits[:, -1:], x[:, 1 - bits.shape[1] :]
    return torch.cat([x[:, : 1 - bits.shape[1]], torch.where(said > 0.5, bits[:, :-1], digits)], dim=1)


def kept_bits(bits: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """`Cond.bits` as x_0 of a latent with so many channels, and 1 where it is given, to be kept.

    Guidance's other side, which has no label map, then sees as much of it as x_t shows.
    """
    digits, said = bits[:, :-1], bits[:, -1:]
    rest = (0, 0, 0, 0, channels - digits.shape[1], 0)
    return F.pad(digits, rest), F.pad(said.expand_as(digits), rest)


def labels_of(bits: Tensor, spec: LabelBitsSpec) -> Tensor:
    """Digits (b, n, h, w), noisy or not -> (b, h, w) class ids."""
    weights = 2 ** torch.arange(spec.count, device=bits.device)
    ids = ((bits > 0) * weights.view(-1, 1, 1)).sum(1)
    return ids.clamp(max=len(spec.classes) - 1)


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """(b, H, W) class ids -> (b, num_classes, H, W) float32; ids that are no class say nothing."""
    ids = torch.where(labels.long() < num_classes, labels.long(), num_classes)
    return F.one_hot(ids, num_classes + 1)[..., :-1].movedim(-1, 1).float()


def box_map(boxes: Tensor, num_classes: int, size: Size) -> Tensor:
    """For each class the share of each cell that its boxes cover.

    Args:
        boxes: (b, n, 5): class id, or -1 for no box, then x0, y0, x1, y1 in [0, 1].
        size: height and width of the latent.

    Returns:
        (b, num_classes, h, w); boxes of one class lie over each other as if independent, 1 - prod(1 - cover).
    """
    height, width = size
    across = _overlap(boxes[..., 1], boxes[..., 3], width)  # (b, n, w)
    down = _overlap(boxes[..., 2], boxes[..., 4], height)  # (b, n, h)
    cover = down[..., :, None] * across[..., None, :]  # (b, n, h, w)
    of_class = boxes[..., :1] == torch.arange(num_classes, device=boxes.device)  # (b, n, num_classes)
    left = 1.0 - of_class[..., None, None] * cover[:, :, None]  # (b, n, num_classes, h, w)
    return 1.0 - left.prod(dim=1)


def _overlap(start: Tensor, end: Tensor, cells: int) -> Tensor:
    """Intervals (b, n) in [0, 1] -> (b, n, cells), the share of each of the line's cells that they cover."""
    edges = torch.arange(cells, device=start.device, dtype=start.dtype)
    first, last = start[..., None] * cells, end[..., None] * cells
    return (torch.minimum(last, edges + 1) - torch.maximum(first, edges)).clamp(0.0, 1.0)


def box_tensor(boxes: Sequence[Box]) -> Tensor:
    """(1, n, 5) float32, for `box_map`."""
    rows = [(box.class_id, box.x0, box.y0, box.x1, box.y1) for box in boxes]
    return torch.tensor(rows, dtype=torch.float32).view(1, len(rows), 5)


def noised(image: Tensor, noise: Tensor, level: int, schedule: NoiseSchedule) -> Tensor:
    """(b, 3, h, w) with as much noise as x_t has at t = level."""
    alpha_bar = schedule.alpha_bar(level)
    return alpha_bar**0.5 * image + (1 - alpha_bar) ** 0.5 * noise


def masked_image(image: Tensor, mask: Tensor) -> Tensor:
    """(b, 3, H, W) with -1 in the hole, where mask (b, 1, H, W) is 1; as the published models take it."""
    return image * (1.0 - mask) - mask
