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

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, NoReturn, TypeVar, cast, get_args

from ldm_core.errors import RequestError
from ldm_core.raster import Raster, to_uri
from ldm_core.rules import (
    NAME_CHARACTERS,
    Boxes,
    LabelledBox,
    Name,
    OneOf,
    Pixels,
    Real,
    Rule,
    Seeds,
    Text,
    Verbatim,
    Whole,
    brief,
    refuse,
)
from ldm_core.spec import Spacing

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
JSON_BYTES = 100_000_000  # pictures included

TASK_NAMES = (
    "text-to-image", "image-to-image", "inpaint", "outpaint", "super-resolution", "semantic", "layout",
    "class", "unconditional",
)  # fmt: skip

# What steps of one picture have in common, whatever changes at a branch.
_FIXED = (
    "task", "model", "steps", "spacing", "width", "height", "image", "strength", "area", "margin", "feather",
    "fill", "paste", "left", "right", "top", "bottom", "scale", "second_pass",
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
        for name in _FIXED:
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


def parse_request(obj: object) -> Request:
    """The request that a decoded JSON value describes; without `spacing`, the one that suits its sampler.

    Spatial inputs are `data:` URIs, or rasters already.  No path is ever opened.

    Raises:
        RequestError: it is no object, lacks a field, has an unknown one or a wrong value.
    """
    if not isinstance(obj, Mapping):
        refuse("request", obj, "a JSON object with the field task")
    if "task" not in obj:
        _check_names(obj, tuple(RULES))
        refuse("task", Verbatim("missing"), RULES["task"].allowed)
    task = RULES["task"].read(obj["task"])
    if not isinstance(task, str):
        refuse("task", obj["task"], RULES["task"].allowed)
    kind = TASKS[task]
    obj = _with_branch(obj)
    _check_names(obj, tuple(field.name for field in fields(kind)))
    for field in fields(kind):
        if field.default is MISSING and field.name not in obj:
            refuse(field.name, Verbatim("missing"), RULES[field.name].allowed)
    suited = {"spacing": "karras"} if obj.get("sampler") in KARRAS_SAMPLERS else {}
    # The values are of any type here; the dataclass itself is the check.
    return kind(**cast("Mapping[str, Any]", {**suited, **obj}))


def _with_branch(obj: Mapping[object, object]) -> Mapping[object, object]:
    """The fields with their branch, if there is one, read; `of` is completed by what it does not say."""
    branch = obj.get("branch")
    if not isinstance(branch, Mapping):
        return obj
    step, of = Whole(*STEPS).read(branch.get("step")), branch.get("of")
    if set(branch) != {"step", "of"} or step is None or not isinstance(of, Mapping):
        refuse("branch", branch, RULES["branch"].allowed)
    # Pictures are read here, so that they are not read again for each branching.
    read = {name: _with_pixels(name, value) for name, value in obj.items()}
    same = {name: value for name, value in read.items() if name not in ("branch", "batch_size")}
    try:
        return {**read, "branch": Branch(step, parse_request({**same, **of}))}
    except RecursionError:
        refuse("branch", Verbatim("nested too deeply"), f"one of at most {BRANCHINGS}")


def _with_pixels(name: object, value: object) -> object:
    rule = RULES.get(name) if isinstance(name, str) else None
    read = rule.read(value) if isinstance(rule, Pixels) else None
    return value if read is None else read


def _check_names(obj: Mapping[object, object], known: tuple[str, ...]) -> None:
    for name, got in obj.items():
        if name not in known:
            shown = name if isinstance(name, str) else repr(brief(name))
            refuse(shown[:NAME_CHARACTERS], got, f"left out: the fields are {', '.join(known)}")


def parse_json(text: str | bytes) -> Request:
    """The request that a JSON text describes.

    Raises:
        RequestError: as `parse_request` and `decode_json`.
    """
    return parse_request(decode_json(text))


def decode_json(text: str | bytes) -> object:
    """The value of a JSON text.

    Raises:
        RequestError: it is no JSON, is larger than 100 MB, nests too deeply, gives a field twice, or holds
            NaN or Infinity.
    """
    if len(text) > JSON_BYTES:
        refuse("request", Verbatim(f"{len(text):,} long"), f"JSON of at most {JSON_BYTES:,} bytes")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        obj: object = json.loads(decoded, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        problem = f"not JSON ({error.msg} at line {error.lineno}, column {error.colno})"
        raise RequestError("request", Verbatim(problem), "a JSON object") from None
    except UnicodeDecodeError:
        raise RequestError("request", Verbatim("not UTF-8 text"), "a JSON object in UTF-8") from None
    except ValueError:  # an integer of thousands of digits
        raise RequestError("request", Verbatim("a number too long"), "a JSON object") from None
    except RecursionError:
        raise RequestError("request", Verbatim("nested too deeply"), "a flat JSON object") from None
    return obj


def to_json(request: Request) -> dict[str, object]:
    """The request as a JSON object; `parse_request` gives the same request back."""
    given = {field.name: getattr(request, field.name) for field in fields(request)}
    obj = {name: _as_json(value) for name, value in given.items() if value is not None}
    if request.branch is not None:
        of, same = to_json(request.branch.of), {"branch", "batch_size"}
        differing = {
            name: of.get(name) for name in RULES if name not in same and of.get(name) != obj.get(name)
        }
        before = {"branch": of["branch"]} if "branch" in of else {}
        obj["branch"] = {"step": request.branch.step, "of": differing | before}
    return obj


def _as_json(value: object) -> object:
    if isinstance(value, Raster):
        return to_uri(value)
    if isinstance(value, tuple):
        return [one.to_json() if isinstance(one, LabelledBox) else one for one in value]
    return value


def lasting_branch(request: Request) -> dict[str, object] | None:
    """The branch in JSON, such that it stays what it is when other fields of the request change.

    What has to stay at a branch is not in it: that is the request's, before the branch as after it.
    """
    if request.branch is None:
        return None
    of = to_json(request.branch.of)
    may_change = {field.name for field in fields(request)}.difference(_FIXED, ("batch_size", "branch"))
    before = {"branch": of["branch"]} if "branch" in of else {}
    return {
        "step": request.branch.step,
        "of": {name: of.get(name) for name in RULES if name in may_change} | before,
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
    fixed = {name: getattr(of, name) for name in _FIXED if hasattr(of, name)}
    return replace(request, **fixed)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    obj: dict[str, object] = {}
    for name, value in pairs:
        if name in obj:
            refuse(name[:NAME_CHARACTERS], Verbatim("there twice"), "given once")
        obj[name] = value
    return obj


def _no_constant(word: str) -> NoReturn:
    refuse("request", Verbatim(f"not JSON ({word} is no JSON number)"), "a JSON object of finite numbers")
