"""Requests as JSON: read from whatever somebody sent, and written."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NoReturn, cast

from ldm_core.errors import RequestError
from ldm_core.request.base import RULES, Branch, Request
from ldm_core.request.extensions import AdapterUse, ControlUse
from ldm_core.request.fields import BRANCHINGS, DRAW, DRAWN_SEEDS, EXACT, FIXED, STEPS
from ldm_core.request.raster import Raster, to_uri
from ldm_core.request.regions import RegionPrompt
from ldm_core.request.rules import (
    NAME_CHARACTERS,
    LabelledBox,
    RasterOf,
    Verbatim,
    Whole,
    brief,
    read_field,
    refuse,
)
from ldm_core.request.samplers import SAMPLERS
from ldm_core.request.tasks import TASK, TASKS

_OBJECTS = LabelledBox | AdapterUse | ControlUse | RegionPrompt

JSON_BYTES = 100_000_000  # pictures included


def parse_request(obj: object) -> Request:
    """The request that a decoded JSON value describes; without `spacing`, the one that suits its sampler.

    Spatial inputs are `data:` URIs, or rasters already.  No path is ever opened.  For a seed of -1 one is
    drawn, and the request says which.

    Raises:
        RequestError: it is no object, lacks a field, has an unknown one or a wrong value.
    """
    if isinstance(obj, Mapping) and obj.get("seed") in (DRAW, str(DRAW)):
        obj = {**obj, "seed": drawn_seed()}
    return _parsed(obj)


def drawn_seed() -> int:
    """A seed by chance."""
    return secrets.randbelow(DRAWN_SEEDS)


def _parsed(obj: object) -> Request:
    if not isinstance(obj, Mapping):
        refuse("request", obj, "a JSON object with the field task")
    if "task" not in obj:
        _check_names(obj, ("task", *RULES))
        refuse("task", Verbatim("missing"), TASK.allowed)
    task = TASK.read(obj["task"])
    if not isinstance(task, str):
        refuse("task", obj["task"], TASK.allowed)
    kind = TASKS[task]
    obj = _with_branch(obj)
    _check_names(obj, tuple(field.name for field in fields(kind)))
    for field in fields(kind):
        if field.default is MISSING and field.name not in obj:
            refuse(field.name, Verbatim("missing"), RULES[field.name].allowed)
    sampler = next((spec for name, spec in SAMPLERS.items() if name == obj.get("sampler")), None)
    suited = {} if sampler is None or sampler.spacing is None else {"spacing": sampler.spacing}
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
        return {**read, "branch": Branch(step, _parsed({**same, **of}))}
    except RecursionError:
        refuse("branch", Verbatim("nested too deeply"), f"one of at most {BRANCHINGS}")


def _with_pixels(name: object, value: object) -> object:
    rule = RULES.get(name) if isinstance(name, str) else None
    return read_field(rule, str(name), value) if isinstance(rule, RasterOf) else value


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


def to_json(request: Request, text_of: Callable[[Raster], str] = to_uri) -> dict[str, object]:
    """The request as a JSON object; `parse_request` gives the same request back.

    Seeds beyond 2^53 are texts, which JavaScript does not round.

    Args:
        text_of: what stands for a picture.
    """
    values = {field.name: getattr(request, field.name) for field in fields(request)}
    obj = {name: _as_json(value, text_of) for name, value in values.items() if value is not None}
    if request.branch is not None:
        of, same = to_json(request.branch.of, text_of), {"branch", "batch_size"}
        differing = {
            name: of.get(name) for name in RULES if name not in same and of.get(name) != obj.get(name)
        }
        before = {"branch": of["branch"]} if "branch" in of else {}
        obj["branch"] = {"step": request.branch.step, "of": differing | before}
    return obj


def _as_json(value: object, text_of: Callable[[Raster], str]) -> object:
    if isinstance(value, Raster):
        return text_of(value)
    if isinstance(value, tuple):
        return [item.to_json() if isinstance(item, _OBJECTS) else _as_json(item, text_of) for item in value]
    return str(value) if isinstance(value, int) and value > EXACT else value


def lasting_branch(request: Request) -> dict[str, object] | None:
    """The branch in JSON, such that it stays what it is when other fields of the request change.

    What has to stay at a branch is not in it: that is the request's, before the branch as after it.
    """
    if request.branch is None:
        return None
    of = to_json(request.branch.of)
    may_change = {field.name for field in fields(request)}.difference(FIXED, ("batch_size", "branch"))
    before = {"branch": of["branch"]} if "branch" in of else {}
    return {
        "step": request.branch.step,
        "of": {name: of.get(name) for name in RULES if name in may_change} | before,
    }


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    obj: dict[str, object] = {}
    for name, value in pairs:
        if name in obj:
            refuse(name[:NAME_CHARACTERS], Verbatim("there twice"), "given once")
        obj[name] = value
    return obj


def _no_constant(word: str) -> NoReturn:
    refuse("request", Verbatim(f"not JSON ({word} is no JSON number)"), "a JSON object of finite numbers")
