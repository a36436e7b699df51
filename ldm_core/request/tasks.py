"""What each task is asked for, and what follows from a request: one of its pictures, variations, branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from ldm_core.request.fields import BRANCHINGS, DEFAULT_MODEL, HIGHEST_SIDE, PIXEL_BUDGET, RULES, SEED, Branch
from ldm_core.request.raster import Raster
from ldm_core.request.rules import LabelledBox, Verbatim, brief, refuse

# What steps of one picture have in common, whatever changes at a branch.
FIXED = (
    "task", "model", "steps", "spacing", "width", "height", "image", "strength", "area", "margin", "feather",
    "fill", "paste", "left", "right", "top", "bottom", "scale", "second_pass",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What all tasks share.  Picture i of a batch uses seed + i (see `single`).

    A model that takes a prompt makes an unconditional picture of an empty one.  `guidance_scale` 1 is no
    guidance.  `model` "" is the best bundled one for the task.

    Raises:
        RequestError: on the first field that is not allowed; values are converted where that loses nothing.
    """

    task: str
    model: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    steps: int = 30
    sampler: str = "ddim"
    eta: float = 0.0  # of `ETA_SAMPLERS`: 0 is deterministic, 1 draws as much noise as DDPM
    guidance_scale: float = 2.5
    seed: int = 0
    batch_size: int = 1
    spacing: str = "trailing"  # which timesteps the steps visit, see `schedule.timesteps`
    guidance_rescale: float = 0.0  # against harsh contrast, see `guidance.guided`
    guidance_start: float = 0.0  # guidance begins at this fraction of the steps
    guidance_end: float = 1.0  # and ends before this one
    variation_of: tuple[int, ...] | None = None  # seeds: of a picture, a variation of it, one of that ...
    variation_strength: float = 0.2  # share of the noise's variance that each variation draws anew
    branch: Branch | None = None  # how the first steps were made, where it was otherwise

    def __post_init__(self) -> None:
        for field in fields(self):
            rule, got = RULES[field.name], getattr(self, field.name)
            if got is None and field.default is None:
                continue  # not given
            value = rule.read(got)
            if value is None:
                refuse(field.name, got, rule.allowed)
            object.__setattr__(self, field.name, value)
        own = next(name for name, kind in TASKS.items() if kind is type(self))
        if self.task != own:
            refuse("task", self.task, repr(own))
        self._check_together()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture that is made, in pixels."""
        raise NotImplementedError

    def _check_together(self) -> None:
        """The rules that concern several fields."""
        width, height = self.size
        if width * height * self.batch_size > PIXEL_BUDGET and not isinstance(self, SuperResolution):
            most = PIXEL_BUDGET // (width * height)
            refuse("batch_size", self.batch_size, f"at most {most} at {width} x {height} pixels")
        highest = SEED[1] - (self.batch_size - 1)
        if self.seed > highest:
            refuse("seed", self.seed, f"at most {highest}, since each of {self.batch_size} pictures adds 1")
        if self.guidance_start > self.guidance_end:
            refuse("guidance_start", self.guidance_start, f"at most guidance_end, {self.guidance_end:g}")
        if self.branch is not None:
            self._check_branch(self.branch)

    def _check_branch(self, branch: Branch) -> None:
        for name in FIXED:
            before, got = (getattr(one, name, None) for one in (branch.of, self))
            if before != got:
                refuse(name, got, f"as before the branch, {brief(before)!r}")
        if branch.of.size != self.size:
            size = " x ".join(map(str, branch.of.size))
            refuse("branch", Verbatim("of another size"), f"of a picture of {size} pixels, as before it")
        earlier = [one.branch.step for one in lineage(self) if one.branch is not None]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FromImage(Request):
    """A picture of the size of a given one."""

    image: Raster

    @property
    def size(self) -> tuple[int, int]:
        return self.image.width, self.image.height


@dataclass(frozen=True, slots=True, kw_only=True)
class TextToImage(Sized):
    """Pictures from a prompt (paper, section 4.3.1)."""

    task: str = "text-to-image"
    model: str = DEFAULT_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconditional(Sized):
    """Pictures from nothing but the seed (paper, section 4.2)."""

    task: str = "unconditional"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassToImage(Sized):
    """Pictures of a class, given by its name or its id (paper, section 4.3.1).

    class_to, blend: another class, and how far towards it the condition lies; at 1 it is that class alone.
    """

    task: str = "class"
    class_name: str = ""
    class_id: int | None = None
    class_to: str = ""
    blend: float = 0.5

    def _check_together(self) -> None:
        if bool(self.class_name) == (self.class_id is not None):
            got = Verbatim("given beside class_id" if self.class_name else "missing")
            refuse("class_name", got, "the name of one of the model's classes, or left out beside a class_id")
        Sized._check_together(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutToImage(Sized):
    """Pictures from labelled boxes (paper, section 4.3.1)."""

    task: str = "layout"
    boxes: tuple[LabelledBox, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Semantic(Request):
    """Pictures from a class for every pixel (paper, section 4.3.2).

    label_map: class ids, 255 where nothing is said; the picture has its size.
    second_pass: as in `Sized`.
    """

    task: str = "semantic"
    label_map: Raster
    second_pass: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        return self.label_map.width, self.label_map.height


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageToImage(FromImage):
    """A picture that goes on from a given one.

    strength: share of the steps that are made; 1 begins at pure noise.
    width, height: of what is made, in pixels, the given one's where left out.  To another shape it is cut.
    """

    task: str = "image-to-image"
    strength: float = 0.6
    width: int | None = None
    height: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.width or self.image.width, self.height or self.image.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Inpaint(FromImage):
    """A picture with a hole that is filled (paper, section 4.5).

    mask: white is filled, of the picture's size.
    area: the whole picture is looked at, or the masked part alone with `margin` pixels around it, at the
        model's own resolution.
    feather: pixels around the hole over which what is made fades into the original.
    fill: what is in the hole at the start: the original, noise, or what Telea's method makes of its edge.
    paste: what is made is only feathered, or its colours are matched to those around the hole before, or its
        gradients are kept and its colours follow from the hole's border.
    """

    task: str = "inpaint"
    mask: Raster
    area: str = "whole"
    margin: int = 32
    feather: int = 4
    fill: str = "noise"
    paste: str = "feather"

    def _check_together(self) -> None:
        FromImage._check_together(self)
        if (self.mask.width, self.mask.height) != self.size:
            got = Verbatim(f"of {self.mask.width} x {self.mask.height} pixels")
            refuse("mask", got, f"as large as the image, {self.image.width} x {self.image.height}")
        if self.branch is not None and self.area == "masked":
            before = self.branch.of
            if isinstance(before, Inpaint) and before.mask != self.mask:
                refuse("mask", self.mask, "as before the branch where area is 'masked', which it decides")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outpaint(FromImage):
    """A picture that is extended by pixels on its sides, then inpainted there.

    feather, fill, paste: as in `Inpaint`; the "original" there is the repeated edge.
    """

    task: str = "outpaint"
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0
    feather: int = 16
    fill: str = "noise"
    paste: str = "feather"

    @property
    def size(self) -> tuple[int, int]:
        return self.image.width + self.left + self.right, self.image.height + self.top + self.bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperResolution(FromImage):
    """A picture made larger (paper, section 4.4)."""

    task: str = "super-resolution"
    guidance_scale: float = 1.0
    scale: int = 4

    @property
    def size(self) -> tuple[int, int]:
        return self.image.width * self.scale, self.image.height * self.scale

    def _check_together(self) -> None:
        FromImage._check_together(self)
        if max(self.size) > HIGHEST_SIDE:
            most = f"so small that the result has at most {HIGHEST_SIDE} pixels a side"
            refuse("image", Verbatim(f"{self.image.width} x {self.image.height} pixels large"), most)


TASKS: Mapping[str, type[Request]] = {
    "text-to-image": TextToImage,
    "image-to-image": ImageToImage,
    "inpaint": Inpaint,
    "outpaint": Outpaint,
    "super-resolution": SuperResolution,
    "semantic": Semantic,
    "layout": LayoutToImage,
    "class": ClassToImage,
    "unconditional": Unconditional,
}


R = TypeVar("R", bound=Request)


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


def lineage(request: Request) -> tuple[Request, ...]:
    """The requests that make a picture one after the other; each but the first begins at its branch."""
    before = () if request.branch is None else lineage(request.branch.of)
    return (*before, request)


def branched(request: R, step: int, of: Request) -> R:
    """The request that goes on at `step`, 0-based, from a picture that `of` makes.

    Raises:
        RequestError: something else changes than what may change within one picture.
    """
    while of.branch is not None and of.branch.step > step:
        of = of.branch.of
    return replace(request, branch=Branch(step, of) if step else None)


def rebased(request: R, of: Request) -> R:
    """The request with everything as `of` has it that cannot change within one picture, such as its steps.

    Raises:
        RequestError: it is of another task, or does not suit what `of` has.
    """
    if request.task != of.task:
        refuse("task", request.task, f"as before the branch, {of.task!r}")
    fixed = {name: getattr(of, name) for name in FIXED if hasattr(of, name)}
    return replace(request, **fixed)
