"""What a person asks for, as one validated value.  Imports no torch.

A request is the JSON object that the page, the command line, the HTTP interface and every saved picture
share.  Each task is a frozen dataclass that checks itself when it is made, so a request that exists is a
valid one; what only a model can tell (its classes, whether it exists) is checked when it is submitted.

    {"task": "text-to-image", "prompt": "a lake at dusk", "seed": 7}
    {"task": "inpaint", "image": "data:image/png;base64,...", "mask": "data:image/png;base64,..."}
    {"task": "text-to-image", "prompt": "at dawn", "branch": {"step": 12, "of": {"prompt": "at dusk"}}}

The rules stand in one table, `RULES`, the samplers in another, `SAMPLERS`.
"""

from __future__ import annotations

from ldm_core.request.base import (
    RULES,
    Branch,
    Request,
    Sized,
    branched,
    lineage,
    planned,
    rebased,
    reduced,
    single,
    varied,
)
from ldm_core.request.exchange import (
    JSON_BYTES,
    decode_json,
    drawn_seed,
    lasting_branch,
    parse_json,
    parse_request,
    to_json,
)
from ldm_core.request.extensions import AdapterUse, ControlUse
from ldm_core.request.fields import (
    BATCH,
    BORDER,
    BRANCHINGS,
    CLIP_SKIP,
    DEFAULT_MODEL,
    ETA,
    FLOAT32,
    FRACTION,
    GUIDANCE,
    PIXEL_BUDGET,
    PLANS,
    SEED,
    SIZE,
    STEPS,
)
from ldm_core.request.regions import RegionPrompt
from ldm_core.request.samplers import SAMPLERS, SPACINGS, SamplerSpec, SpacingSpec
from ldm_core.request.tasks import (
    TASKS,
    ClassToImage,
    ImageToImage,
    Inpaint,
    LayoutToImage,
    Outpaint,
    Remove,
    Semantic,
    SuperResolution,
    TextToImage,
    Unconditional,
)

__all__ = [
    "AdapterUse", "BATCH", "BORDER", "BRANCHINGS", "Branch", "CLIP_SKIP", "ClassToImage", "ControlUse",
    "DEFAULT_MODEL", "ETA", "FLOAT32", "FRACTION", "GUIDANCE",
    "ImageToImage", "Inpaint", "JSON_BYTES", "LayoutToImage", "Outpaint", "PIXEL_BUDGET", "PLANS", "RULES",
    "RegionPrompt", "Remove", "Request",
    "SAMPLERS", "SEED", "SIZE", "SPACINGS", "STEPS", "SamplerSpec", "Semantic", "Sized", "SpacingSpec",
    "SuperResolution", "TASKS", "TextToImage", "Unconditional", "branched", "decode_json", "drawn_seed",
    "lasting_branch", "lineage", "parse_json", "parse_request", "planned", "rebased", "reduced", "single",
    "to_json", "varied",
]  # fmt: skip
