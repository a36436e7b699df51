"""From what a person gives (prompt, class, boxes, label map, picture and mask) to what the UNet takes."""

from ldm_core.conditioners.clip_tokenizer import ClipTokenizer, has_vocabulary
from ldm_core.conditioners.condition import Condition
from ldm_core.conditioners.given import Box, Given
from ldm_core.conditioners.hint import Hint, Hints, joined, residuals
from ldm_core.conditioners.layout import layout_tokens
from ldm_core.conditioners.spatial import (
    box_map,
    box_tensor,
    kept_bits,
    known_region,
    label_bits,
    label_map,
    labels_of,
    masked_image,
    noised,
    one_hot,
    with_bits,
    without_hole,
)
from ldm_core.conditioners.tokenizer import Tokenizer, bert_vocabulary

__all__ = [
    "Box",
    "ClipTokenizer",
    "Condition",
    "Given",
    "Hint",
    "Hints",
    "Tokenizer",
    "bert_vocabulary",
    "box_map",
    "box_tensor",
    "has_vocabulary",
    "joined",
    "known_region",
    "kept_bits",
    "label_bits",
    "label_map",
    "labels_of",
    "layout_tokens",
    "masked_image",
    "noised",
    "one_hot",
    "residuals",
    "with_bits",
    "without_hole",
]
