"""What can vary along an axis, and the values that a person wrote for it.

20, 30, 50        these; values with a comma stand in quotes
1-10              whole numbers from 1 to 10;  10-1 the other way
1-10 (+2)         1, 3, 5, 7, 9;  0-1 (+0.25) as well, 10-2 (-4)
1-10 [5]          five values from 1 to 10, the same apart
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ldm_core.errors import RequestError
from ldm_core.request import RULES, SAMPLERS, SPACINGS
from ldm_core.request.rules import brief

MOST_VALUES = 200  # along one axis
CHARACTERS = 20_000
Fields: TypeAlias = dict[str, object]  # a request's, the words as they were written


@dataclass(frozen=True, slots=True)
class Value:
    """One place on an axis: what is told of it, and what it makes of a request's fields."""

    label: str
    apply: Callable[[Fields], Fields]


@dataclass(frozen=True, slots=True)
class Axis:
    """A thing that varies.  `cost`: axes that cost more to change are gone through less often."""

    title: str
    values: tuple[Value, ...]
    cost: float


@dataclass(frozen=True, slots=True)
class Kind:
    """A thing that can vary.

    Attributes:
        field: of the request; "" where it is none alone.
        example: of what can be written.
    """

    title: str
    field: str
    example: str
    cost: float = 0.0


KINDS: Mapping[str, Kind] = {
    "model": Kind("Model", "model", "landscapes, another", 1.0),
    "lora": Kind("LoRA strength", "adapters", "0-1 (+0.25), of the LoRAs in the prompt", 0.5),
    "seed": Kind("Seed", "seed", "1-4"),
    "steps": Kind("Steps", "steps", "10-50 (+10)"),
    "guidance_scale": Kind("Guidance scale", "guidance_scale", "1-9 [5]"),
    "guidance_rescale": Kind("Guidance rescale", "guidance_rescale", "0, 0.7"),
    "guidance_start": Kind("Guidance start", "guidance_start", "0, 0.2"),
    "guidance_end": Kind("Guidance end", "guidance_end", "0.6-1 (+0.2)"),
    "sampler": Kind("Sampler", "sampler", ", ".join(list(SAMPLERS)[:3])),
    "spacing": Kind("Timestep spacing", "spacing", ", ".join(list(SPACINGS)[:3])),
    "eta": Kind("Eta", "eta", "0-1 (+0.5)"),
    "strength": Kind("Denoising strength", "strength", "0.3-0.9 (+0.2)"),
    "second_pass": Kind("Second pass", "second_pass", "0, 0.4"),
    "variation_strength": Kind("Variation strength", "variation_strength", "0.1-0.5 [3]"),
    "width": Kind("Width", "width", "256, 384"),
    "height": Kind("Height", "height", "256, 384"),
    "blend": Kind("Blend", "blend", "0-1 [5]"),
    "replace": Kind("Prompt: replace words", "", "autumn, winter, spring"),
    "order": Kind("Prompt: order of words", "", "mountains, lake, trees"),
}


def axis_of(kind: str, text: str, fields: Mapping[str, object]) -> Axis:
    """The axis that somebody asks for.

    Args:
        fields: of the request in the form; the first word to be replaced has to be in its prompts.

    Raises:
        RequestError: there is no such axis, or its values are not allowed.
    """
    if kind not in KINDS:
        raise RequestError("grid", kind, f"one of {', '.join(KINDS)}")
    spec, words = KINDS[kind], _split(text)
    if not words:
        raise RequestError("grid", text, f"values for {spec.title}, for example {spec.example}")
    if kind == "replace":
        values = _replacing(words, fields)
    elif kind == "order":
        values = _ordering(words, fields)
    elif kind == "lora":
        values = [_strength(number) for number in _numbers(words, "adapters", whole=False)]
    else:
        values = [_setting(spec.field, value) for value in _values(spec.field, words)]
    if len(values) > MOST_VALUES:
        raise RequestError("grid", f"{len(values)} values", f"at most {MOST_VALUES} along {spec.title}")
    return Axis(spec.title, tuple(values), spec.cost)


# What was written -----------------------------------------------------------------------------------------

_RANGE = re.compile(
    r"\s*(-?\d+(?:\.\d+)?)\s*-\s*(-?\d+(?:\.\d+)?)"
    r"(?:\s*\(\s*([+-]\s*\d+(?:\.\d+)?)\s*\)|\s*\[\s*(\d{1,4})\s*\])?\s*"
)


def _split(text: str) -> list[str]:
    """The values between commas, without the blanks around them."""
    if len(text) > CHARACTERS:
        raise RequestError("grid", f"{len(text)} characters", f"at most {CHARACTERS:,} characters")
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    try:
        return [word.strip() for row in rows for word in row if word.strip()]
    except csv.Error as error:
        raise RequestError("grid", brief(text), f"values between commas ({error})") from None


def _values(field: str, words: Sequence[str]) -> list[object]:
    """Values that the field's own rule takes."""
    rule = RULES[field]
    numeric = rule.read("x") is None and field not in ("sampler", "spacing")
    if not numeric:
        return [_named(field, word) for word in words]
    whole = rule.read(0.5) is None and rule.read(1.5) is None
    read = []
    for number in _numbers(words, field, whole=whole):
        value = rule.read(number)
        if value is None:
            raise RequestError(field, number, rule.allowed)
        read.append(value)
    return read


def _named(field: str, word: str) -> object:
    """A name as the request has it: samplers and spacings can be written as they are shown too."""
    tables: Mapping[str, Mapping[str, str]] = {
        "sampler": {spec.title.lower(): spec.name for spec in SAMPLERS.values()},
        "spacing": {spec.title.lower(): spec.name for spec in SPACINGS.values()},
    }
    value = RULES[field].read(tables.get(field, {}).get(word.lower(), word))
    if value is None:
        raise RequestError(field, word, RULES[field].allowed)
    return value


def _numbers(words: Sequence[str], field: str, *, whole: bool) -> list[int | float]:
    found: list[int | float] = []
    for word in words:
        match = _RANGE.fullmatch(word)
        if match:
            found += _range(match, whole)
        else:
            found.append(_number(word, field))
        if len(found) > MOST_VALUES:
            raise RequestError(field, word, f"at most {MOST_VALUES} values along one axis")
    return found


def _number(word: str, field: str) -> int | float:
    for kind in (int, float):
        try:
            value = kind(word)
        except ValueError:
            continue
        if math.isfinite(value):
            return value
    raise RequestError(field, word, "numbers, such as 1, 2.5 or 1-10 (+2)")


def _range(match: re.Match[str], whole: bool) -> list[int | float]:
    first, last = float(match[1]), float(match[2])
    if match[4]:
        count = min(int(match[4]), MOST_VALUES + 1)
        step = (last - first) / max(count - 1, 1)
    else:
        fine = not (first.is_integer() and last.is_integer())
        usual = (0.1 if fine else 1.0) * (1 if last >= first else -1)
        step = float(match[3].replace(" ", "")) if match[3] else usual
        if step == 0 or (last - first) * step < 0:
            return [first if not whole else round(first)]
        count = min(int((last - first) / step + 1e-9) + 1, MOST_VALUES + 1)
    values = [first + i * step for i in range(count)]
    rounded = [round(value) if whole else _plain(value) for value in values]
    return list(dict.fromkeys(rounded))


def _plain(value: float) -> int | float:
    value = round(value, 6)
    return int(value) if value.is_integer() else value


# What it makes of a request -------------------------------------------------------------------------------


def _setting(field: str, value: object) -> Value:
    label = f"{value:g}" if isinstance(value, float) else str(value)
    if field == "sampler":
        label = SAMPLERS[label].title
    if field == "spacing":
        label = SPACINGS[label].title
    return Value(label, lambda fields: {**fields, field: value})


_TAG = re.compile(r"<(lora|lyco):([^:>]{1,200})[^>]{0,80}>")


def _strength(value: int | float) -> Value:
    """All LoRAs of the prompt as strong as this."""

    def apply(fields: Fields) -> Fields:
        def tag(match: re.Match[str]) -> str:
            return f"<{match[1]}:{match[2]}:{value:g}>"

        return {**fields, "template": _TAG.sub(tag, str(fields.get("template") or ""))}

    return Value(f"{value:g}", apply)


def _replacing(words: Sequence[str], fields: Mapping[str, object]) -> list[Value]:
    """The first is searched in both prompts, and each takes its place."""
    searched = words[0]
    if not any(searched in _text(fields, name) for name in ("template", "negative_template")):
        raise RequestError("grid", searched, "words that are in the prompt or the negative prompt")

    def put(word: str) -> Value:
        def apply(fields: Fields) -> Fields:
            names = ("template", "negative_template")
            return {**fields, **{name: _text(fields, name).replace(searched, word) for name in names}}

        return Value(word, apply)

    return [put(word) for word in words]


def _ordering(words: Sequence[str], fields: Mapping[str, object]) -> list[Value]:
    """Every order of words in the places where they stand."""
    text = _text(fields, "template")
    missing = [word for word in words if word not in text]
    if missing or len(words) < 2:
        raise RequestError("grid", ", ".join(missing or words), "two or more words that are in the prompt")
    if math.factorial(len(words)) > MOST_VALUES:
        raise RequestError("grid", f"{len(words)} words", "5 words at most, which have 120 orders")
    longest = sorted(dict.fromkeys(words), key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(word) for word in longest))

    def put(order: tuple[str, ...]) -> Value:
        instead = dict(zip(words, order, strict=True))

        def apply(fields: Fields) -> Fields:
            return {
                **fields,
                "template": pattern.sub(lambda match: instead[match[0]], _text(fields, "template")),
            }

        return Value(", ".join(order), apply)

    return [put(order) for order in itertools.permutations(words)]


def _text(fields: Mapping[str, object], name: str) -> str:
    return str(fields.get(name) or "")
