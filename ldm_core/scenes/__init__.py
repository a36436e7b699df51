"""Procedural painterly landscapes: attributes, pictures with label maps and boxes, and captions."""

from .attributes import ATTRIBUTES, CLASSES, Attributes, Box, Scene, sample_attributes
from .captions import MAX_WORDS, caption, vocabulary
from .render import render

__all__ = [
    "ATTRIBUTES",
    "CLASSES",
    "MAX_WORDS",
    "Attributes",
    "Box",
    "Scene",
    "caption",
    "render",
    "sample_attributes",
    "vocabulary",
]
