"""What a task is to the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ldm_core.conditioners import Condition
from ldm_core.guidance import Guidance
from ldm_core.model import LatentDiffusion
from ldm_core.models import ModelInfo
from ldm_core.request import TextToImage
from ldm_core.samplers import Sampling


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """What the network is given beside x_t and t.

    Attributes:
        condition: for a batch of one, what guidance goes towards.
        unconditional: what it goes away from; None: no guidance, the network is asked once.
        guidance: how far, and in which steps.
    """

    condition: Condition
    unconditional: Condition | None
    guidance: Guidance

    def at(self, step: int, num_steps: int) -> Conditioning:
        """Without the unconditional part where guidance does not apply."""
        return self if self.guidance.applies(step, num_steps) else replace(self, unconditional=None)


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """One picture ready to be sampled."""

    sampling: Sampling  # of latents (1, c, h, w)
    num_steps: int


class Task(Protocol):
    """Turns requests into sampling coroutines and latents into pixels.  Has no state."""

    def check(self, request: TextToImage, info: ModelInfo) -> None:
        """Raises RequestError where the request does not suit the model; touches no weights."""

    def condition(self, request: TextToImage, model: LatentDiffusion) -> Conditioning:
        """Made once a job, for all its pictures."""

    def start(self, request: TextToImage, model: LatentDiffusion) -> Start:
        """Begins the one picture of a request of batch size 1."""

    def finish(self, z: Tensor, request: TextToImage, model: LatentDiffusion) -> NDArray[np.uint8]:
        """The finished latent (1, c, h, w) -> pixels (H, W, 3)."""
