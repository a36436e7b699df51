"""A1111's syntax: schedules, parts that are composed, weights.

    (x) (x:1.3) [x]     weights 1.1, 1.3 and 1 / 1.1; brackets within brackets multiply; \\( is a bracket
    a BREAK b           b begins a chunk of its own
    [a:b:0.5] [a|b]     what changes with the step (`schedule.py`)
    a AND b :0.5        two conditions, the second counts half (arXiv:2206.01714)
    <lora:name:1>       what is no text, and is taken out

Source: github.com/AUTOMATIC1111/stable-diffusion-webui, `prompt_parser.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ldm_core.prompts.phrase import MAX_PARTS, Part, Span, Text, check_depth, merged, unreadable, weight_of
from ldm_core.prompts.schedule import Schedule, read_schedule

_TAG = re.compile(r"<\w{1,40}:[^<>]{1,400}>")
_AND = re.compile(r"\bAND\b")
_BREAK = re.compile(r"\bBREAK\b")
_COUNTS = re.compile(r"\s*[+-]?(?:\d+\.?|\d*\.\d+)\s*")  # what a part of AND ends in
_TOKEN = re.compile(r"\\[()\[\]\\]?|[(\[\])]|:\s*([+-]?[.\d]+)\s*\)|[^\\()\[\]:]+|:", re.DOTALL)
_ESCAPED = "()[]\\"
ROUND, SQUARE = 1.1, 1 / 1.1


@dataclass(frozen=True, slots=True)
class A1111Prompt:
    """As `Prompt`.

    Attributes:
        composes: whether AND is a word of the syntax; in a negative prompt it is one like any other.
    """

    schedule: Schedule
    composes: bool
    notes: tuple[str, ...] = ()

    @property
    def is_fixed(self) -> bool:
        return self.schedule.is_fixed

    @property
    def has_parts(self) -> bool:
        """Whether it holds an AND, wherever."""
        return self.composes and any(_AND.search(text) for text in self.schedule.texts())

    def at(self, step: int, num_steps: int, earlier: int | None = None) -> tuple[Part, ...]:
        text = self.schedule.at(step, num_steps, earlier)
        return composed(text) if self.composes else (Part(weighted(text)),)


def read(text: str, *, composes: bool = True) -> A1111Prompt:
    """
    Raises:
        PromptError: brackets are nested too deeply, a weight is too large, or there are too many parts.
    """
    tags = list(dict.fromkeys(_TAG.findall(text)))
    schedule = read_schedule(without_tags(text))
    notes = [f"{', '.join(tags[:3])} in the prompt has no effect here."] if tags else []
    if schedule.is_literal:
        notes.append(
            "A | stands outside of square brackets, so nothing of the prompt changes with the steps."
        )
    prompt = A1111Prompt(schedule, composes, tuple(notes))
    prompt.at(0, 1)
    return prompt


def without_tags(text: str) -> str:
    return _TAG.sub("", text)


def composed(text: str) -> tuple[Part, ...]:
    """The parts between the ANDs."""
    texts = _AND.split(text)
    if len(texts) == 1:
        return (Part(weighted(text)),)
    if len(texts) > MAX_PARTS:
        raise unreadable(f"AND makes {len(texts)} parts of it; {MAX_PARTS} are the most.")
    return tuple(_part(part) for part in texts)


def _part(text: str) -> Part:
    before, _, number = text.rpartition(":")
    weight = weight_of(number) if _COUNTS.fullmatch(number) and before else None
    return Part(weighted(text)) if weight is None else Part(weighted(before), weight)


def weighted(text: str) -> Text:
    """The text with its weights, in sections between the BREAKs."""
    found: list[tuple[str, bool]] = []  # a text, and whether a section begins with it
    weights: list[float] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}  # where in `found`; round and square ones may cross

    def add(text: str) -> None:
        first, *others = _BREAK.split(text)
        if others:
            first, others = first.rstrip(), [*(other.strip() for other in others[:-1]), others[-1].lstrip()]
        found.extend([(first, False), *((other, True) for other in others)])
        weights.extend([1.0] * (1 + len(others)))

    def close(kind: str, factor: float) -> None:
        for i in range(opened[kind].pop(), len(weights)):
            weights[i] *= factor

    for match in _TOKEN.finditer(text):
        token, number = match[0], match[1]
        weight = None if number is None else weight_of(number)
        if token in opened:
            opened[token].append(len(found))
            check_depth(len(opened[token]))
        elif weight is not None and opened["("]:
            close("(", weight)
        elif token == ")" and opened["("]:
            close("(", ROUND)
        elif token == "]" and opened["["]:
            close("[", SQUARE)
        else:
            add(token[1:] if token[0] == "\\" else token)
    for kind, factor in (("(", ROUND), ("[", SQUARE)):
        while opened[kind]:
            close(kind, factor)
    sections: list[list[Span]] = [[]]
    for (words, begins), weight in zip(found, weights, strict=True):
        if begins:
            sections.append([])
        sections[-1].append(Span(words, weight))
    return Text(tuple(merged(section) for section in sections), "a1111")


def escaped(text: str) -> str:
    """A text in which every character counts as it is, as A1111 has to be told."""
    return "".join(f"\\{c}" if c in _ESCAPED else c for c in text)
