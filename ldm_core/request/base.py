"""What all requests share, and what follows from one: one of its pictures, variations, branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from ldm_core.request.extensions import AdapterUse, ControlUse, Extensions
from ldm_core.request.fields import (
    BRANCHINGS,
    FIELDS,
    FIXED,
    FLOAT32,
    PIXEL_BUDGET,
    SEED,
    SIZE,
    STEPS,
)
from ldm_core.request.raster import Raster
from ldm_core.request.regions import RegionPrompt
from ldm_core.request.rules import Rule, Verbatim, Whole, brief, read_field, refuse


def reduced(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height in the same shape, of at most `side` a side."""
    scale = side / max(*size, side)
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


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


# Every field but the task, which the class of a request is.
RULES: Mapping[str, Rule] = {**FIELDS, "branch": Branching()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What all tasks share.  Picture i of a batch uses seed + i (see `single`).

    A model that takes a prompt makes an unconditional picture of an empty one.  `guidance_scale` 1 is no
    guidance, and so is 0, as the cards of models for few steps write it.  `model` "" is the best bundled one
    for the task.

    Raises:
        RequestError: on the first field that is not allowed; values are converted where that loses nothing.
    """

    task: str
    model: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    steps: int = 30
    sampler: str = "ddim"
    eta: float = 0.0  # where the sampler uses it: 0 is deterministic, 1 draws as much noise as DDPM
    guidance_scale: float = 2.5
    seed: int = 0
    batch_size: int = 1
    spacing: str = "trailing"  # which timesteps the steps visit, see `schedule.timesteps`
    guidance_rescale: float = 0.0  # against harsh contrast, see `guidance.guided`
    guidance_start: float = 0.0  # guidance begins at this fraction of the steps
    guidance_end: float = 1.0  # and ends before this one
    prompt_syntax: str = "auto"  # how the prompts are read; "auto" suits the model, see `tasks/wording.py`
    prompt_weighting: str = "auto"  # what their weights do; "auto" is that of the syntax
    clip_skip: int = 0  # which of CLIP's layers is read, counted from the last; 0: as the model learnt
    variation_of: tuple[int, ...] | None = None  # seeds: of a picture, a variation of it, one of that ...
    variation_strength: float = 0.2  # share of the noise's variance that each variation draws anew
    adapters: tuple[AdapterUse, ...] | None = None
    controls: tuple[ControlUse, ...] | None = None
    regions: tuple[RegionPrompt, ...] | None = None  # what parts of the picture show, see `tasks/regions.py`
    base_share: float = 0.2  # of the prompt, within regions that have one of their own
    template: str | None = None  # what the prompt was drawn from, where that is other than the prompt itself
    negative_template: str | None = None
    branch: Branch | None = None  # how the first steps were made, where it was otherwise
    plan: tuple[str, ...] | None = (
        None  # what is otherwise than usual (`fields.PLANS`), and with it the bytes
    )

    def __post_init__(self) -> None:
        for field in fields(self):
            got = getattr(self, field.name)
            if field.name == "task":
                if got != field.default:
                    refuse("task", got, repr(field.default))
                continue
            if got is None and field.default is None:
                continue  # not given
            rule = RULES[field.name]
            value = read_field(rule, field.name, got)
            object.__setattr__(self, field.name, value)
        self._check_together()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture that is made, in pixels."""
        raise NotImplementedError

    @property
    def worked_size(self) -> tuple[int, int]:
        """Width and height at which a model draws the whole picture; a larger one is enlarged from it."""
        return reduced(self.size, SIZE[1])

    @property
    def extensions(self) -> Extensions:
        """What its model is loaded with."""
        names = dict.fromkeys(control.name for control in self.controls or ())
        return Extensions(self.adapters or (), tuple(names))

    def notes(self) -> tuple[str, ...]:
        """Sentences about what a person may not expect of the picture."""
        notes = []
        if self.negative_prompt.strip() and self.guidance_scale in (0, 1):
            notes.append("Without guidance (a scale of 1) what is to be left out is not read.")
        if FLOAT32 in (self.plan or ()):
            notes.append("It is made in float32, which takes longer.")
        if {FLOAT32} < {FLOAT32, *(self.plan or ())}:
            notes.append("It is made in small pieces, which takes less memory.")
        return tuple(notes)

    def num_steps(self, whole: int) -> int:
        """How many steps are made.  `whole`: from pure noise to the picture."""
        return whole

    def _check_together(self) -> None:
        """The rules that concern several fields."""
        self._check_size()
        highest = SEED[1] - (self.batch_size - 1)
        if self.seed > highest:
            refuse("seed", self.seed, f"at most {highest}, since each of {self.batch_size} pictures adds 1")
        if self.guidance_start > self.guidance_end:
            refuse("guidance_start", self.guidance_start, f"at most guidance_end, {self.guidance_end:g}")
        self._check_regions()
        if self.branch is not None:
            self._check_branch(self.branch)

    def _check_regions(self) -> None:
        """What regions name has to be there."""
        boxes = getattr(self, "boxes", ())
        for region in self.regions or ():
            if region.label is not None and not hasattr(self, "label_map"):
                refuse(
                    "regions", Verbatim(f"for {region.called}"), "for boxes or masks: there is no label map"
                )
            if region.box is not None and region.box >= len(boxes):
                there = f"for one of the {len(boxes)} boxes" if boxes else "without boxes, as there are none"
                refuse("regions", Verbatim(f"for {region.called}"), there)

    def _check_size(self) -> None:
        """What is made has to fit into memory."""
        width, height = self.worked_size
        if width * height * self.batch_size > PIXEL_BUDGET:
            most = PIXEL_BUDGET // (width * height)
            refuse("batch_size", self.batch_size, f"at most {most} at {width} x {height} pixels")

    def _check_branch(self, branch: Branch) -> None:
        for name in FIXED:
            before, got = (getattr(request, name, None) for request in (branch.of, self))
            if before != got:
                refuse(name, got, f"as before the branch, {brief(before)!r}")
        if branch.of.size != self.size:
            size = " x ".join(map(str, branch.of.size))
            refuse("branch", Verbatim("of another size"), f"of a picture of {size} pixels, as before it")
        earlier = [request.branch.step for request in lineage(self) if request.branch is not None]
        if branch.of.batch_size != 1 or earlier != sorted(earlier):
            refuse(
                "branch", Verbatim(f"at step {branch.step}"), "one of a single picture, at or after its own"
            )
        if len(earlier) > BRANCHINGS:
            refuse("branch", Verbatim(f"the picture's {len(earlier)}th"), f"one of at most {BRANCHINGS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized(Request):
    """A picture of any size.

    second_pass: share of the steps that are made once more, at the full size, after a first pass at the
        model's own: large pictures keep their composition.  0: one pass alone.
    """

    width: int = 256  # pixels
    height: int = 256  # pixels
    second_pass: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def num_steps(self, whole: int) -> int:
        return whole + with_share(whole, self.second_pass) if self.second_pass else whole


@dataclass(frozen=True, slots=True, kw_only=True)
class FromImage(Request):
    """A picture of the size of a given one."""

    image: Raster

    @property
    def size(self) -> tuple[int, int]:
        return self.image.width, self.image.height

    def notes(self) -> tuple[str, ...]:
        return (*Request.notes(self), *self.image.notes)


R = TypeVar("R", bound=Request)


def with_share(num_steps: int, share: float) -> int:
    """How many of the steps a share of them is; at least one."""
    return max(1, round(share * num_steps))


def single(request: R, i: int) -> R:
    """The request that makes picture `i` of a batch alone, with the same pixels.

    Raises:
        IndexError: the batch has no picture `i`.
    """
    if not 0 <= i < request.batch_size:
        raise IndexError(f"picture {i} of a batch of {request.batch_size}")
    return replace(request, seed=request.seed + i, batch_size=1)


def varied(request: R, seed: int, batch_size: int) -> R:
    """Variations of the one picture that a request makes: its noise, with a share of their own.

    Raises:
        RequestError: the picture is a variation of too many already.
    """
    of = (*(request.variation_of or ()), request.seed)
    return replace(request, seed=seed, batch_size=batch_size, variation_of=of)


def lineage(request: Request, first: int = 0) -> tuple[Request, ...]:
    """The requests that make a picture one after the other, from a step on.

    Each but the first begins at its branch.
    """
    branch = request.branch
    before = () if branch is None or branch.step <= first else lineage(branch.of, first)
    return (*before, request)


def branched(request: R, step: int, of: Request) -> R:
    """The request that goes on at `step`, 0-based, from a picture that `of` makes.

    Raises:
        RequestError: something else changes than what may change within one picture.
    """
    while of.branch is not None and of.branch.step > step:
        of = of.branch.of
    return replace(request, branch=Branch(step, of) if step else None)


def planned(request: R, plan: tuple[str, ...] | None, first: int = 0) -> R:
    """The request, to be made by a plan from a step on: as `lineage`, also before its branches."""
    branch = request.branch
    if branch is not None and branch.step > first:
        branch = Branch(branch.step, planned(branch.of, plan, first))
    return replace(request, plan=plan, branch=branch)


def rebased(request: R, of: Request) -> R:
    """The request with everything as `of` has it that cannot change within one picture, such as its steps.

    Raises:
        RequestError: it is of another task, or does not suit what `of` has.
    """
    if request.task != of.task:
        refuse("task", request.task, f"as before the branch, {of.task!r}")
    fixed = {name: getattr(of, name) for name in FIXED if hasattr(of, name)}
    return replace(request, **fixed)
