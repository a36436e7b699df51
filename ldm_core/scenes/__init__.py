"""Procedural landscapes, painterly or as posters: attributes, pictures, label maps, boxes and captions."""

from .attributes import (
    ATTRIBUTES,
    BOX_CLASSES,
    BUILDINGS,
    CLASSES,
    KINDS,
    Attributes,
    Box,
    Scene,
)
from .captions import MAX_TOKENS, MAX_WORDS, caption, vocabulary
from .description import PHRASES, describe
from .render import Part, coarse, render
from .sampler import sample_attributes

__all__ = [
    "ATTRIBUTES",
    "BOX_CLASSES",
    "BUILDINGS",
    "CLASSES",
    "KINDS",
    "MAX_TOKENS",
    "MAX_WORDS",
    "PHRASES",
    "Attributes",
    "Box",
    "Scene",
    "Part",
    "caption",
    "coarse",
    "describe",
    "render",
    "sample_attributes",
    "vocabulary",
]
