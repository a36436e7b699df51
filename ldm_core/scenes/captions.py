"""Captions in the words people type, true of the scene they describe, and their closed vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .attributes import Attributes

MAX_WORDS = 28


@dataclass(frozen=True, slots=True)
class _Rule:
    """Phrases that may fill `slot` when every named attribute has one of the given values."""

    slot: str
    phrases: str  # separated by "|"
    when: dict[str, str] = field(default_factory=dict)  # attribute -> values separated by "|"

    def holds(self, a: Attributes) -> bool:
        return all(getattr(a, name) in values.split("|") for name, values in self.when.items())


_GREEN = {"season": "spring|summer"}

# Slots: an attribute's name gives a noun phrase; "at", "during" and "under" give time, season and
# weather as adverbs; "style" says what kind of picture it is. "no ..." rules are used sparingly.
_RULES: tuple[_Rule, ...] = (
    _Rule("time", "dawn|sunrise|morning|early morning|daybreak|pink morning light", {"time": "dawn"}),
    _Rule("time", "day|noon|midday|daytime|daylight|afternoon", {"time": "day"}),
    _Rule("time", "sunny day|bright day|sunshine|sunny", {"time": "day", "weather": "clear"}),
    _Rule(
        "time",
        "sunset|dusk|evening|golden hour|evening light|orange sunset|sundown|twilight",
        {"time": "sunset"},
    ),
    _Rule("time", "night|midnight|nighttime|moonlight|moonlit night|dark night|moon", {"time": "night"}),
    _Rule("time", "the sun|sunlight", {"time": "dawn|day|sunset", "weather": "clear"}),
    _Rule("time", "warm sunset|colorful sunset", {"time": "sunset", "weather": "clear|cloudy"}),
    _Rule("time", "starry night|stars", {"time": "night", "weather": "clear"}),
    _Rule("at", "at dawn|at sunrise|in the morning|in the early morning|at daybreak", {"time": "dawn"}),
    _Rule("at", "at noon|at midday|by day|during the day|in the afternoon|in daylight", {"time": "day"}),
    _Rule("at", "in the sun|on a sunny day", {"time": "day", "weather": "clear"}),
    _Rule(
        "at",
        "at sunset|at dusk|in the evening|at golden hour|in warm evening light|at twilight",
        {"time": "sunset"},
    ),
    _Rule(
        "at", "at night|by night|at midnight|in the moonlight|under the moon|by moonlight", {"time": "night"}
    ),
    _Rule("weather", "clear sky|clear weather|clear", {"weather": "clear"}),
    _Rule("weather", "blue sky", {"weather": "clear", "time": "day"}),
    _Rule("weather", "cloudy sky|clouds|many clouds|cloudy|cloudy weather", {"weather": "cloudy"}),
    _Rule("weather", "white clouds", {"weather": "cloudy", "time": "day"}),
    _Rule("weather", "fog|mist|foggy|misty|haze|misty air|foggy weather", {"weather": "foggy"}),
    _Rule(
        "weather",
        "storm|stormy sky|dark clouds|stormy|stormy weather|grey clouds|overcast",
        {"weather": "stormy"},
    ),
    _Rule("under", "under a clear sky|in clear weather", {"weather": "clear"}),
    _Rule("under", "under a blue sky", {"weather": "clear", "time": "day"}),
    _Rule(
        "under",
        "under a cloudy sky|under the clouds|with clouds in the sky|on a cloudy day",
        {"weather": "cloudy"},
    ),
    _Rule("under", "in the fog|in mist|in the mist|in thick fog|in the haze", {"weather": "foggy"}),
    _Rule("under", "in a storm|under a stormy sky|before a storm|under dark clouds", {"weather": "stormy"}),
    _Rule("season", "spring|springtime", {"season": "spring"}),
    _Rule("season", "summer|summertime|warm summer", {"season": "summer"}),
    _Rule("season", "autumn|fall", {"season": "autumn"}),
    _Rule("season", "autumn colors|orange leaves|golden leaves", {"season": "autumn", "trees": "broadleaf"}),
    _Rule("season", "winter|wintertime|cold winter", {"season": "winter"}),
    _Rule("season", "snowy winter", {"season": "winter", "ground": "snow"}),
    _Rule("during", "in spring|in the spring", {"season": "spring"}),
    _Rule("during", "in summer|in the summer", {"season": "summer"}),
    _Rule("during", "in autumn|in fall|in the autumn", {"season": "autumn"}),
    _Rule("during", "in winter|in the winter|in cold winter", {"season": "winter"}),
    _Rule("mountains", "no mountains|without mountains", {"mountains": "none"}),
    _Rule("mountains", "hills|rolling hills|low hills", {"mountains": "none", "water": "none|lake|river"}),
    _Rule(
        "mountains",
        "rocky mountains|mountains|bare peaks|rocky peaks|tall mountains|a rocky mountain",
        {"mountains": "rocky"},
    ),
    _Rule(
        "mountains",
        "a mountain|mountain peaks|distant mountains|a mountain range",
        {"mountains": "rocky|snowy"},
    ),
    _Rule(
        "mountains",
        "snowy mountains|snow capped mountains|white peaks|snowy peaks|"
        "the alps|mountains with snow|a snowy mountain|alpine peaks",
        {"mountains": "snowy"},
    ),
    _Rule("mountains", "a mountain valley", {"mountains": "rocky|snowy", "water": "none|river"}),
    _Rule("water", "no water|without water", {"water": "none"}),
    _Rule(
        "water",
        "a lake|a calm lake|a quiet lake|still water|a lake shore|water|a lake with reflections|a pond",
        {"water": "lake"},
    ),
    _Rule("water", "a mountain lake", {"water": "lake", "mountains": "rocky|snowy"}),
    _Rule("water", "a river|a winding river|a stream|a quiet river|water|a river bank", {"water": "river"}),
    _Rule(
        "water",
        "the sea|the ocean|a bay|waves|the coast|the seaside|sea water|the shore|water",
        {"water": "sea"},
    ),
    _Rule("trees", "no trees|without trees", {"trees": "none"}),
    _Rule(
        "trees",
        "pine trees|pines|firs|fir trees|spruces|"
        "evergreens|a pine tree|a fir tree|a pine forest|conifers|tall pines",
        {"trees": "pine"},
    ),
    _Rule(
        "trees",
        "leafy trees|oaks|an oak tree|oak trees|round trees",
        {"trees": "broadleaf", "season": "spring|summer|autumn"},
    ),
    _Rule("trees", "autumn trees|maples|orange trees", {"trees": "broadleaf", "season": "autumn"}),
    _Rule(
        "trees",
        "bare trees|leafless trees|bare branches|bare oaks",
        {"trees": "broadleaf", "season": "winter"},
    ),
    _Rule("trees", "green trees", {"trees": "broadleaf", "season": "summer"}),
    _Rule("trees", "birch trees|a birch tree|birches|white birches|a birch grove", {"trees": "birch"}),
    _Rule(
        "trees", "palm trees|a palm tree|palms|tropical palms|tropical trees|coconut palms", {"trees": "palm"}
    ),
    _Rule("trees", "trees|a tree|a forest|woods|the woods|a few trees", {"trees": "pine|broadleaf|birch"}),
    _Rule("ground", "a meadow|grass|a field|grassland|a grassy field|a pasture", {"ground": "meadow"}),
    _Rule(
        "ground",
        "a green meadow|wildflowers|flowers|a flower meadow|green grass|a meadow with flowers",
        {"ground": "meadow", **_GREEN},
    ),
    _Rule("ground", "a golden field|golden grass|a yellow meadow", {"ground": "meadow", "season": "autumn"}),
    _Rule("ground", "sand|sandy ground", {"ground": "sand"}),
    _Rule("ground", "a beach|a sandy beach|a sandy shore", {"ground": "sand", "water": "lake|sea"}),
    _Rule("ground", "a desert|a sandy plain", {"ground": "sand", "water": "none"}),
    _Rule("ground", "rocks|stones|boulders|rocky ground|stony ground", {"ground": "rocks"}),
    _Rule("ground", "a rocky shore", {"ground": "rocks", "water": "lake|sea"}),
    _Rule(
        "ground",
        "snow|a snowy field|snow covered ground|white snow|a field of snow|deep snow",
        {"ground": "snow"},
    ),
    _Rule("house", "no house|without a house", {"house": "none"}),
    _Rule(
        "house",
        "a house|a cottage|a cabin|a small house|a farmhouse|a lonely house|a little cottage|a hut",
        {"house": "house"},
    ),
    _Rule("boat", "no boat|without a boat", {"boat": "none"}),
    _Rule("boat", "a rowboat|a boat|a small boat|a rowing boat|a wooden boat", {"boat": "rowboat"}),
    _Rule("boat", "a sailboat|a boat|a sailing boat|a boat with sails|a yacht|a ship", {"boat": "sailboat"}),
    _Rule(
        "style",
        "a painting|an oil painting|a landscape|a landscape painting|"
        "a scene|a view|a picture|a painterly landscape",
    ),
    _Rule("style", "a seascape", {"water": "sea"}),
    _Rule("style", "a nature scene|nature|countryside|art"),
    _Rule(
        "style",
        "a plein air painting|a gouache painting|an oil sketch|"
        "a study|an artwork|a peaceful scene|a beautiful landscape",
    ),
)
# Words the sentence forms add around the phrases.
_GLUE = "of and with over near"

# How often an attribute is mentioned: (when there is something, when its value is "none").
_MENTION: dict[str, tuple[float, float]] = {
    "time": (0.82, 0.0),
    "weather": (0.62, 0.0),
    "season": (0.64, 0.0),
    "mountains": (0.88, 0.14),
    "water": (0.92, 0.05),
    "trees": (0.88, 0.14),
    "ground": (0.55, 0.0),
    "house": (0.95, 0.02),
    "boat": (0.95, 0.02),
}
_NOUNS = ("mountains", "water", "trees", "ground", "house", "boat")


def vocabulary() -> tuple[str, ...]:
    """Every word `caption` can produce, sorted."""
    words = set(_GLUE.split())
    for rule in _RULES:
        words.update(rule.phrases.replace("|", " ").split())
    return tuple(sorted(words))


def _say(slot: str, a: Attributes, rng: np.random.Generator) -> str:
    phrases = [p for rule in _RULES if rule.slot == slot and rule.holds(a) for p in rule.phrases.split("|")]
    return phrases[int(rng.integers(len(phrases)))]


def _bare(phrase: str) -> str:
    """The phrase without its article, as in a list of tags."""
    first, _, rest = phrase.partition(" ")
    return rest if first in ("a", "an", "the") and rest else phrase


def _negative(phrase: str) -> bool:
    return phrase.startswith(("no ", "without "))


def _join(nouns: list[str]) -> str:
    return nouns[0] if len(nouns) == 1 else ", ".join(nouns[:-1]) + " and " + nouns[-1]


def _tags(a: Attributes, chosen: list[str], rng: np.random.Generator) -> str:
    """Phrases in any order, with or without articles and commas: "sunset, pines, lake, oil painting"."""
    parts = [_say(name, a, rng) for name in chosen]
    if rng.random() < 0.4:
        parts.append(_say("style", a, rng))
    if rng.random() < 0.75:
        parts = [_bare(p) for p in parts]
    rng.shuffle(parts)
    return (" " if rng.random() < 0.15 else ", ").join(parts)


def _sentence(a: Attributes, chosen: list[str], rng: np.random.Generator) -> str:
    """One of several sentence forms around a leading noun."""
    said = [_say(name, a, rng) for name in chosen if name in _NOUNS]
    nouns, absent = [p for p in said if not _negative(p)], [p for p in said if _negative(p)]
    if not nouns:
        nouns = [_say("ground", a, rng)]
    rng.shuffle(nouns)
    head, others = nouns[0], nouns[1:]
    when = _say("at", a, rng) if "time" in chosen else ""
    during = _say("during", a, rng) if "season" in chosen else ""
    under = _say("under", a, rng) if "weather" in chosen else ""
    company = (("with " if rng.random() < 0.75 else "and ") + _join(others)) if others else ""
    form = int(rng.integers(5))
    if form == 0:
        parts = [_say("style", a, rng) + " of " + head, company, when, during, under]
    elif form == 1 and "time" in chosen:
        parts = [
            _say("time", a, rng),
            ("over " if rng.random() < 0.7 else "near ") + head,
            company,
            during,
            under,
        ]
    elif form == 2:
        parts = [during + "," if during else "", head, company, under, when]
    elif form == 3:
        parts = [head, when, company, during, under + ("," if under else ""), _bare(_say("style", a, rng))]
    else:
        parts = [_join(nouns), under, when, during]
    text = " ".join(p for p in parts if p)
    return ", ".join([text, *absent[:1]])


def _short(a: Attributes, chosen: list[str], rng: np.random.Generator) -> str:
    """Two or three things, as in a search box: "winter night", "a lake at sunset"."""
    nouns = [p for name in chosen if name in _NOUNS if not _negative(p := _say(name, a, rng))]
    rng.shuffle(nouns)
    head = nouns[0] if nouns else _say("ground", a, rng)
    form = int(rng.integers(5))
    if form == 0:
        return f"{_say('season', a, rng)} {_say('time', a, rng)}, {_bare(head)}"
    if form == 1:
        return f"{head} {_say('at', a, rng)}"
    if form == 2:
        return f"{head} {_say('during', a, rng)} {_say('under', a, rng)}"
    if form == 3 and len(nouns) > 1:
        return f"{_bare(nouns[0])} and {_bare(nouns[1])}, {_say('time', a, rng)}"
    return f"{_say('time', a, rng)}, {_bare(head)}, {_say('weather', a, rng)}"


def caption(attributes: Attributes, rng: np.random.Generator) -> str:
    """A caption of at most 28 words: partial, in varying order, and never false."""
    chosen = []
    for name, (some, none) in _MENTION.items():
        if rng.random() < (none if getattr(attributes, name) == "none" else some):
            chosen.append(name)
    chosen = chosen or ["time"]
    while True:
        kind = rng.random()
        make = _tags if kind < 0.38 else (_sentence if kind < 0.82 else _short)
        text = make(attributes, chosen, rng)
        if len(text.split()) <= MAX_WORDS:
            return text
        # Too long: leave one thing out and word it anew.
        chosen.pop(int(rng.integers(len(chosen))))
