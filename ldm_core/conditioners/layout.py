"""The token sequence of the paper's layout-to-image models."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ldm_core.conditioners.given import Box
from ldm_core.spec import LayoutSpec

_WHOLE = Box(0, 0.0, 0.0, 1.0, 1.0)


def layout_tokens(boxes: Sequence[Box], spec: LayoutSpec) -> list[int]:
    """Class, top left and bottom right of each box, padding, and the crop: `spec.max_length` token ids.

    A point is the number of its cell in a square grid, counted in rows from the top left; the last token of
    the vocabulary pads.  Boxes beyond `spec.max_boxes` are left out.  As in arXiv:2105.06458; the rounding
    is the reference implementation's.
    """
    grid = math.isqrt(spec.vocab_size)

    def corners(box: Box) -> list[int]:
        return [
            round(min(max(y, 0.0), 1.0) * (grid - 1)) * grid + round(min(max(x, 0.0), 1.0) * (grid - 1))
            for x, y in ((box.x0, box.y0), (box.x1, box.y1))
        ]

    tokens = [token for box in boxes[: spec.max_boxes] for token in (box.class_id, *corners(box))]
    padding = [spec.vocab_size - 1] * (spec.max_length - 2 - len(tokens))
    return [*tokens, *padding, *corners(_WHOLE)]
