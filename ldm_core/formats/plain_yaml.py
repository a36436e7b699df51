"""The part of YAML that configurations use: maps, lists and plain values.

Tags, anchors and aliases are refused, so that nothing is constructed and nothing multiplies; size,
depth and number of values are bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import yaml

from ldm_core.errors import ConfigError
from ldm_core.facts import Value

MAX_BYTES = 256_000
MAX_VALUES = 10_000
MAX_DEPTH = 24


_INT = re.compile(r"[+-]?\d{1,18}")
_FLOAT = re.compile(r"[+-]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,3})?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}


def parse(data: bytes, name: str) -> Value:
    """The value of a YAML text.

    Args:
        name: what the text is called in messages.

    Raises:
        ConfigError: not YAML, or uses more of it than configurations do.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{name} has {len(data):,} bytes; a model's configuration has at most {MAX_BYTES:,}."
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = data.decode("utf-8-sig")
        return _Builder(name).build(iter(yaml.parse(text, Loader=loader)))
    except UnicodeDecodeError:
        raise ConfigError(
            f"{name} is not a text in UTF-8; put the model's own configuration there."
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(
            f"{name}{where} is not valid YAML; put the model's own configuration there."
        ) from None


class _Builder:
    """Makes values from the parser's events."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def build(self, events: Iterator[yaml.Event]) -> Value:
        value: Value = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
            elif isinstance(event, yaml.NodeEvent):
                value = self._value(event, events, 0)
        if documents != 1:
            raise ConfigError(f"{self.name} holds {documents} YAML documents; it has to be one.")
        return value

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Value:
        self.count += 1
        if self.count > MAX_VALUES or depth > MAX_DEPTH:
            raise ConfigError(f"{self.name} is too long or too deep to be a model's configuration.")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ConfigError(f"{self.name} uses YAML anchors; write the values out instead.")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise ConfigError(f"{self.name} uses the YAML tag {tag[:40]!r}; only plain values are allowed.")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(events, depth)
        return self._map(events, depth)

    def _list(self, events: Iterator[yaml.Event], depth: int) -> list[Value]:
        result: list[Value] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            result.append(self._value(event, events, depth + 1))
        return result

    def _map(self, events: Iterator[yaml.Event], depth: int) -> dict[str, Value]:
        result: dict[str, Value] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._value(event, events, depth + 1)
            if not isinstance(key, str):
                raise ConfigError(f"{self.name} has a key that is not a word.")
            if key in result:
                raise ConfigError(f"{self.name} has two entries {key[:60]!r}; keep one.")
            result[key] = self._value(next(events), events, depth + 1)
        return result

    def _scalar(self, event: yaml.ScalarEvent) -> Value:
        text: str = event.value
        if event.style:  # quoted
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                raise ConfigError(f"{self.name} has the number {text[:40]}, which is too large.")
            return number
        return text
