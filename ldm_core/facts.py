"""Facts about a model, from a section of its configuration or its tensors' shapes.

Each is checked, and named where it is wrong.  Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from ldm_core.errors import ConfigError
from ldm_core.spec import ScheduleKind, ScheduleSpec

if TYPE_CHECKING:
    from torch import Tensor

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]


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

    def names(self, key: str, few: int, most: int) -> tuple[str, ...]:
        """So many different names."""
        value = self.values.get(key)
        found = (
            tuple(name for name in value if isinstance(name, str) and 0 < len(name) <= 100)
            if isinstance(value, list)
            else ()
        )
        if not isinstance(value, list) or len(found) != len(value):
            raise self.wrong(key, "a list of names")
        if not few <= len(found) <= most or len(set(found)) != len(found):
            raise self.wrong(key, f"a list of {few} to {most} different names")
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


def either(*names: str) -> frozenset[str]:
    """Targets below `ldm`, which is called `sgm` in the repository that Stable Diffusion XL came with."""
    return frozenset(f"{package}.{name}" for package in ("ldm", "sgm") for name in names)


# The published names of what is linear in t.
_BETA_SCHEDULES: Mapping[str, ScheduleKind] = {
    "linear": "scaled_linear",
    "sqrt_linear": "linear",
    "cosine": "cosine",
}


def read_schedule(params: Section, num_timesteps: int | None = None) -> ScheduleSpec:
    """The noise schedule; `num_timesteps` where the section does not say.

    Raises:
        ConfigError: a fact is missing or of an unknown kind.
    """
    count = params.whole("timesteps", 2, 10_000, num_timesteps)
    if "given_betas" in params:
        listed = params.values["given_betas"]
        betas = tuple(b for b in listed if isinstance(b, float)) if isinstance(listed, list) else ()
        if len(betas) != count or not all(0 < beta < 1 for beta in betas):
            raise params.wrong("given_betas", f"a list of {count} numbers between 0 and 1")
        return ScheduleSpec(count, betas[0], betas[-1], betas=betas)
    schedule = ScheduleSpec(
        num_timesteps=count,
        linear_start=params.number("linear_start", 1e-8, 0.5),
        linear_end=params.number("linear_end", 1e-8, 0.5),
        kind=_BETA_SCHEDULES[params.choice("beta_schedule", tuple(_BETA_SCHEDULES), "linear")],
        zero_terminal_snr=params.flag("zero_terminal_snr"),
    )
    if schedule.linear_start > schedule.linear_end:
        raise params.wrong("linear_end", "at least linear_start")
    return schedule


Weights = Mapping[str, "Tensor"]


class Shapes:
    """Looks up shapes of the tensors below a prefix."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        self.weights = weights
        self.prefix = prefix
        # "input_blocks.3.0.op.weight" is a child 3 of "input_blocks", a child 0 of "input_blocks.3", ...
        self._children: dict[str, set[int]] = {}
        for name in weights:
            if not name.startswith(prefix):
                continue
            words = name.removeprefix(prefix).split(".")
            for i, word in enumerate(words):
                if word.isdecimal() and len(word) <= 4:
                    self._children.setdefault(".".join(words[:i]), set()).add(int(word))

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.weights

    def of(self, name: str) -> tuple[int, ...]:
        """The shape of a weight, at least two numbers."""
        tensor = self.weights.get(self.prefix + name)
        if tensor is None or tensor.dim() < 2:
            raise ConfigError(
                f"The checkpoint has no {self.prefix}{name}, so what it is cannot be told; it is not "
                "of a known kind, or incomplete."
            )
        return tuple(tensor.shape)

    def count(self, name: str) -> int:
        """How many numbered children a module has."""
        return len(self._children.get(name, ()))
