"""The conditioners that a configuration names.

`cond_stage_config` is as published; what a kind of model has without naming it, too.  Ours are

concat_conditions:            # beside cond_stage_config, with conditioning_key: hybrid
  - known_region
  - label_map: [sky, cloud]   # names of the classes
  - box_map: [sun, moon]

and sections of their own, such as `label_bits`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ldm_core.conditioners import CONDITIONERS, Conditioner
from ldm_core.facts import Section, Value

_UNCONDITIONAL = "__is_unconditional__"
_MOST = 8  # entries of concat_conditions


def read_conditioners(params: Section, model: str = "") -> tuple[Conditioner, ...]:
    """Those of a model, in the order in which they are concatenated.

    Args:
        model: the kind of model, by its `target`.

    Raises:
        ConfigError: of an unknown kind, incomplete, or at odds with `conditioning_key`.
    """
    found = [*_cond_stage(params), *_concat_conditions(params), *_unnamed(params, model)]
    _check_key(params, found)
    for name in _names("latent"):
        if name in params:
            found.append(_read(name, params.section(name)))
    return tuple(found)


def read_section(section: Section) -> Conditioner:
    """The conditioner of a section with `target` and `params`.

    Raises:
        ConfigError: of an unknown kind, or incomplete.
    """
    section.target(_targets())
    inner = Section(section.values.get("params") or {}, f"{section.place}.params")
    return _read(str(section.values["target"]), inner)


def _read(name: str, params: Section) -> Conditioner:
    read = (kind.read(name, params) for kind in CONDITIONERS if name in kind.names)
    return next(conditioner for conditioner in read if conditioner is not None)


def _targets() -> frozenset[str]:
    """The published classes."""
    return frozenset(name for kind in CONDITIONERS for name in kind.names if "." in name)


def _names(way: str) -> list[str]:
    """Our own names of those that enter in one way."""
    ours = (name for kind in CONDITIONERS for name in kind.names if kind.way == way)
    return sorted(name for name in ours if "." not in name and not name.startswith("__"))


def _cond_stage(params: Section) -> Iterable[Conditioner]:
    word = params.values.get("cond_stage_config")
    if word == _UNCONDITIONAL:
        return ()
    if isinstance(word, str) and any(word in kind.names for kind in CONDITIONERS):
        return (_read(word, Section({}, params.place)),)
    return (read_section(params.section("cond_stage_config")),)


def _unnamed(params: Section, model: str) -> Iterable[Conditioner]:
    if model in _targets():
        yield _read(model, Section({}, params.place))
    if "low_scale_config" in params:
        yield read_section(params.section("low_scale_config"))


def _concat_conditions(params: Section) -> Iterable[Conditioner]:
    entries, known = params.values.get("concat_conditions") or [], _names("concat")
    if not isinstance(entries, list) or len(entries) > _MOST:
        raise params.wrong("concat_conditions", f"a list of {' and '.join(known)}")
    for entry in entries:
        name, values = _named(entry)
        if name not in known:
            raise params.wrong(
                "concat_conditions",
                f"a list of {' and '.join(known)}, with names of classes where it needs them",
            )
        yield _read(name, Section(values, f"{params.place}.concat_conditions.{name}"))


def _named(entry: Value) -> tuple[str, Value]:
    """An entry, `name` or `name: parameters`, where a list of parameters are the classes."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, values),) = entry.items()
        return name, {"classes": values} if isinstance(values, list) else values
    return "", {}


def _check_key(params: Section, found: list[Conditioner]) -> None:
    """`conditioning_key` says how all of them enter the UNet together."""
    ways = {conditioner.way for conditioner in found}
    needed: str | None = "hybrid" if len(ways) == 2 else next(iter(ways), None)
    if any(conditioner.vector == "noise level" for conditioner in found):
        needed = "hybrid-adm"  # the noise level joins the embedding of t
    usual = "concat" if params.values.get("concat_mode", True) else "crossattn"
    key = params.values.get("conditioning_key") or usual
    if needed is not None and key != needed:
        raise params.wrong("conditioning_key", f"{needed!r} with these conditioners")
