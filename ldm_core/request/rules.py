"""What a field of a request may hold: each rule reads a value or tells what is allowed.  Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol

from ldm_core.errors import FileError, PictureError, RequestError
from ldm_core.pictures.reading import SIZES
from ldm_core.request.raster import Kind, Raster, from_text, suits

NAME_CHARACTERS = 200
PROMPT_CHARACTERS = 20_000
MAX_BOXES = 100
MAX_SEEDS = 16
SEED_DIGITS = 20  # of 2^64


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A box with a class's name or id.  In fractions of the picture from its top left."""

    label: str | int
    x: float
    y: float
    width: float
    height: float

    def to_json(self) -> dict[str, str | int | float]:
        return {
            "class": self.label, "x": self.x, "y": self.y, "width": self.width, "height": self.height
        }  # fmt: skip


class Rule(Protocol):
    """What one field may hold."""

    @property
    def allowed(self) -> str:
        """What is allowed, as the end of the sentence "it has to be ..."."""

    def read(self, value: object) -> object:
        """The value in its proper type, or None where it is not allowed."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; 30.0 counts as 30, True does not count as 1."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def read(self, value: object) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # The range comes first: it refuses NaN and infinity, which int() cannot take.
        return int(value) if self.low <= value <= self.high and value == int(value) else None


@dataclass(frozen=True, slots=True)
class Real:
    """A finite number."""

    low: float
    high: float

    @property
    def allowed(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, value: object) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) + 0.0 if self.low <= value <= self.high else None  # -0.0 becomes 0.0


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words, spelled exactly, or of a few whole numbers."""

    words: tuple[str, ...] | tuple[int, ...]

    @property
    def allowed(self) -> str:
        *first, last = (repr(word) for word in self.words)
        return f"{', '.join(first)} or {last}" if first else last

    def read(self, value: object) -> str | int | None:
        same = (word for word in self.words if not isinstance(value, bool) and value == word)
        return next(same, None)


@dataclass(frozen=True, slots=True)
class SomeOf:
    """At least one of a few words; in their order, each once."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"a list of some of {', '.join(map(repr, self.words))}"

    def read(self, value: object) -> tuple[str, ...] | None:
        if not isinstance(value, list | tuple) or any(word not in self.words for word in value):
            return None
        return tuple(word for word in self.words if word in value) or None


@dataclass(frozen=True, slots=True)
class Text:
    """Text for a model to read, cleaned by `clean_text`."""

    characters: int

    @property
    def allowed(self) -> str:
        return f"text of up to {self.characters:,} characters"

    def read(self, value: object) -> str | None:
        return clean_text(value) if isinstance(value, str) and len(value) <= self.characters else None


@dataclass(frozen=True, slots=True)
class Name:
    """A name to look up in a list, never a path."""

    at_least: int
    characters: int

    @property
    def allowed(self) -> str:
        return f"a name of {self.at_least} to {self.characters} printable characters"

    def read(self, value: object) -> str | None:
        fits = (
            isinstance(value, str) and self.at_least <= len(value) <= self.characters and value.isprintable()
        )
        return value if fits and isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class RasterOf:
    """A raster of a kind, or the text of one: see `from_text`, whose errors are raised."""

    kind: Kind

    @property
    def allowed(self) -> str:
        return f"a {self.kind} as a data: URI (data:image/png;base64,...) or in base64, of up to {SIZES}"

    def read(self, value: object) -> Raster | None:
        raster = from_text(value, self.kind) if isinstance(value, str) else value
        return raster if isinstance(raster, Raster) and suits(raster, self.kind) else None


@dataclass(frozen=True, slots=True)
class Seed:
    """A whole number from 0 on; as text of digits too, since JavaScript reads what is beyond 2^53 wrongly."""

    highest: int

    @property
    def allowed(self) -> str:
        return f"a whole number from 0 to {self.highest}"

    def read(self, value: object) -> int | None:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= SEED_DIGITS:
            value = int(value)
        return Whole(0, self.highest).read(value)


@dataclass(frozen=True, slots=True)
class Seeds:
    """Seeds, each of a picture that is a variation of the one before."""

    highest: int

    @property
    def allowed(self) -> str:
        return f"a list of 1 to {MAX_SEEDS} whole numbers from 0 to {self.highest}"

    def read(self, value: object) -> tuple[int, ...] | None:
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_SEEDS:
            return None
        seeds = [Seed(self.highest).read(entry) for entry in value]
        return None if None in seeds else tuple(seed for seed in seeds if seed is not None)


@dataclass(frozen=True, slots=True)
class Boxes:
    """Labelled boxes, as objects or ready."""

    most: int = MAX_BOXES

    @property
    def allowed(self) -> str:
        return (
            f"a list of up to {self.most} boxes, each an object with class (a name or an id) and x, y, width "
            "and height in fractions of the picture, inside of it"
        )

    def read(self, value: object) -> tuple[LabelledBox, ...] | None:
        if not isinstance(value, list | tuple) or len(value) > self.most:
            return None
        boxes = tuple(_box(entry) for entry in value)
        return None if None in boxes else tuple(box for box in boxes if box is not None)


_SIDES = ("x", "y", "width", "height")


def _box(value: object) -> LabelledBox | None:
    if isinstance(value, LabelledBox):
        value = value.to_json()
    if not isinstance(value, Mapping) or set(value) != {"class", *_SIDES}:
        return None
    label = Whole(0, 100_000).read(value["class"])
    name = Name(1, NAME_CHARACTERS).read(value["class"]) if label is None else label
    x, y, width, height = (Real(0.0, 1.0).read(value[side]) for side in _SIDES)
    if name is None or x is None or y is None or width is None or height is None:
        return None
    inside = width > 0 and height > 0 and x + width <= 1 + 1e-6 and y + height <= 1 + 1e-6
    return LabelledBox(name, x, y, width, height) if inside else None


# Control characters but tab and newline, and halves of surrogate pairs: they break PNG text, databases and
# file names after the picture was computed.
_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Text without control characters and lone surrogates; accents and emoji stay as they are."""
    return _UNCLEAN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


class Verbatim:
    """Something whose repr, which `RequestError` shows, is the given words."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


def brief(value: object) -> object:
    """A stand-in for a value whose own repr could be endless, take seconds or raise."""
    if isinstance(value, Verbatim | bool | float) or value is None:
        return value
    if isinstance(value, int):
        bits = value.bit_length()
        return value if bits <= 128 else Verbatim(f"a number of about {int(bits * 0.30103) + 1:,} digits")
    if isinstance(value, Raster):
        return Verbatim(f"a raster of {value.width} x {value.height} pixels")
    if isinstance(value, str):
        if len(value) <= NAME_CHARACTERS:
            return value
        return Verbatim(f"{value[:20]!r}... ({len(value):,} characters)")
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], int | float):
        return [brief(value[0])]
    words = {"list": "a list", "tuple": "a list", "dict": "an object"}
    kind = type(value).__name__
    return Verbatim(words.get(kind, f"of type {kind}"))


def read_field(rule: Rule, field: str, got: object) -> object:
    """The value in its proper type.

    Raises:
        RequestError: it is not allowed.
    """
    try:
        value = rule.read(got)
    except FileError as error:
        raise PictureError(field, str(error)) from None
    if value is None:
        refuse(field, got, rule.allowed)
    return value


def refuse(field: str, got: object, allowed: str) -> NoReturn:
    """Raises RequestError, whatever was got."""
    raise RequestError(field, brief(got), allowed)
