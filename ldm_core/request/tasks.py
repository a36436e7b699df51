"""What each task is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ldm_core.pictures.patches import METHODS
from ldm_core.pictures.reading import SIZES, fits
from ldm_core.request.base import Branch, FromImage, Request, Sized, reduced, with_share
from ldm_core.request.fields import DEFAULT_MODEL, HIGHEST_SIDE, SIZE
from ldm_core.request.raster import WHITE, Raster
from ldm_core.request.rules import LabelledBox, OneOf, Verbatim, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class TextToImage(Sized):
    """Pictures from a prompt (paper, section 4.3.1)."""

    task: str = "text-to-image"
    model: str = DEFAULT_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconditional(Sized):
    """Pictures from nothing but the seed (paper, section 4.2)."""

    task: str = "unconditional"

    def _check_regions(self) -> None:
        if self.regions is not None:
            refuse("regions", Verbatim("there"), "left out: nothing is asked for")


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

    def _check_regions(self) -> None:
        if self.regions is not None:
            refuse("regions", Verbatim("there"), "left out: a class is all that is asked for")


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

    def num_steps(self, whole: int) -> int:
        return whole + with_share(whole, self.second_pass) if self.second_pass else whole


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
        width, height = reduced((self.image.width, self.image.height), SIZE[1])
        return self.width or width, self.height or height

    def notes(self) -> tuple[str, ...]:
        made_smaller = max(self.image.width, self.image.height) > SIZE[1] and not (self.width and self.height)
        return (*FromImage.notes(self), *([_smaller(self.size)] if made_smaller else []))

    def num_steps(self, whole: int) -> int:
        return with_share(whole, self.strength)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inpaint(FromImage):
    """A picture with a hole that is filled (paper, section 4.5).

    mask: white is filled, of the picture's size.
    area: the whole picture is looked at, or the masked part alone with `margin` pixels around it, at the
        model's own resolution.
    feather: pixels around the hole over which what is made fades into the original.
    fill: what is in the hole at the start: the original, noise, patches of the rest of the picture
        (PatchMatch), or what Telea's method makes of its edge.
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
        _check_mask(self.mask, self.size)

    def notes(self) -> tuple[str, ...]:
        full = bool((self.mask.pixels >= WHITE).all())
        said = ["The mask covers the whole picture, so nothing of it is kept."] if full else []
        if self.area == "whole" and self.worked_size != self.size:
            said.append(
                f"{_smaller(self.worked_size)} Looked at alone, the masked part keeps all its pixels."
            )
        return (*FromImage.notes(self), *said)

    def _check_branch(self, branch: Branch) -> None:
        FromImage._check_branch(self, branch)
        if self.area == "masked" and getattr(branch.of, "mask", None) != self.mask:
            refuse("mask", self.mask, "as before the branch where area is 'masked', which it decides")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(FromImage):
    """A picture out of which something is taken at once, without a model: its hole is filled from around it.

    mask, feather: as in `Inpaint`.
    fill: patches of the rest of the picture, or what Telea's method makes of its edge.
    """

    task: str = "remove"
    steps: int = 1
    mask: Raster
    feather: int = 2
    fill: str = "patches"

    def _check_together(self) -> None:
        FromImage._check_together(self)
        _check_mask(self.mask, self.size)
        if self.fill not in METHODS:
            refuse("fill", self.fill, f"one of {', '.join(METHODS)}, for no model draws")
        if self.batch_size > 1:
            refuse("batch_size", self.batch_size, "1: all of them would be the same")
        if self.branch is not None:
            refuse("branch", Verbatim("there"), "left out: there are no steps to branch from")

    def _check_regions(self) -> None:
        if self.regions is not None:
            refuse("regions", Verbatim("there"), "left out: no prompt is read")


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

    def notes(self) -> tuple[str, ...]:
        smaller = [_smaller(self.worked_size)] if self.worked_size != self.size else []
        return (*FromImage.notes(self), *smaller)

    def _check_size(self) -> None:
        FromImage._check_size(self)
        if not fits(*self.size):
            width, height = self.size
            refuse("image", Verbatim(f"{width:,} x {height:,} pixels large when extended"), f"up to {SIZES}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperResolution(FromImage):
    """A picture made larger (paper, section 4.4), in tiles."""

    task: str = "super-resolution"
    guidance_scale: float = 1.0
    scale: int = 4

    @property
    def size(self) -> tuple[int, int]:
        return self.image.width * self.scale, self.image.height * self.scale

    def notes(self) -> tuple[str, ...]:
        width, height = self.size
        large = f"The result has {width:,} x {height:,} pixels; up to {SIZES} can be opened here again."
        return (*FromImage.notes(self), *([] if fits(width, height) else [large]))

    def _check_together(self) -> None:
        FromImage._check_together(self)
        if self.controls is not None:
            allowed = "left out: models for super-resolution have none, image to image takes those for tiles"
            refuse("controls", Verbatim("there"), allowed)

    def _check_size(self) -> None:
        """It is made in tiles, so of memory alone the result's own pixels count."""
        if max(self.size) > HIGHEST_SIDE:
            most = f"so small that the result has at most {HIGHEST_SIDE} pixels a side"
            refuse("image", Verbatim(f"{self.image.width} x {self.image.height} pixels large"), most)

    def _check_regions(self) -> None:
        if self.regions is not None:
            refuse("regions", Verbatim("there"), "left out: an enlarged picture is drawn in tiles")


def _check_mask(mask: Raster, size: tuple[int, int]) -> None:
    if (mask.width, mask.height) != size:
        got = Verbatim(f"of {mask.width} x {mask.height} pixels")
        refuse("mask", got, f"as large as the image, {size[0]} x {size[1]}")
    if not (mask.pixels >= WHITE).any():
        refuse("mask", Verbatim("empty"), f"white, {WHITE} or more, where the picture is to be filled")


def _smaller(size: tuple[int, int]) -> str:
    return f"The whole picture is worked on at {size[0]:,} x {size[1]:,} pixels."


def _name(kind: type[Request]) -> str:
    """The task of a kind of request."""
    return str(next(field.default for field in fields(kind) if field.name == "task"))


_TASKS: tuple[type[Request], ...] = (
    TextToImage,
    ImageToImage,
    Inpaint,
    Outpaint,
    Remove,
    SuperResolution,
    Semantic,
    LayoutToImage,
    ClassToImage,
    Unconditional,
)
TASKS: Mapping[str, type[Request]] = {_name(kind): kind for kind in _TASKS}
TASK = OneOf(tuple(TASKS))  # what the field may hold
