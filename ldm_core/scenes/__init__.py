"""Procedural painterly landscapes: attributes, pictures with label maps and boxes, and captions."""

from .attributes import ATTRIBUTES, CLASSES, Attributes, Box, Scene, sample_attributes
from .captions import MAX_WORDS, caption, vocabulary
from .description import PHRASES, describe
from .render import render

__all__ = [
    "ATTRIBUTES",
    "CLASSES",
    "MAX_WORDS",
    "PHRASES",
    "Attributes",
    "Box",
    "Scene",
    "caption",
    "describe",
    "render",
    "sample_attributes",
    "vocabulary",
]
