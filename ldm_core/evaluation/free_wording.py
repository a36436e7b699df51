"""Sentences kept apart from training, each with what it asks for: how freely may a wish be worded?"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Sentence:
    """`asked`: attribute of a scene -> the values with which the sentence is true; others are open."""

    text: str
    asked: Mapping[str, tuple[str, ...]]


@functools.cache
def free_sentences() -> tuple[Sentence, ...]:
    """All 300, always in the same order."""
    lines = (Path(__file__).parent / "free_sentences.txt").read_text("utf-8").splitlines()
    return tuple(_sentence(line) for line in lines if line and not line.startswith("#"))


def _sentence(line: str) -> Sentence:
    """Of "time=dawn|day water=lake: The sentence."."""
    conditions, _, text = line.partition(": ")
    pairs = (condition.split("=") for condition in conditions.split())
    return Sentence(text, {name: tuple(values.split("|")) for name, values in pairs})


def accuracies(sentences: Sequence[Sentence], seen: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Share of the asked values that are seen: by attribute, and of all together ("mean").

    Args:
        seen: attribute -> its value in the picture of each sentence; an attribute not here is not counted.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    for index, sentence in enumerate(sentences):
        for name in sentence.asked.keys() & seen.keys():
            right[name].append(seen[name][index] in sentence.asked[name])
    shares = {name: float(np.mean(those)) for name, those in sorted(right.items())}
    return {**shares, "mean": float(np.mean([is_right for those in right.values() for is_right in those]))}
