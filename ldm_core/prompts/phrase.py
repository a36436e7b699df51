"""What a prompt says once its syntax is read: weighted text, and how several texts are put together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from ldm_core.errors import PromptError

Syntax = Literal["plain", "a1111", "comfyui", "invokeai"]

MAX_DEPTH = 40  # brackets within brackets
MAX_WEIGHT = 100.0
MAX_PARTS = 16  # of a prompt that is put together from several


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text with one weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Text:
    """What a text encoder reads.

    Attributes:
        sections: each begins a chunk of tokens of its own, where the encoder reads in chunks.
        syntax: whose way it is cut into tokens, and embeddings are named.
    """

    sections: tuple[tuple[Span, ...], ...]
    syntax: Syntax = "plain"

    @property
    def is_empty(self) -> bool:
        return not any(span.text.strip() for section in self.sections for span in section)


@dataclass(frozen=True, slots=True)
class Blend:
    """Encodings of texts of which a weighted sum is taken, divided by the sum of the weights."""

    parts: tuple[tuple[Text, float], ...]
    normalized: bool = True

    @property
    def is_empty(self) -> bool:
        return all(text.is_empty for text, _ in self.parts)


@dataclass(frozen=True, slots=True)
class Joined:
    """Encodings of texts, one after the other."""

    parts: tuple[Text, ...]

    @property
    def is_empty(self) -> bool:
        return all(text.is_empty for text in self.parts)


Phrase: TypeAlias = Text | Blend | Joined


def texts_of(phrase: Phrase) -> tuple[Text, ...]:
    """The texts that it is put together from."""
    if isinstance(phrase, Blend):
        return tuple(text for text, _ in phrase.parts)
    return phrase.parts if isinstance(phrase, Joined) else (phrase,)


@dataclass(frozen=True, slots=True)
class Part:
    """One of several conditions that the network is asked for each by itself, and how much it counts."""

    phrase: Phrase
    weight: float = 1.0


class Prompt(Protocol):
    """A prompt that was read."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what of it is not read as a person may expect."""

    @property
    def is_fixed(self) -> bool:
        """Whether it says the same at every step."""

    def at(self, step: int, num_steps: int, earlier: int | None = None) -> tuple[Part, ...]:
        """What it says at a step.

        Args:
            step: 0 .. num_steps - 1.
            earlier: steps of the pass before this one; None in the first.
        """


@dataclass(frozen=True, slots=True)
class Fixed:
    """A prompt that says the same at every step."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    is_fixed: Literal[True] = True

    def at(self, step: int, num_steps: int, earlier: int | None = None) -> tuple[Part, ...]:
        return self.parts


def unreadable(reason: str) -> PromptError:
    """With the reason as the end of its sentence."""
    return PromptError("prompt", f"The prompt cannot be read: {reason}")


def plain(text: str) -> Text:
    """A text of which every character counts as it is."""
    return Text(((Span(text),),))


def weight_of(number: str) -> float | None:
    """The weight that a text spells; None where it is no number.

    Raises:
        PromptError: it is beyond what makes sense.
    """
    try:
        weight = float(number)
    except ValueError:
        return None
    return checked_weight(weight)


def checked_weight(weight: float) -> float:
    """
    Raises:
        PromptError: as `weight_of`.
    """
    if not math.isfinite(weight) or abs(weight) > MAX_WEIGHT:
        raise unreadable(f"a weight in it comes to {weight:g}; weights may be {MAX_WEIGHT:g} at most.")
    return weight


def check_depth(depth: int) -> None:
    """
    Raises:
        PromptError: brackets are nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise unreadable(
            f"more than {MAX_DEPTH} brackets are open at one place in it; close them, or write \\( where a "
            "bracket itself is meant."
        )


def merged(spans: list[Span]) -> tuple[Span, ...]:
    """Neighbours of equal weight as one; without empty ones."""
    found: list[Span] = []
    for span in spans:
        if not span.text:
            continue
        if found and found[-1].weight == span.weight:
            found[-1] = Span(found[-1].text + span.text, span.weight)
        else:
            found.append(Span(span.text, checked_weight(span.weight)))
    return tuple(found)
