"""Reading facts from a section of a configuration, each checked and named where it is wrong."""

from __future__ import annotations

from typing import cast

from ldm_core.errors import ConfigError
from ldm_core.formats.plain_yaml import Value


class Section:
    """A map of a configuration, with its place in it for messages."""

    def __init__(self, values: Value, place: str) -> None:
        if not isinstance(values, dict):
            raise ConfigError(
                f"{place} is missing or not a section; put the model's own configuration there."
            )
        self.values = values
        self.place = place

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def section(self, key: str) -> Section:
        return Section(self.values.get(key), f"{self.place}.{key}")

    def wrong(self, key: str, allowed: str) -> ConfigError:
        if key not in self.values:
            return ConfigError(f"{self.place}.{key} is missing; it has to be {allowed}.")
        shown = repr(self.values[key])[:60]
        return ConfigError(f"{self.place}.{key} is {shown}; it has to be {allowed}.")

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.values.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self.values.get(key, default)
        if type(value) not in (int, float) or not low <= cast(float, value) <= high:
            raise self.wrong(key, f"a number from {low:g} to {high:g}")
        return cast(float, value) * 1.0

    def wholes(self, key: str, low: int, high: int, longest: int) -> tuple[int, ...]:
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) > longest:
            raise self.wrong(key, f"a list of at most {longest} whole numbers")
        found = tuple(v for v in value if type(v) is int and low <= v <= high)
        if len(found) != len(value):
            raise self.wrong(key, f"a list of whole numbers from {low} to {high}")
        return found

    def text(self, key: str, longest: int) -> str:
        value = self.values.get(key, "")
        if not isinstance(value, str) or len(value) > longest:
            raise self.wrong(key, f"a text of at most {longest:,} characters")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or value not in allowed:
            raise self.wrong(key, " or ".join(repr(a) for a in allowed))
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def has_target(self, known: frozenset[str]) -> bool:
        target = self.values.get("target")
        return isinstance(target, str) and target in known

    def target(self, known: frozenset[str]) -> None:
        """Requires `target` to be one of the known names."""
        if not self.has_target(known):
            names = sorted({name.rpartition(".")[2] for name in known})
            raise self.wrong("target", f"the published name of {' or '.join(names)}")

    def only(self, known: frozenset[str], fixed: dict[str, tuple[Value, ...]]) -> None:
        """Refuses keys that are not known, and values other than the ones that can be built."""
        for key, value in self.values.items():
            if key in fixed:
                if value not in fixed[key] or (value is not None and type(value) is not type(fixed[key][0])):
                    raise self.wrong(key, f"{fixed[key][0]!r}, the only kind that is supported so far")
            elif key not in known:
                raise ConfigError(f"{self.place}.{key[:60]} is not known; the model may be of a newer kind.")
