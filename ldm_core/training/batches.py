"""What a diffusion model is trained on: latents, and what it is told of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ldm_core.conditioners import (
    Box,
    Given,
    Tokenizer,
    box_map,
    known_region,
    label_map,
    layout_tokens,
    masked_image,
    one_hot,
    without_hole,
)
from ldm_core.errors import ConfigError
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.spec import (
    BoxMapSpec,
    ClassSpec,
    ClipSpec,
    ConcatSpec,
    ConditionerSpec,
    KnownRegionSpec,
    LabelMapSpec,
    LayoutSpec,
    LowResolutionSpec,
    MaskedImageSpec,
    ModelSpec,
    TextSpec,
    concat_channels,
)
from ldm_core.training import data
from ldm_core.training.degrade import degrade
from ldm_core.training.encoded import encode
from ldm_core.training.focus import hole_weights, told_weights
from ldm_core.training.masks import random_mask, random_masks
from ldm_core.training.sources import Arrays, Source

# A conditioner's name in the settings of `dropout`.
NAMES: Mapping[type, str] = {
    TextSpec: "prompt",
    ClassSpec: "class",
    LayoutSpec: "boxes",
    LabelMapSpec: "label_map",
    BoxMapSpec: "boxes",
    KnownRegionSpec: "known_region",
    MaskedImageSpec: "masked_image",
    LowResolutionSpec: "low_res",
}


@dataclass(frozen=True, slots=True)
class Wording:
    """How captions vary.

    full: share of captions that say everything in plain words.  unknown: share of words replaced by [UNK],
    so that the model copes with words that it does not know.
    """

    full: float
    unknown: float


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """A source with its pictures and their latents (n, c, h, w); `share` of the batches come from it.

    The latents go on with their label maps where the model draws them.  known: (n, holes, c + 1, h, w), the
    `known_region` of each picture with some holes; None where holes are drawn anew at every step.
    class_weights: (256,), where errors are weighted (`ldm_core.training.focus`).
    """

    source: Source
    arrays: Arrays
    latents: Tensor
    share: float
    known: Tensor | None = None
    class_weights: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Latents and conditions; None where the model takes no such condition.

    Attributes:
        z: (b, c, h, w) float32.
        ids: token ids (b, n) or class ids (b,), for cross-attention.
        labels: (b, classes, H, W) one-hot, for a label map's convolution.
        concat: (b, k, h, w), everything else that is concatenated to x_t.
        told: (b, 1, h, w) bool, where the label map that goes on the latent is given, and not to be drawn.
        weight: (b, 1, h, w), how much each cell's error counts.
    """

    z: Tensor
    ids: Tensor | None = None
    labels: Tensor | None = None
    concat: Tensor | None = None
    told: Tensor | None = None
    weight: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same change to every part that is there."""

        def changed(part: Tensor | None) -> Tensor | None:
            return None if part is None else change(part)

        return Batch(
            change(self.z),
            changed(self.ids),
            changed(self.labels),
            changed(self.concat),
            changed(self.told),
            changed(self.weight),
        )


class Batches:
    """Draws batches.  A condition is left out of a sample with its own probability, `dropout`.

    Raises:
        ConfigError: dropout of a condition that the model lacks, or cannot do without.
    """

    def __init__(
        self,
        spec: ModelSpec,
        sets: Sequence[TrainingSet],
        tokenizer: Tokenizer | None,
        first_stage: FirstStage,
        dropout: Mapping[str, float],
        wording: Wording,
    ) -> None:
        self.spec, self.sets, self.tokenizer, self.first_stage = spec, sets, tokenizer, first_stage
        self.dropout, self.wording = dropout, wording
        droppable = {NAMES[type(one)] for one in spec.conditioners if _droppable(one)}
        if spec.label_bits is not None:
            droppable.add("label_map")
        wrong = sorted(set(dropout) - droppable)
        if wrong:
            known = ", ".join(sorted(droppable)) or "none"
            raise ConfigError(f"dropout names {wrong[0]!r}; this model can do without: {known}.")

    def draw(self, rng: np.random.Generator, count: int) -> Batch:
        shares = np.array([one.share for one in self.sets])
        chosen_set = self.sets[rng.choice(len(shares), p=shares / shares.sum())]
        chosen = rng.integers(0, len(chosen_set.source), count)
        z = chosen_set.latents[torch.from_numpy(chosen)].float()
        ids, labels, concats, known = None, None, [], None
        for one in self.spec.conditioners:
            keep = rng.random(count) >= self.dropout.get(NAMES[type(one)], 0.0)
            match one:
                case TextSpec():
                    ids = self._tokens(chosen_set.source, chosen, keep, rng)
                case ClassSpec():
                    ids = _class_ids(one, chosen_set.source, chosen, keep)
                case LayoutSpec():
                    ids = _layout(one, chosen_set.arrays, chosen, keep)
                case ClipSpec():
                    raise ConfigError("Models with CLIP's text encoder cannot be trained here.")
                case LabelMapSpec() if one.channels:
                    labels = one_hot(_labels(chosen_set.arrays, chosen), one.num_classes)
                case _:
                    channels = concat_channels(one, self.spec.first_stage.embed_dim)
                    part = z.new_zeros(count, channels, *z.shape[2:])
                    if keep.any():
                        size = (z.shape[2], z.shape[3])
                        part[torch.from_numpy(keep)] = self._concat(one, chosen_set, chosen[keep], size, rng)
                    concats.append(part)
                    if isinstance(one, KnownRegionSpec):
                        known = part[:, -1:] == 1.0
        concat = torch.cat(concats, dim=1) if concats else None
        told = self._told(z, rng) if self.spec.label_bits else None
        return Batch(z, ids, labels, concat, told, _weight(chosen_set, chosen, told, known))

    def _told(self, z: Tensor, rng: np.random.Generator) -> Tensor:
        """(b, 1, h, w) bool: of most samples nothing, of the others the whole label map or a part of it."""
        count, _, height, width = z.shape
        keep = rng.random(count) >= self.dropout.get("label_map", 0.0)
        parts = [
            random_mask(rng, height, width) if rng.random() < 1 / 3 else np.ones((height, width), np.uint8)
            for _ in range(count)
        ]
        return torch.from_numpy(np.stack(parts) * keep[:, None, None])[:, None] > 0

    def given(self, rng: np.random.Generator, count: int) -> list[Given]:
        """What the first pictures say, for samples to look at; as a person would give it."""
        one = self.sets[0]
        side = one.source.size
        small = side // self.spec.first_stage.downsampling
        given = []
        for i in range(min(count, len(one.source))):
            image = one.arrays.images[i]
            low_res = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            given.append(
                Given(
                    prompt=one.source.caption(i, rng, full=True),
                    class_id=one.source.class_id(i),
                    boxes=_boxes(one.arrays.boxes[i]),
                    label_map=torch.from_numpy(one.arrays.labels[i].copy()),
                    image=data.to_tensor(image[None])[0],
                    mask=random_masks(1, side, rng)[0],
                    low_res=data.to_tensor(np.asarray(low_res, np.uint8)[None])[0],
                )
            )
        return given

    def _tokens(
        self, source: Source, chosen: NDArray[np.int64], keep: NDArray[np.bool_], rng: np.random.Generator
    ) -> Tensor:
        full = rng.random(len(chosen)) < self.wording.full
        captions = [
            source.caption(int(i), rng, bool(f)) if k else ""
            for i, f, k in zip(chosen, full, keep, strict=True)
        ]
        assert self.tokenizer is not None
        tokens = self.tokenizer(captions)
        unknown = torch.from_numpy(rng.random(tokens.shape) < self.wording.unknown) & (tokens > 3)
        return tokens.masked_fill(unknown, 1)

    def _concat(
        self,
        one: ConcatSpec,
        chosen_set: TrainingSet,
        chosen: NDArray[np.int64],
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> Tensor:
        """(b, k, h, w) of one conditioner without weights."""
        arrays, known = chosen_set.arrays, chosen_set.known
        side = arrays.images.shape[1]
        match one:
            case LabelMapSpec():
                labels = _labels(arrays, chosen)
                return label_map(_partly(labels, rng), one.num_classes, size)
            case BoxMapSpec():
                return box_map(torch.from_numpy(arrays.boxes[chosen]), len(one.classes), size)
            case KnownRegionSpec() if known is not None:
                holes = rng.integers(0, known.shape[1], len(chosen))
                return known[torch.from_numpy(chosen), torch.from_numpy(holes)].float()
            case KnownRegionSpec():
                masks = random_masks(len(chosen), side, rng)
                closed = without_hole(data.to_tensor(arrays.images[chosen]), masks)
                return known_region(encode(self.first_stage, closed), masks)
            case MaskedImageSpec():
                masks = random_masks(len(chosen), side, rng)
                holed = masked_image(data.to_tensor(arrays.images[chosen]), masks)
                return torch.cat([encode(self.first_stage, holed), F.interpolate(2 * masks - 1, size)], dim=1)
            case LowResolutionSpec():
                small = [degrade(arrays.images[i], side // size[0], rng) for i in chosen]
                return data.to_tensor(np.stack(small))


def _weight(
    chosen_set: TrainingSet, chosen: NDArray[np.int64], told: Tensor | None, known: Tensor | None
) -> Tensor | None:
    """(b, 1, h, w), what each cell's error counts; None where all count the same."""
    if chosen_set.class_weights is None:
        return None
    weights = [] if known is None else [hole_weights(known)]
    if told is not None:
        weights.append(told_weights(_labels(chosen_set.arrays, chosen), chosen_set.class_weights, told))
    return torch.stack(weights).prod(dim=0) if weights else None


def _droppable(one: ConditionerSpec) -> bool:
    match one:
        case ClassSpec():
            return one.no_class is not None
        case LabelMapSpec():
            return not one.channels
        case MaskedImageSpec() | LowResolutionSpec():
            return False
    return True


def _class_ids(one: ClassSpec, source: Source, chosen: NDArray[np.int64], keep: NDArray[np.bool_]) -> Tensor:
    ids = [source.class_id(int(i)) if k else one.no_class for i, k in zip(chosen, keep, strict=True)]
    return torch.tensor(ids)


def _layout(one: LayoutSpec, arrays: Arrays, chosen: NDArray[np.int64], keep: NDArray[np.bool_]) -> Tensor:
    rows = zip(arrays.boxes[chosen], keep, strict=True)
    return torch.tensor([layout_tokens(_boxes(row) if kept else (), one) for row, kept in rows])


def _boxes(row: NDArray[np.float32]) -> tuple[Box, ...]:
    """Of a row of `Arrays.boxes`."""
    return tuple(Box(int(box[0]), *map(float, box[1:])) for box in row if box[0] >= 0)


def _labels(arrays: Arrays, chosen: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(arrays.labels[chosen])


def _partly(labels: Tensor, rng: np.random.Generator) -> Tensor:
    """Of a third of the label maps a part alone, as a person paints it: random thick strokes and shapes."""
    side = labels.shape[-1]
    parts = [
        torch.from_numpy(random_mask(rng, side, side)) > 0 if rng.random() < 1 / 3 else torch.tensor(True)
        for _ in labels
    ]
    return torch.stack(
        [row.where(part, torch.tensor(255, dtype=row.dtype)) for row, part in zip(labels, parts, strict=True)]
    )
