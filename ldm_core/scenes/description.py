"""Plain descriptions that name everything that can be told from a picture at a glance."""

from __future__ import annotations

from .attributes import Attributes

# The attributes that the share of rightly shown ones counts, with words that the captions use too.
PHRASES: dict[str, dict[str, str]] = {
    "mountains": {"none": "without mountains", "rocky": "rocky mountains", "snowy": "snowy mountains"},
    "water": {"none": "", "lake": "a lake", "river": "a river", "sea": "the sea"},
    "trees": {
        "none": "no trees",
        "pine": "pine trees",
        "broadleaf": "oak trees",
        "birch": "birch trees",
        "palm": "palm trees",
    },
    "time": {"dawn": "at dawn", "day": "at noon", "sunset": "at sunset", "night": "at night"},
    "season": {"spring": "in spring", "summer": "in summer", "autumn": "in autumn", "winter": "in winter"},
}

# The others.
_MORE: dict[str, dict[str, str]] = {
    "look": {"painting": "an oil painting", "poster": ""},  # what names no look is a poster
    "ground": {"meadow": "a meadow", "sand": "sand", "rocks": "rocks", "snow": "snow"},
    "building": {
        "none": "",
        "house": "a house",
        "barn": "a barn",
        "chapel": "a chapel",
        "lighthouse": "a lighthouse",
        "windmill": "a windmill",
    },
    "bridge": {"none": "", "bridge": "a bridge"},
    "birds": {"none": "", "birds": "birds"},
    "disc": {"none": "", "sun": "the sun", "moon": "a full moon", "crescent": "a crescent moon"},
    "weather": {"clear": "clear sky", "cloudy": "clouds", "foggy": "fog", "stormy": "a storm"},
}

# What stands before the nouns of counted things.
_TREES = {"few": "a few", "many": "many"}
_BOATS = {"one": "a", "two": "two", "three": "three"}


def describe(attributes: Attributes) -> str:
    """Such as "snowy mountains, a lake, a few pine trees, a meadow, at dawn, in spring, fog"."""
    words_of = {
        name: words[getattr(attributes, name)] for name, words in (*PHRASES.items(), *_MORE.items())
    } | {
        "trees": _trees(attributes),
        "boat": _boats(attributes),
    }
    order = ("look", "mountains", "water", "trees", "ground", "building", "boat", "bridge", "birds", "disc")
    return ", ".join(words_of[name] for name in (*order, "time", "season", "weather") if words_of[name])


def description_words() -> frozenset[str]:
    """Every word that a description may have."""
    phrases = [phrase for table in (PHRASES, _MORE) for words in table.values() for phrase in words.values()]
    counts = [
        *_TREES.values(),
        *_BOATS.values(),
        "one",
        "tree",
        "rowboat",
        "rowboats",
        "sailboat",
        "sailboats",
    ]
    return frozenset(word for phrase in (*phrases, *counts) for word in phrase.split())


def _trees(attributes: Attributes) -> str:
    """A painting's trees are not counted."""
    trees = PHRASES["trees"][attributes.trees]
    if attributes.trees == "none" or attributes.look == "painting":
        return trees
    if attributes.tree_count == "one":
        return f"one {trees.removesuffix('s')}"
    return f"{_TREES[attributes.tree_count]} {trees}"


def _boats(attributes: Attributes) -> str:
    if attributes.boat == "none":
        return ""
    return f"{_BOATS[attributes.boat_count]} {attributes.boat}{'' if attributes.boat_count == 'one' else 's'}"
