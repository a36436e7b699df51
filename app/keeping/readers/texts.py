"""Texts from strangers: read in bounded time and memory, and taken apart without trust."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from app.keeping.readers.said import Value

MAX_TEXT = 8_000_000  # characters of one text; ComfyUI's graphs are the longest
_DIGITS = 40  # of a number; more say nothing
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft")
_HASH = re.compile(r"(?:0x)?([0-9a-f]{8,64})")

Object = Mapping[str, object]


def json_object(text: str | None) -> dict[str, object] | None:
    """The JSON object that a text is; None where it is none, is too long or nests too deeply.

    NaN and Infinity, which Python's programs write, are read as the words; a number of more than 40 digits
    too, for whoever needs a number to refuse.
    """
    if text is None or len(text) > MAX_TEXT or not text.lstrip(" \t\r\n\ufeff").startswith("{"):
        return None
    try:
        read = json.loads(
            text.lstrip("\ufeff"),
            parse_constant=str,
            parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else digits,
        )
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def value_of(thing: object) -> Value:
    """A number or text as it is, and nothing else."""
    return thing if isinstance(thing, int | float | str) and not isinstance(thing, bool) else None


def text_of(thing: object) -> str:
    return thing if isinstance(thing, str) else ""


def object_of(thing: object) -> Object:
    return thing if isinstance(thing, dict) else {}


def objects_of(thing: object) -> list[Object]:
    return [entry for entry in thing if isinstance(entry, dict)] if isinstance(thing, list) else []


def name_of(thing: object) -> str:
    """A model's name from its file's: without folders and ending; "" for what is none."""
    path = PurePosixPath(text_of(thing).replace("\\", "/"))
    return path.name.removesuffix(path.suffix) if path.suffix.lower() in _WEIGHTS else path.name


def hash_of(thing: object) -> str:
    """The hexadecimal digits of a hash; "" for what is none."""
    match = _HASH.fullmatch(text_of(thing).strip().lower())
    return match[1] if match else ""


def size_of(thing: object) -> tuple[Value, Value]:
    """Width and height of "512x768", "(512, 768)" or "1024 x 1024 (1:1)"."""
    match = re.match(r"[\s(\[]*(-?\d{1,40})\s*[x×,*]\s*(-?\d{1,40})", text_of(thing)[:200])
    return (match[1], match[2]) if match else (None, None)


def rest(said: Object, known: Iterable[str]) -> tuple[tuple[str, Value], ...]:
    """What an object says beside what is known: numbers and texts as they are, the rest as JSON."""
    left = {name: thing for name, thing in said.items() if name not in set(known)}
    return tuple(
        (name, value_of(thing) if not isinstance(thing, bool | dict | list) else json.dumps(thing))
        for name, thing in left.items()
        if thing not in (None, "", False, [], {}, "None")
    )
