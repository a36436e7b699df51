"""From what a person gives (prompt, class, boxes, label map, picture and mask) to what the UNet takes.

A new conditioner is a file here and a row of `CONDITIONERS`; a script appends its own.  Imports no torch.
"""

from ldm_core.conditioners.base import Conditioner
from ldm_core.conditioners.box_map import BoxMapSpec
from ldm_core.conditioners.classes import ClassSpec
from ldm_core.conditioners.clip import ClipSpec
from ldm_core.conditioners.cond import Cond
from ldm_core.conditioners.inputs import Box, Inputs
from ldm_core.conditioners.known_region import KnownRegionSpec
from ldm_core.conditioners.label_bits import LabelBitsSpec
from ldm_core.conditioners.label_map import LabelMapSpec
from ldm_core.conditioners.layout import LayoutSpec
from ldm_core.conditioners.low_resolution import LowResolutionSpec
from ldm_core.conditioners.masked_image import MaskedImageSpec
from ldm_core.conditioners.text import TextSpec

CONDITIONERS: list[type[Conditioner]] = [
    TextSpec,  # before layouts, whose tensors are the same
    ClipSpec,
    ClassSpec,
    LayoutSpec,
    LabelMapSpec,
    LowResolutionSpec,
    MaskedImageSpec,
    KnownRegionSpec,
    BoxMapSpec,
    LabelBitsSpec,
]

__all__ = [
    "CONDITIONERS",
    "Box",
    "BoxMapSpec",
    "ClassSpec",
    "ClipSpec",
    "Cond",
    "Conditioner",
    "Inputs",
    "KnownRegionSpec",
    "LabelBitsSpec",
    "LabelMapSpec",
    "LayoutSpec",
    "LowResolutionSpec",
    "MaskedImageSpec",
    "TextSpec",
]
