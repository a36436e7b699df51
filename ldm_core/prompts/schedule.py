"""What of an A1111 prompt changes with the step.

    [a:b:0.5] [b:0.5] [a::0.5]   a in the first half, then b; nothing before, nothing after
    [a:b:10]                     b after the tenth step
    [a|b|c]                      in turn, another one at each step

Of a second pass 1.5 is its half, and whole numbers go on counting from the first one.  Nested as one likes;
[x] alone and (x:1.2) are weights, and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ldm_core.prompts.phrase import check_depth

_TOKEN = re.compile(r"\\.|[\\\[\]|:()]|[^\\\[\]|:()]+", re.DOTALL)
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_MAX_DIGITS = 40
_CLOSES = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class Change:
    """`before` up to and including the step that `when` says, then `after`."""

    before: Words
    after: Words
    when: str

    def last(self, num_steps: int, earlier: int | None) -> int:
        """The last step, from 1 on, of what is before."""
        value, (whole, fraction) = float(self.when), (0, 0.0) if earlier is None else (earlier, 1.0)
        value = (value - fraction) * num_steps if "." in self.when else value - whole
        return int(min(max(value, -1), num_steps))


@dataclass(frozen=True, slots=True)
class Turns:
    """Another one at each step."""

    options: tuple[Words, ...]


Words: TypeAlias = "tuple[str | Change | Turns, ...]"


@dataclass(frozen=True, slots=True)
class Schedule:
    """is_literal: it could not be read, and so counts as it is."""

    words: Words
    is_literal: bool = False

    @property
    def is_fixed(self) -> bool:
        return all(isinstance(word, str) for word in self.words)

    def texts(self) -> Iterator[str]:
        """All that is said at some step."""
        return _texts(self.words)

    def at(self, step: int, num_steps: int, earlier: int | None = None) -> str:
        """The text at step 0 .. num_steps - 1; see `Prompt.at`."""
        return "".join(_said(self.words, step + 1, num_steps, earlier))


def _said(words: Words, step: int, num_steps: int, earlier: int | None) -> list[str]:
    said: list[str] = []
    for word in words:
        if isinstance(word, str):
            said.append(word)
            continue
        if isinstance(word, Change):
            chosen = word.before if step <= word.last(num_steps, earlier) else word.after
        else:
            chosen = word.options[(step - 1) % len(word.options)]
        said += _said(chosen, step, num_steps, earlier)
    return said


def _texts(words: Words) -> Iterator[str]:
    for word in words:
        if isinstance(word, str):
            yield word
        elif isinstance(word, Change):
            yield from (*_texts(word.before), *_texts(word.after))
        else:
            yield from (text for option in word.options for text in _texts(option))


@dataclass(slots=True)
class _Group:
    """What stands since a bracket was opened: parts, and what separates them.

    is_odd: something in it fits no rule, so that it is no schedule.
    """

    bracket: str
    parts: list[list[str | Change | Turns]] = field(default_factory=lambda: [[]])
    separators: list[str] = field(default_factory=list)
    is_odd: bool = False

    @property
    def as_it_stands(self) -> list[str | Change | Turns]:
        rows = zip(self.parts[1:], self.separators, strict=True)
        return [self.bracket, *self.parts[0], *(word for row, sep in rows for word in (sep, *row))]

    def closed(self, bracket: str) -> tuple[list[str | Change | Turns], bool]:
        """Its words, and whether they fit a rule."""
        kinds = set(self.separators)
        if self.is_odd:
            fits = False
        elif self.bracket == "(":
            fits = self.separators in ([], [":"])
        elif kinds == {"|"}:
            return [Turns(tuple(map(tuple, self.parts)))], True
        elif kinds == {":"} and len(self.separators) <= 2 and (when := _number(self.parts[-1])):
            before, after = self.parts[:-1] if len(self.parts) == 3 else ([], self.parts[0])
            return [Change(tuple(before), tuple(after), when)], True
        else:
            fits = not kinds
        return [*self.as_it_stands, bracket], fits


def read_schedule(text: str) -> Schedule:
    """
    Raises:
        PromptError: brackets are nested too deeply.
    """
    reader = _Reader()
    for match in _TOKEN.finditer(text):
        reader.take(match[0])
    words = reader.end()
    return Schedule((text,), is_literal=True) if words is None else Schedule(words)


class _Reader:
    """Puts groups into one another as their brackets close."""

    def __init__(self) -> None:
        self._open = [_Group("")]
        self._is_readable = True

    def take(self, token: str) -> None:
        top = self._open[-1]
        if token in _CLOSES:
            self._open.append(_Group(token))
            check_depth(len(self._open) - 1)
        elif token in _CLOSES.values():
            self._close(token)
        elif token == "|" or (token == ":" and top.bracket):
            top.separators.append(token)
            top.parts.append([])
        else:
            self._is_readable = self._is_readable and token != "\\"  # that nothing follows
            top.parts[-1].append(token)

    def _close(self, token: str) -> None:
        """Closes the innermost bracket of its kind; those within that were never closed are text."""
        fitting = [i for i, group in enumerate(self._open) if _CLOSES.get(group.bracket) == token]
        if not fitting:
            self._open[-1].parts[-1].append(token)
            self._open[-1].is_odd = True
            return
        while len(self._open) > fitting[-1] + 1:
            self._fold(None)
        self._fold(token)

    def _fold(self, token: str | None) -> None:
        """Puts the innermost group into the one around it, closed by a bracket or by none."""
        group = self._open.pop()
        words, fits = (group.as_it_stands, False) if token is None else group.closed(token)
        around = self._open[-1]
        around.parts[-1] += words
        around.is_odd = around.is_odd or not fits
        if "|" in group.separators and not isinstance(words[0], Turns):
            self._is_readable = False

    def end(self) -> Words | None:
        """All words; None where they cannot be read."""
        while len(self._open) > 1:
            self._fold(None)
        root = self._open[0]
        return None if root.separators or not self._is_readable else _joined(root.parts[0])


def _number(words: list[str | Change | Turns]) -> str | None:
    text = "".join(word for word in words if isinstance(word, str))
    is_text = all(isinstance(word, str) for word in words) and len(text) <= _MAX_DIGITS
    match = _NUMBER.fullmatch(text) if is_text else None
    return match[1] if match else None


def _joined(words: list[str | Change | Turns]) -> Words:
    """Without the seams between texts."""
    found: list[str | Change | Turns] = []
    texts: list[str] = []
    for word in words:
        if isinstance(word, str):
            texts.append(word)
            continue
        if texts:
            found.append("".join(texts))
            texts = []
        found.append(word)
    return tuple([*found, "".join(texts)] if texts else found)
