"""The words for what scenes hold: phrases, and the scenes that each of them is true of.

`words/*.txt`, a file a topic, hold them to be read and added to.  A block begins with the scenes that its
phrases are true of ("when time=dawn|sunset weather=clear", other scenes after "or"); "slot:" begins a list of
phrases that stand in the same place of a sentence (`Slot`); "a (lone|single) fir" is two phrases, "day's end"
is "day end", as the tokenizer reads it.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from .attributes import ATTRIBUTES, Attributes

TOPICS: tuple[str, ...] = tuple(
    "time weather season mountains water trees ground building boat bridge disc birds mood look".split()
)

Slot = Literal[
    "things",  # noun phrases with their article: "a lake", "two boats"
    "where",  # "by a lake", "at dusk", "in the snow"
    "adjectives",  # before a noun: "misty", "lakeside"
    "says",  # sentences: "a lake lies still"
    "without",  # what is not there: "no trees"
    "heads",  # of look: names of a picture that claim nothing of its look, "a landscape"
    "kinds",  # of look: "an oil painting", "a poster"
    "tags",  # of look: "brush strokes", "flat design"
    "openers",  # of look: "show me"
    "links",  # of look, between nouns: "with", "featuring"
    "leads",  # of look: "a picture where"
]

_BITS = {
    pair: 1 << index
    for index, pair in enumerate((name, value) for name, values in ATTRIBUTES.items() for value in values)
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Phrases, commonest first, that are true of every scene that has none of the `forbidden` values."""

    topic: str
    slot: Slot
    phrases: tuple[str, ...]
    forbidden: int  # a set of bits, one for each value of each attribute

    @property
    def weight(self) -> float:
        """How often it is drawn beside others."""
        return math.sqrt(len(self.phrases))


Thesaurus = Mapping[tuple[str, Slot], tuple[Rule, ...]]


def bits(attributes: Attributes) -> int:
    """The values of a scene as a set of bits."""
    return sum(_BITS[name, getattr(attributes, name)] for name in ATTRIBUTES)


@functools.cache
def thesaurus() -> Thesaurus:
    """All rules by topic and slot."""
    rules: dict[tuple[str, Slot], list[Rule]] = {}
    for topic in TOPICS:
        text = (Path(__file__).parent / "words" / f"{topic}.txt").read_text("utf-8")
        for rule in _rules(topic, text):
            rules.setdefault((topic, rule.slot), []).append(rule)
    return {key: tuple(several) for key, several in rules.items()}


def phrases_of(attributes: Attributes) -> dict[tuple[str, Slot], tuple[str, ...]]:
    """Everything that may be said of a scene, by topic and slot."""
    scene = bits(attributes)
    return {
        key: tuple(phrase for rule in rules if not scene & rule.forbidden for phrase in rule.phrases)
        for key, rules in thesaurus().items()
    }


def _rules(topic: str, text: str) -> Iterator[Rule]:
    lines = (line.split("#")[0] for line in text.replace("'s", "").lower().splitlines())
    for block in re.split(r"^when ", "\n".join(lines), flags=re.MULTILINE)[1:]:
        condition, _, rest = block.partition("\n")
        parts = re.split(rf"^({'|'.join(get_args(Slot))}):", rest, flags=re.MULTILINE)[1:]
        for slot, listed in zip(parts[::2], parts[1::2], strict=True):
            phrases = tuple(
                phrase for entry in listed.split(",") if entry.strip() for phrase in _spelt_out(entry)
            )
            for scenes in condition.split(" or "):
                yield Rule(topic, cast(Slot, slot), phrases, _forbidden(scenes))


def _spelt_out(entry: str) -> Iterator[str]:
    """ "a (lone|tall) (fir|pine)" -> "a lone fir", "a lone pine", "a tall fir", "a tall pine"."""
    parts = [part.split("|") for part in re.split(r"[()]", " ".join(entry.split()))]
    return ("".join(choice) for choice in itertools.product(*parts))


def _forbidden(scenes: str) -> int:
    """The bits of all values that a condition such as "time=dawn|day water=lake" excludes."""
    forbidden = 0
    for condition in scenes.split():
        name, _, allowed = condition.partition("=")
        wrong = set(allowed.split("|")) - set(ATTRIBUTES[name])
        if wrong:
            raise ValueError(f"{condition} names {', '.join(wrong)}; {name} can be {ATTRIBUTES[name]}")
        forbidden |= sum(_BITS[name, value] for value in ATTRIBUTES[name] if value not in allowed.split("|"))
    return forbidden
