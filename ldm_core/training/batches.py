"""What a diffusion model is trained on: latents, and what is given with each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldm_core.conditioners import Inputs
from ldm_core.conditioners.layout import boxes_of
from ldm_core.conditioners.tokenizer import Tokenizer
from ldm_core.errors import ConfigError
from ldm_core.model_spec import ModelSpec
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.training import data
from ldm_core.training.degrade import degrade
from ldm_core.training.encoded import encode
from ldm_core.training.focus import hole_weights, label_weights
from ldm_core.training.masks import random_mask, random_masks
from ldm_core.training.sources import Arrays, Source


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
    """Latents and what is given with them.

    Attributes:
        z: (b, c, h, w) float32.
        prepared: (b, ...) of each conditioner, what its `enter` takes.
        drawn: (b, c, h, w), 0 where the latent is given, and not to be drawn; None: nowhere.
        weight: (b, 1, h, w), how much each cell's error counts.
    """

    z: Tensor
    prepared: tuple[Tensor, ...] = ()
    drawn: Tensor | None = None
    weight: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same change to every part that is there."""
        drawn, weight = (None if part is None else change(part) for part in (self.drawn, self.weight))
        return Batch(change(self.z), tuple(map(change, self.prepared)), drawn, weight)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Examples (`conditioners.base.Examples`) from a set, by their indices in it."""

    batches: Batches
    set: TrainingSet
    chosen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: NDArray[np.bool_]) -> Drawn:
        return replace(self, chosen=self.chosen[rows])

    @property
    def spec(self) -> ModelSpec:
        return self.batches.spec

    @property
    def z(self) -> Tensor:
        return self.set.latents[torch.from_numpy(self.chosen)].float()

    @property
    def class_ids(self) -> list[int]:
        return [self.set.source.class_id(int(i)) for i in self.chosen]

    @property
    def labels(self) -> Tensor:
        return torch.from_numpy(self.set.arrays.labels[self.chosen])

    @property
    def boxes(self) -> Tensor:
        return torch.from_numpy(self.set.arrays.boxes[self.chosen])

    @property
    def images(self) -> Tensor:
        """(b, 3, H, W) in [-1, 1]."""
        return data.to_tensor(self.set.arrays.images[self.chosen])

    def tokens(self, keep: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
        wording, tokenizer = self.batches.wording, self.batches.tokenizer
        full = rng.random(len(self)) < wording.full
        captions = [
            self.set.source.caption(int(i), rng, bool(f)) if kept else ""
            for i, f, kept in zip(self.chosen, full, keep, strict=True)
        ]
        assert tokenizer is not None
        tokens = tokenizer(captions)
        unknown = torch.from_numpy(rng.random(tokens.shape) < wording.unknown) & (tokens > 3)
        return tokens.masked_fill(unknown, 1)

    def parts(self, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
        parts = [
            random_mask(rng, *size) if rng.random() < 1 / 3 else np.ones(size, np.uint8)
            for _ in range(len(self))
        ]
        return torch.from_numpy(np.stack(parts)) > 0

    def holed(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        return self.images, random_masks(len(self), self.set.source.size, rng)

    def known_regions(self, rng: np.random.Generator) -> Tensor | None:
        known = self.set.known
        if known is None:
            return None
        holes = rng.integers(0, known.shape[1], len(self))
        return known[torch.from_numpy(self.chosen), torch.from_numpy(holes)].float()

    def low_res(self, height: int, rng: np.random.Generator) -> Tensor:
        images = self.set.arrays.images
        small = [degrade(images[i], images.shape[1] // height, rng) for i in self.chosen]
        return data.to_tensor(np.stack(small))

    def encode(self, images: Tensor) -> Tensor:
        return encode(self.batches.first_stage, images)

    def hole_weights(self, known: Tensor) -> Tensor:
        return hole_weights(known)

    def class_weights(self, said: Tensor) -> Tensor:
        assert self.set.class_weights is not None
        return label_weights(self.labels, self.set.class_weights, said)


class Batches:
    """Draws batches.  What a conditioner takes is left out of a sample with its own probability, `dropout`.

    Raises:
        ConfigError: dropout of what the model does not take, or cannot do without.
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
        droppable = {conditioner.takes for conditioner in spec.conditioners if conditioner.droppable}
        wrong = sorted(set(dropout) - droppable)
        if wrong:
            known = ", ".join(sorted(droppable)) or "none"
            raise ConfigError(f"dropout names {wrong[0]!r}; this model can do without: {known}.")

    def draw(self, rng: np.random.Generator, count: int) -> Batch:
        shares = np.array([each.share for each in self.sets])
        chosen_set = self.sets[rng.choice(len(shares), p=shares / shares.sum())]
        examples = Drawn(self, chosen_set, rng.integers(0, len(chosen_set.source), count))
        z = examples.z
        prepared, drawn, weights = [], None, []
        for conditioner in self.spec.conditioners:
            keep = rng.random(count) >= self.dropout.get(conditioner.takes, 0.0)
            part = conditioner.draw(examples, keep, (z.shape[2], z.shape[3]), rng)
            prepared.append(part)
            drawn = conditioner.drawn(part, z.shape[1]) if drawn is None else drawn
            if chosen_set.class_weights is not None:
                weights.append(conditioner.focus(part, examples))
        counting = [weight for weight in weights if weight is not None]
        weight = torch.stack(counting).prod(dim=0) if counting else None
        return Batch(z, tuple(prepared), drawn, weight)

    def inputs(self, rng: np.random.Generator, count: int) -> list[Inputs]:
        """What the first pictures say, for samples to look at; as a person would give it."""
        source, arrays = self.sets[0].source, self.sets[0].arrays
        small = source.size // self.spec.first_stage.downsampling
        inputs = []
        for i in range(min(count, len(source))):
            image = arrays.images[i]
            low_res = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            inputs.append(
                Inputs(
                    prompt=source.caption(i, rng, full=True),
                    class_id=source.class_id(i),
                    boxes=boxes_of(arrays.boxes[i]),
                    label_map=torch.from_numpy(arrays.labels[i].copy()),
                    image=data.to_tensor(image[None])[0],
                    mask=random_masks(1, source.size, rng)[0],
                    low_res=data.to_tensor(np.asarray(low_res, np.uint8)[None])[0],
                )
            )
        return inputs
