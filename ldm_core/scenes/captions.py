"""Captions in the words people type, true of the scene they describe, and their closed vocabulary."""

from __future__ import annotations

import random

import numpy as np

from .attributes import Attributes
from .description import description_words
from .thesaurus import Slot, bits, thesaurus

MAX_WORDS = 28
MAX_TOKENS = 38  # words, commas and full stops

# How often a topic is mentioned: (when there is something, when there is nothing of it).
_MENTION: dict[str, tuple[float, float]] = {
    "time": (0.75, 0.0),
    "weather": (0.55, 0.0),
    "season": (0.6, 0.0),
    "mountains": (0.85, 0.12),
    "water": (0.88, 0.06),
    "trees": (0.88, 0.14),
    "ground": (0.5, 0.0),
    "building": (0.95, 0.04),
    "boat": (0.95, 0.04),
    "bridge": (0.95, 0.02),
    "disc": (0.65, 0.04),
    "birds": (0.8, 0.02),
    "mood": (0.22, 0.0),
}
_SHORT = 0.3  # share of captions of one to three topics
_POSTER_NAMED = 0.3  # share of the captions of posters, the look of what names none, that name it
_NOUNS = ("mountains", "water", "trees", "ground", "building", "boat", "bridge", "birds")
_MOTIFS = ("building", "boat", "bridge")  # likelier than others to be named first
_QUALITIES = ("time", "weather", "season")  # their adjectives may stand before any noun
# Before these no adjective goes.
_NUMBERS = frozenset(
    "1 2 3 one two three few couple handful some several many only just lots plenty more exactly dozens "
    "numerous trio pair".split()
)
# What the forms add to the phrases.
_GLUE = "a an the of and with over near in which while where very"


def vocabulary() -> tuple[str, ...]:
    """Every word that `caption` and `describe` can produce, sorted."""
    words = set(_GLUE.split())
    for rules in thesaurus().values():
        for rule in rules:
            words.update(*(phrase.split() for phrase in rule.phrases))
    return tuple(sorted(words | description_words()))


def caption(attributes: Attributes, rng: np.random.Generator) -> str:
    """A caption of at most MAX_WORDS words: partial, in varying order, and never false.

    A painting is always said to be one, so that what names no look is a poster.
    """
    draw = random.Random(int(rng.integers(2**63)))
    speaker = _Speaker(attributes, draw)
    topics = [
        topic
        for topic, (some, none) in _MENTION.items()
        if draw.random() < (none if getattr(attributes, topic, "") == "none" else some)
    ] or ["time"]
    if draw.random() < _SHORT:
        topics = draw.sample(topics, min(len(topics), draw.randint(1, 3)))
    draw.shuffle(topics)
    named = attributes.look == "painting" or draw.random() < _POSTER_NAMED
    (form,) = draw.choices(_FORMS, _SHARES)
    while True:
        text = form(speaker, topics, named)
        if text and len(text.split()) <= MAX_WORDS and _tokens(text) <= MAX_TOKENS:
            return text
        # Too long: leave one thing out; nothing to say in this form: say it as tags.
        topics = topics[:-1] if text else topics
        form = form if text and topics else _tags
        topics = topics or ["time"]


def _tokens(text: str) -> int:
    return len(text.split()) + text.count(",") + text.count(".")


class _Speaker:
    """Draws phrases that are true of one scene."""

    def __init__(self, attributes: Attributes, draw: random.Random) -> None:
        self.bits = bits(attributes)
        self.draw = draw

    def say(self, topic: str, slot: Slot) -> str:
        """One of the phrases, the commoner ones more often; empty where there is none."""
        scene = self.bits
        rules = [rule for rule in thesaurus().get((topic, slot), ()) if not scene & rule.forbidden]
        if not rules:
            return ""
        rule = rules[0] if len(rules) == 1 else self.draw.choices(rules, [rule.weight for rule in rules])[0]
        return rule.phrases[int(len(rule.phrases) * self.draw.random() ** 2)]

    def chance(self, share: float) -> bool:
        return self.draw.random() < share

    def first(self, topics: list[str], slots: tuple[Slot, ...]) -> list[str]:
        """Of each topic what the first of the slots that has something says."""
        said = (next((p for slot in slots if (p := self.say(topic, slot))), "") for topic in topics)
        return [phrase for phrase in said if phrase]

    def qualified(self, phrase: str, topics: list[str]) -> str:
        """Now and then with an adjective of the time, weather or season, which is then said."""
        free = [topic for topic in topics if topic in _QUALITIES]
        if not free or not self.chance(0.45) or not _NUMBERS.isdisjoint(phrase.split()[:2]):
            return phrase
        topic = self.draw.choice(free)
        if adjective := self.say(topic, "adjectives"):
            topics.remove(topic)
            adjective = "very " * self.chance(0.04) + adjective
            return _with_adjective(phrase, adjective)
        return phrase

    def look(self, named: bool, slot: Slot = "tags") -> list[str]:
        """The look in words that go beside others, where it is to be named."""
        return [self.say("look", slot)] if named else []

    def absent(self, topics: list[str], share: float = 0.06) -> str:
        """What is not there: of a topic of which there is nothing, or now and then of any."""
        missing = [topic for topic in topics if topic in _NOUNS and not self.say(topic, "things")]
        if not missing and self.chance(share):
            missing = [
                self.draw.choice(("weather", "season", "trees", "mountains", "ground", "mood", "look"))
            ]
        return self.say(self.draw.choice(missing), "without") if missing else ""


def _with_adjective(phrase: str, adjective: str) -> str:
    """ "a lake", "icy" -> "an icy lake"; "the sea", "misty" -> "the misty sea"."""
    first, _, rest = phrase.partition(" ")
    if first in ("a", "an"):
        return f"{_article(adjective)} {adjective} {rest}"
    return f"the {adjective} {rest}" if first == "the" else f"{adjective} {phrase}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _bare(phrase: str) -> str:
    """The phrase without its article, as in a list of tags."""
    first, _, rest = phrase.partition(" ")
    return rest if first in ("a", "an", "the") and rest else phrase


def _join(nouns: list[str]) -> str:
    return nouns[0] if len(nouns) == 1 else ", ".join(nouns[:-1]) + " and " + nouns[-1]


def _tags(s: _Speaker, topics: list[str], named: bool) -> str:
    """Phrases in any order, with or without articles and commas: "sunset, pines, lake, oil painting"."""
    parts = []
    for topic in topics:
        kind = s.draw.random()
        slots: tuple[Slot, ...] = ("things", "adjectives", "without")
        if kind < 0.2:
            slots = ("adjectives", "things", "without")
        elif kind < 0.32:
            slots = ("where", "things", "without")
        parts += s.first([topic], slots)
    if absent := s.absent([], 0.08):
        parts.append(absent)
    if s.chance(0.75):
        parts = [_bare(phrase) for phrase in parts]
    look = s.look(named) or ([_bare(s.say("look", "heads"))] if s.chance(0.1) else [])
    at = s.draw.choice((0, len(parts), s.draw.randint(0, len(parts))))
    parts[at:at] = look
    return (" " if s.chance(0.12) else ", ").join(parts)


def _sentence(s: _Speaker, topics: list[str], named: bool) -> str:
    """Nouns with what is where and when: "a poster of a misty lake with firs at dawn, no birds"."""
    rest = list(topics)
    nouns = [topic for topic in topics if topic in _NOUNS]
    nouns.sort(key=lambda topic: topic in _MOTIFS and s.chance(0.6), reverse=True)
    aside = [topic for topic in nouns[1:] if s.chance(0.3)]
    things = [s.qualified(p, rest) for topic in nouns if topic not in aside and (p := s.say(topic, "things"))]
    if not things:
        return ""
    around = s.first(aside, ("where", "things"))
    around += s.first([topic for topic in rest if topic not in _NOUNS], ("where",))
    s.draw.shuffle(around)
    head, others = things[0], things[1:]
    link = ", " if s.chance(0.2) else f" {s.say('look', 'links')} "
    company = link + _join(others) if others else ""
    kind, opener, front = s.draw.random(), "", ""
    if kind < 0.4:
        opener = s.say("look", "kinds" if named else "heads") + " of "
        named = False
        if s.chance(0.2):
            opener = s.say("look", "openers") + " " + opener
    elif kind < 0.52:
        opener = s.say("look", "openers") + " "
    elif kind < 0.64 and around:
        front = around.pop() + ", "
    text = (
        opener
        + front
        + head
        + company
        + "".join((", " if s.chance(0.15) else " ") + phrase for phrase in around)
    )
    if absent := s.absent(topics):
        text += s.draw.choice((", ", ", ", " and ", " with ")) * (not absent.startswith(_JOINED)) or " "
        text += absent
    return ", ".join([text, *s.look(named, s.draw.choice(("tags", "where")))])


_JOINED = ("without", "not ", "free of", "bare of")


def _statements(s: _Speaker, topics: list[str], named: bool) -> str:
    """Whole sentences: "dusk falls, two boats drift on the lake and there are no trees"."""
    rest = list(topics)
    clauses = [phrase for topic in topics[:4] if (phrase := s.say(topic, "says"))]
    if not clauses:
        return ""
    where = s.first([t for t in rest[4:] if t in _QUALITIES or s.chance(0.4)], ("where", "adjectives"))
    lead = ""
    if s.chance(0.25):
        lead = s.say("look", "leads") + " "
        if named and s.chance(0.5):
            lead, named = s.say("look", "kinds") + " " + s.draw.choice(("in which", "where")) + " ", False
    glue = s.draw.choice((", ", ". ", " and ", " while "))
    text = lead + (clauses[0] if len(clauses) == 1 else ", ".join(clauses[:-1]) + glue + clauses[-1])
    text += "".join(" " + phrase for phrase in where[:2] if " " in phrase)
    end = "." if ". " in text or s.chance(0.15) else ""
    return ", ".join([text, *s.look(named, s.draw.choice(("tags", "where")))]) + end


def _described(s: _Speaker, topics: list[str], named: bool) -> str:
    """A picture or a place with its qualities first: "a treeless winter landscape with a chapel"."""
    rest = list(topics)
    adjectives: list[str] = []
    for topic in topics:
        if len(adjectives) < 3 and s.chance(0.6) and (adjective := s.say(topic, "adjectives")):
            adjectives.append(adjective)
            rest.remove(topic)
    if named and s.chance(0.25) and (adjective := s.say("look", "adjectives")):
        adjectives.append(adjective)
        named = False
    kind: Slot = "kinds" if named and s.chance(0.6) else "heads"
    text = s.say("look", kind)
    named = named and kind == "heads"
    for adjective in adjectives:
        text = _with_adjective(text, adjective)
    if s.chance(0.25):
        text = _bare(text)
    things = s.first([topic for topic in rest if topic in _NOUNS], ("things",))
    if things:
        text += s.draw.choice((" with ", " of ", ", ")) + _join(things)
    around = s.first([topic for topic in rest if topic not in _NOUNS], ("where", "things"))
    text = " ".join([text, *(phrase for phrase in around)]) if things else ", ".join([text, *around])
    if absent := s.absent(rest):
        text += (" " if absent.startswith(_JOINED) else ", ") + absent
    return ", ".join([text, *s.look(named)])


def _search(s: _Speaker, topics: list[str], named: bool) -> str:
    """Two or three things, as in a search box: "winter night", "misty firs", "sunset over a bay"."""
    rest = list(topics)
    nouns = [phrase for topic in topics if topic in _NOUNS and (phrase := s.say(topic, "things"))]
    if not nouns:
        nouns = s.first(["ground"], ("things",))
    times = s.first([topic for topic in rest if topic in (*_QUALITIES, "disc")], ("things",))
    kind = s.draw.random()
    if times and kind < 0.4:
        text = f"{times[0]} {s.draw.choice(('over', 'over', 'and', 'with', 'near'))} {nouns[0]}"
    elif kind < 0.7:
        text = s.qualified(nouns[0], rest)
        text = f"{text} {' '.join(s.first([t for t in rest if t in _QUALITIES][:1], ('where',)))}".strip()
    else:
        text = f"{nouns[0]} and {nouns[1]}" if len(nouns) > 1 else nouns[0]
    if s.chance(0.4):
        text = _bare(text)
    return ", ".join([text, *s.look(named, s.draw.choice(("tags", "where")))])


_FORMS = (_tags, _sentence, _statements, _described, _search)
_SHARES = (0.27, 0.33, 0.16, 0.14, 0.1)
