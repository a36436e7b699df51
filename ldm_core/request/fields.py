"""The fields that requests have: what each may hold, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from ldm_core.request.rules import NAME_CHARACTERS, Boxes, Name, OneOf, Pixels, Real, Rule, Seeds, Text, Whole
from ldm_core.spec import Spacing

if TYPE_CHECKING:
    from ldm_core.request.tasks import Request

DEFAULT_MODEL = "landscapes"

# Lowest and highest allowed value.
STEPS = (1, 250)
SIZE = (64, 2048)  # pixels
GUIDANCE = (0.0, 30.0)
ETA = (0.0, 1.0)
SEED = (0, 2**53 - 1)  # every integer that JavaScript and SQLite keep exactly
BATCH = (1, 16)
FRACTION = (0.0, 1.0)
BORDER = (0, 1024)  # pixels
HIGHEST_SIDE = 12_288  # of what super-resolution makes
BRANCHINGS = 32  # of one picture

SAMPLERS = (
    "ddim", "ddpm", "plms", "euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc",
)  # fmt: skip
ETA_SAMPLERS = ("ddim",)  # the others add a fixed amount of noise, or none
KARRAS_SAMPLERS = ("heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc")  # of higher order: it halves their error
SPACINGS: tuple[str, ...] = get_args(Spacing)
PIXEL_BUDGET = 16 * 1024 * 1024  # width * height * batch_size: four pictures of 2048 x 2048
PROMPT_CHARACTERS = 20_000

TASK_NAMES = (
    "text-to-image", "image-to-image", "inpaint", "outpaint", "super-resolution", "semantic", "layout",
    "class", "unconditional",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a picture leaves another: what was made before `step` (0-based) is of the request `of`.

    In JSON `of` has the fields that are different there, null where it has none of them.
    """

    step: int
    of: Request


@dataclass(frozen=True, slots=True)
class Branching:
    """A branch."""

    @property
    def allowed(self) -> str:
        return (
            f"a branch: an object with step, from 1 to {STEPS[1]}, and of, the fields that differ before it"
        )

    def read(self, value: object) -> Branch | None:
        fits = isinstance(value, Branch) and Whole(1, STEPS[1]).read(value.step) is not None
        return value if fits and isinstance(value, Branch) else None


RULES: Mapping[str, Rule] = {
    "task": OneOf(TASK_NAMES),
    "model": Name(0, NAME_CHARACTERS),
    "prompt": Text(PROMPT_CHARACTERS),
    "negative_prompt": Text(PROMPT_CHARACTERS),
    "steps": Whole(*STEPS),
    "sampler": OneOf(SAMPLERS),
    "eta": Real(*ETA),
    "guidance_scale": Real(*GUIDANCE),
    "seed": Whole(*SEED),
    "batch_size": Whole(*BATCH),
    "spacing": OneOf(SPACINGS),
    "guidance_rescale": Real(*FRACTION),
    "guidance_start": Real(*FRACTION),
    "guidance_end": Real(*FRACTION),
    "width": Whole(*SIZE),
    "height": Whole(*SIZE),
    "image": Pixels("picture"),
    "mask": Pixels("mask"),
    "label_map": Pixels("label map"),
    "strength": Real(*FRACTION),
    "area": OneOf(("whole", "masked")),
    "margin": Whole(*BORDER),
    "feather": Whole(*BORDER),
    "paste": OneOf(("feather", "match", "gradient")),
    "fill": OneOf(("original", "noise", "telea")),
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
    "branch": Branching(),
}
