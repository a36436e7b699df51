"""What a person asks for, as one validated value.  Imports no torch.

A request is the JSON object that the page, the command line, the HTTP interface and every saved picture
share.  `TextToImage` checks itself when it is made, so a request that exists is a valid one; what only a
model can tell (size multiples, whether it exists) is checked when the request is submitted.

    {"task": "text-to-image", "prompt": "a lake at dusk", "seed": 7}

Every field but `task` has a default.  The rules stand in one table, `RULES`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NoReturn, Protocol, cast, get_args

from ldm_core.errors import RequestError
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

SAMPLERS = (
    "ddim", "ddpm", "plms", "euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc",
)  # fmt: skip
ETA_SAMPLERS = ("ddim",)  # the others add a fixed amount of noise, or none
KARRAS_SAMPLERS = ("heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc")  # of higher order: it halves their error
SPACINGS: tuple[str, ...] = get_args(Spacing)
PIXEL_BUDGET = 16 * 1024 * 1024  # width * height * batch_size: four pictures of 2048 x 2048
PROMPT_CHARACTERS = 20_000
NAME_CHARACTERS = 200
JSON_BYTES = 1_000_000

Value = str | int | float


class Rule(Protocol):
    """What one field may hold."""

    @property
    def allowed(self) -> str:
        """What is allowed, as the end of the sentence "it has to be ..."."""

    def read(self, value: object) -> Value | None:
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
    """One of a few words, spelled exactly."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        *first, last = (repr(word) for word in self.words)
        return f"{', '.join(first)} or {last}" if first else last

    def read(self, value: object) -> str | None:
        return value if isinstance(value, str) and value in self.words else None


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

    characters: int

    @property
    def allowed(self) -> str:
        return f"a name of 1 to {self.characters} printable characters"

    def read(self, value: object) -> str | None:
        fits = isinstance(value, str) and 0 < len(value) <= self.characters and value.isprintable()
        return value if fits and isinstance(value, str) else None


RULES: Mapping[str, Rule] = {
    "task": OneOf(("text-to-image",)),
    "model": Name(NAME_CHARACTERS),
    "prompt": Text(PROMPT_CHARACTERS),
    "negative_prompt": Text(PROMPT_CHARACTERS),
    "width": Whole(*SIZE),
    "height": Whole(*SIZE),
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
}


@dataclass(frozen=True, slots=True)
class TextToImage:
    """Pictures from a prompt.  Picture i of a batch uses seed + i (see `single`).

    An empty prompt is the unconditional picture.  `guidance_scale` 1 is no guidance.

    Raises:
        RequestError: on the first field that is not allowed; values are converted where that loses nothing.
    """

    task: str = "text-to-image"
    model: str = DEFAULT_MODEL
    prompt: str = ""
    negative_prompt: str = ""
    width: int = 256  # pixels
    height: int = 256  # pixels
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

    def __post_init__(self) -> None:
        for field in fields(self):
            rule, got = RULES[field.name], getattr(self, field.name)
            value = rule.read(got)
            if value is None:
                _refuse(field.name, got, rule.allowed)
            object.__setattr__(self, field.name, value)
        self._check_together()

    def _check_together(self) -> None:
        """The rules that concern several fields."""
        if self.width * self.height * self.batch_size > PIXEL_BUDGET:
            most = PIXEL_BUDGET // (self.width * self.height)
            _refuse("batch_size", self.batch_size, f"at most {most} at {self.width} x {self.height} pixels")
        highest = SEED[1] - (self.batch_size - 1)
        if self.seed > highest:
            _refuse("seed", self.seed, f"at most {highest}, since each of {self.batch_size} pictures adds 1")
        if self.guidance_start > self.guidance_end:
            _refuse("guidance_start", self.guidance_start, f"at most guidance_end, {self.guidance_end:g}")


def parse_request(obj: object) -> TextToImage:
    """The request that a decoded JSON value describes; without `spacing`, the one that suits its sampler.

    Raises:
        RequestError: it is no object, lacks `task`, has an unknown field or a wrong value.
    """
    if not isinstance(obj, Mapping):
        _refuse("request", obj, "a JSON object with the field task")
    for name, got in obj.items():
        if name not in RULES:
            shown = name if isinstance(name, str) else repr(_brief(name))
            _refuse(shown[:NAME_CHARACTERS], got, f"left out: the fields are {', '.join(RULES)}")
    if "task" not in obj:
        _refuse("task", _Verbatim("missing"), RULES["task"].allowed)
    suited = {"spacing": "karras"} if obj.get("sampler") in KARRAS_SAMPLERS else {}
    # The values are of any type here; TextToImage itself is the check.
    return TextToImage(**cast("Mapping[str, Any]", {**suited, **obj}))


def parse_json(text: str | bytes) -> TextToImage:
    """The request that a JSON text describes.

    Raises:
        RequestError: as `parse_request`, and for text that is no JSON, is larger than 1 MB, nests too
            deeply, gives a field twice, or holds NaN or Infinity.
    """
    if len(text) > JSON_BYTES:
        _refuse("request", _Verbatim(f"{len(text):,} long"), f"JSON of at most {JSON_BYTES:,} bytes")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        obj = json.loads(decoded, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        problem = f"not JSON ({error.msg} at line {error.lineno}, column {error.colno})"
        raise RequestError("request", _Verbatim(problem), "a JSON object") from None
    except UnicodeDecodeError:
        raise RequestError("request", _Verbatim("not UTF-8 text"), "a JSON object in UTF-8") from None
    except ValueError:  # an integer of thousands of digits
        raise RequestError("request", _Verbatim("a number too long"), "a JSON object") from None
    except RecursionError:
        raise RequestError("request", _Verbatim("nested too deeply"), "a flat JSON object") from None
    return parse_request(obj)


def to_json(request: TextToImage) -> dict[str, Value]:
    """The request as a JSON object; `parse_request` gives the same request back."""
    return asdict(request)


def single(request: TextToImage, i: int) -> TextToImage:
    """The request that makes picture `i` of a batch alone, with the same pixels.

    Raises:
        IndexError: the batch has no picture `i`.
    """
    if not 0 <= i < request.batch_size:
        raise IndexError(f"picture {i} of a batch of {request.batch_size}")
    return replace(request, seed=request.seed + i, batch_size=1)


# Control characters but tab and newline, and halves of surrogate pairs: they break PNG text, databases and
# file names after the picture was computed.
_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Text without control characters and lone surrogates; accents and emoji stay as they are."""
    return _UNCLEAN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    obj: dict[str, object] = {}
    for name, value in pairs:
        if name in obj:
            _refuse(name[:NAME_CHARACTERS], _Verbatim("there twice"), "given once")
        obj[name] = value
    return obj


def _no_constant(word: str) -> NoReturn:
    _refuse("request", _Verbatim(f"not JSON ({word} is no JSON number)"), "a JSON object of finite numbers")


class _Verbatim:
    """Something whose repr, which `RequestError` shows, is the given words."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


def _brief(value: object) -> object:
    """A stand-in for a value whose own repr could be endless, take seconds or raise."""
    if isinstance(value, _Verbatim | bool | float) or value is None:
        return value
    if isinstance(value, int):
        bits = value.bit_length()
        return value if bits <= 128 else _Verbatim(f"a number of about {int(bits * 0.30103) + 1:,} digits")
    if isinstance(value, str):
        if len(value) <= NAME_CHARACTERS:
            return value
        return _Verbatim(f"{value[:20]!r}... ({len(value):,} characters)")
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], int | float):
        return [_brief(value[0])]
    words = {"list": "a list", "tuple": "a list", "dict": "an object"}
    kind = type(value).__name__
    return _Verbatim(words.get(kind, f"of type {kind}"))


def _refuse(field: str, got: object, allowed: str) -> NoReturn:
    raise RequestError(field, _brief(got), allowed)
