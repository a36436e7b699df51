"""Procedural painterly landscapes: attributes, pictures with label maps and boxes, and captions."""

from .attributes import (
    ATTRIBUTES,
    BOX_CLASSES,
    CLASSES,
    COARSE_CLASSES,
    Attributes,
    Box,
    Scene,
    sample_attributes,
)
from .captions import MAX_WORDS, caption, vocabulary
from .description import PHRASES, describe
from .render import Stage, coarse, render

__all__ = [
    "ATTRIBUTES",
    "BOX_CLASSES",
    "CLASSES",
    "COARSE_CLASSES",
    "MAX_WORDS",
    "PHRASES",
    "Attributes",
    "Box",
    "Scene",
    "Stage",
    "caption",
    "coarse",
    "describe",
    "render",
    "sample_attributes",
    "vocabulary",
]
