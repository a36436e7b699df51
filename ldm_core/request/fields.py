"""What each field of a request may hold, in one table; `Request` itself checks its task and its branch."""

from __future__ import annotations

from collections.abc import Mapping

from ldm_core.pictures.reading import MAX_SIDE
from ldm_core.prompts import AUTO, SYNTAXES, WEIGHTINGS
from ldm_core.request.extensions import Adapters, Controls
from ldm_core.request.regions import Regions
from ldm_core.request.rules import (
    NAME_CHARACTERS,
    PROMPT_CHARACTERS,
    Boxes,
    Name,
    OneOf,
    RasterOf,
    Real,
    Rule,
    Seed,
    Seeds,
    SomeOf,
    Text,
    Whole,
)
from ldm_core.request.samplers import SAMPLERS, SPACINGS

DEFAULT_MODEL = "landscapes"

# Lowest and highest allowed value.
STEPS = (1, 250)
SIZE = (64, 2048)  # pixels
GUIDANCE = (0.0, 30.0)
ETA = (0.0, 1.0)
SEED = (0, 2**64 - 1)
EXACT = 2**53 - 1  # the highest integer that JavaScript keeps exactly
DRAW = -1  # as a seed: draw one
DRAWN_SEEDS = 10**7  # how many; short enough to be read aloud
BATCH = (1, 16)
FRACTION = (0.0, 1.0)
BORDER = (0, 1024)  # pixels
HIGHEST_SIDE = MAX_SIDE  # of what super-resolution makes
BRANCHINGS = 32  # of one picture

PIXEL_BUDGET = 16 * 1024 * 1024  # width * height * batch_size: four pictures of 2048 x 2048
CLIP_SKIP = (0, 12)
FLOAT32 = "float32"
# What is otherwise than usual where a picture could not be made as usual, since memory was short or the
# network produced NaN: the number format, and which parts of the work go in small pieces.
PLANS = (FLOAT32, "inputs", "steps", "decoding")

FIELDS: Mapping[str, Rule] = {
    "model": Name(0, NAME_CHARACTERS),
    "prompt": Text(PROMPT_CHARACTERS),
    "negative_prompt": Text(PROMPT_CHARACTERS),
    "template": Text(PROMPT_CHARACTERS),
    "negative_template": Text(PROMPT_CHARACTERS),
    "steps": Whole(*STEPS),
    "sampler": OneOf(tuple(SAMPLERS)),
    "prompt_syntax": OneOf((AUTO, *SYNTAXES)),
    "prompt_weighting": OneOf((AUTO, *WEIGHTINGS)),
    "clip_skip": Whole(*CLIP_SKIP),
    "eta": Real(*ETA),
    "guidance_scale": Real(*GUIDANCE),
    "seed": Seed(SEED[1]),
    "batch_size": Whole(*BATCH),
    "spacing": OneOf(tuple(SPACINGS)),
    "guidance_rescale": Real(*FRACTION),
    "guidance_start": Real(*FRACTION),
    "guidance_end": Real(*FRACTION),
    "width": Whole(*SIZE),
    "height": Whole(*SIZE),
    "image": RasterOf("picture"),
    "mask": RasterOf("mask"),
    "label_map": RasterOf("label map"),
    "strength": Real(*FRACTION),
    "area": OneOf(("whole", "masked")),
    "margin": Whole(*BORDER),
    "feather": Whole(*BORDER),
    "paste": OneOf(("feather", "match", "gradient")),
    "fill": OneOf(("original", "noise", "patches", "telea")),
    "left": Whole(*BORDER),
    "right": Whole(*BORDER),
    "top": Whole(*BORDER),
    "bottom": Whole(*BORDER),
    "scale": OneOf((2, 4, 8)),
    "boxes": Boxes(),
    "class_name": Name(0, NAME_CHARACTERS),
    "class_id": Whole(0, 100_000),
    "class_to": Name(0, NAME_CHARACTERS),
    "blend": Real(*FRACTION),
    "variation_of": Seeds(SEED[1]),
    "variation_strength": Real(*FRACTION),
    "second_pass": Real(*FRACTION),
    "adapters": Adapters(),
    "controls": Controls(),
    "regions": Regions(),
    "base_share": Real(*FRACTION),
    "plan": SomeOf(PLANS),
}

# What steps of one picture have in common, whatever changes at a branch.
FIXED = (
    "task", "model", "steps", "spacing", "width", "height", "image", "strength", "area", "margin", "feather",
    "fill", "paste", "left", "right", "top", "bottom", "scale", "second_pass",
)  # fmt: skip
