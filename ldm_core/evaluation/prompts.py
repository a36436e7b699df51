"""Prompts that name attributes plainly, so that a judge can say whether a picture shows them."""

from __future__ import annotations

from ldm_core.scenes import Attributes

# The attributes that the evaluation counts, with words that the captions use too.
PHRASES: dict[str, dict[str, str]] = {
    "time": {"dawn": "at dawn", "day": "at noon", "sunset": "at sunset", "night": "at night"},
    "season": {"spring": "in spring", "summer": "in summer", "autumn": "in autumn", "winter": "in winter"},
    "water": {"none": "", "lake": "a lake", "river": "a river", "sea": "the sea"},
    "mountains": {"none": "without mountains", "rocky": "rocky mountains", "snowy": "snowy mountains"},
    "trees": {
        "none": "no trees",
        "pine": "pine trees",
        "broadleaf": "oak trees",
        "birch": "birch trees",
        "palm": "palm trees",
    },
}


def prompt(attributes: Attributes) -> str:
    """All counted attributes in one prompt, such as "a lake, pine trees, at dawn, in spring"."""
    order = ("mountains", "water", "trees", "time", "season")
    phrases = (PHRASES[name][getattr(attributes, name)] for name in order)
    return ", ".join(phrase for phrase in phrases if phrase)
