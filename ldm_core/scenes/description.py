"""Plain descriptions that name everything that can be told from a picture at a glance."""

from __future__ import annotations

from .attributes import Attributes

# The attributes named, in this order, with words that the captions use too.
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


def describe(attributes: Attributes) -> str:
    """Such as "snowy mountains, a lake, pine trees, at dawn, in spring"."""
    phrases = (words[getattr(attributes, name)] for name, words in PHRASES.items())
    return ", ".join(phrase for phrase in phrases if phrase)
