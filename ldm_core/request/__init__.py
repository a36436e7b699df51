"""What a person asks for, as one validated value.  Imports no torch.

A request is the JSON object that the page, the command line, the HTTP interface and every saved picture
share.  Each task is a frozen dataclass that checks itself when it is made, so a request that exists is a
valid one; what only a model can tell (its classes, whether it exists) is checked when it is submitted.

    {"task": "text-to-image", "prompt": "a lake at dusk", "seed": 7}
    {"task": "inpaint", "image": "data:image/png;base64,...", "mask": "data:image/png;base64,..."}
    {"task": "text-to-image", "prompt": "at dawn", "branch": {"step": 12, "of": {"prompt": "at dusk"}}}

The rules stand in one table, `RULES`.
"""

from __future__ import annotations

from ldm_core.request.exchange import (
    JSON_BYTES,
    decode_json,
    lasting_branch,
    parse_json,
    parse_request,
    to_json,
)
from ldm_core.request.fields import (
    BATCH,
    BORDER,
    BRANCHINGS,
    DEFAULT_MODEL,
    ETA,
    ETA_SAMPLERS,
    FRACTION,
    GUIDANCE,
    KARRAS_SAMPLERS,
    PIXEL_BUDGET,
    RULES,
    SAMPLERS,
    SEED,
    SIZE,
    SPACINGS,
    STEPS,
    TASK_NAMES,
    Branch,
)
from ldm_core.request.tasks import (
    TASKS,
    ClassToImage,
    ImageToImage,
    Inpaint,
    LayoutToImage,
    Outpaint,
    Request,
    Semantic,
    Sized,
    SuperResolution,
    TextToImage,
    Unconditional,
    branched,
    lineage,
    rebased,
    single,
    varied,
)

__all__ = [
    "BATCH", "BORDER", "BRANCHINGS", "Branch", "ClassToImage", "DEFAULT_MODEL", "ETA", "ETA_SAMPLERS",
    "FRACTION", "GUIDANCE", "ImageToImage", "Inpaint", "JSON_BYTES", "KARRAS_SAMPLERS", "LayoutToImage",
    "Outpaint", "PIXEL_BUDGET", "RULES", "Request", "SAMPLERS", "SEED", "SIZE", "SPACINGS", "STEPS",
    "Semantic", "Sized", "SuperResolution", "TASKS", "TASK_NAMES", "TextToImage", "Unconditional", "branched",
    "decode_json", "lasting_branch", "lineage", "parse_json", "parse_request", "rebased", "single",
    "to_json", "varied",
]  # fmt: skip
