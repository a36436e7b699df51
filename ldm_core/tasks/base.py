"""What a task is to the engine."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from ldm_core.conditioners import Cond
from ldm_core.conditioners.hint import Hints
from ldm_core.diffusion.guidance import Guidance
from ldm_core.diffusion.samplers import Region, Sampling
from ldm_core.library.models import ModelInfo
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import Request
from ldm_core.request.raster import Pixels
from ldm_core.spec import TaskName

Finishing = Generator[float, None, Pixels]  # yields the share that is done after each tile


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """What the network is given beside x_t and t.

    Attributes:
        cond: for a batch of one, what guidance goes towards.
        uncond: what it goes away from; None: no guidance, the network is asked once.
        guidance: how far, and in which steps.
        hints: to the model's controls, for a batch of one; both sides of guidance get them.
        weight: how much `cond` counts beside `also`.
        also: further conditions that the network is asked for, each with its weight.
        rewording: gives another `cond`, `uncond`, `weight` and `also` where the prompt changes with the step.
        earlier: steps of the pass before this one; None in the first.
    """

    cond: Cond
    uncond: Cond | None
    guidance: Guidance
    hints: Hints = ()
    weight: float = 1.0
    also: tuple[tuple[Cond, float], ...] = ()
    rewording: Rewording | None = None
    earlier: int | None = None

    @property
    def conds(self) -> tuple[Cond, ...]:
        return self.cond, *(cond for cond, _ in self.also)

    @property
    def weights(self) -> tuple[float, ...]:
        return self.weight, *(weight for _, weight in self.also)

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for pictures that can share a network call."""
        return self.cond.shape, *(hint.shape for hint in self.hints)

    def at(self, step: int, num_steps: int, region: Region | None = None) -> Conditioning:
        """Without what does not apply in a step, and for a tile if asked for one."""
        conditioning = self if self.rewording is None else self.rewording(self, step, num_steps)
        conditioning = conditioning if region is None else conditioning._of(region)
        if self.hints:
            hints = tuple(hint for hint in conditioning.hints if hint.applies(step, num_steps))
            conditioning = replace(conditioning, hints=hints)
        if self.guidance.applies(step, num_steps):
            return conditioning
        if sum(conditioning.weights) == 1:
            return replace(conditioning, uncond=None)
        return replace(conditioning, guidance=replace(self.guidance, scale=1.0))

    def _of(self, region: Region) -> Conditioning:
        uncond = None if self.uncond is None else self.uncond.tile(region)
        also = tuple((cond.tile(region), weight) for cond, weight in self.also)
        hints = tuple(hint.tile(region) for hint in self.hints)
        return replace(self, cond=self.cond.tile(region), uncond=uncond, also=also, hints=hints)


Rewording = Callable[[Conditioning, int, int], Conditioning]


class StepConditioning(Protocol):
    """What the network is given beside x_t and t, step by step."""

    def at(self, step: int, num_steps: int, region: Region | None = None) -> Conditioning:
        """In a step, for a tile if asked for one."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A picture's state before step `step` (0-based); `step` = num_steps is the finished latent.

    x: (1, c, h, w) float16 on the CPU.
    t: the timestep, -1 for the finished latent.
    pred_x0: like x, x_0 as predicted in the step before, the finished latent itself at last; None before
        the first step.
    """

    step: int
    t: float
    x: Tensor
    pred_x0: Tensor | None

    @property
    def seen(self) -> Tensor:
        """(1, c, h, w), the latent that shows it."""
        return self.x if self.pred_x0 is None else self.pred_x0


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """One picture ready to be sampled."""

    sampling: Sampling  # of latents (1, c, h, w)
    num_steps: int
    later_steps: int = 0  # of what follows it (`Work.then`)


class Work(Protocol):
    """What a request's pictures share: the condition, and whatever was computed from its inputs."""

    @property
    def conditioning(self) -> StepConditioning:
        """For all pictures."""

    @property
    def shown(self) -> Region:
        """The part of the latent that the picture shows."""

    def start(self, request: Request, moment: Moment | None = None) -> Start:
        """Begins the one picture of a request of batch size 1, or goes on with it from a moment."""

    def finish(self, z: Tensor) -> Finishing:
        """The finished latent (1, c, h, w) -> pixels (H, W, 3), or (H, W, 4) with transparency."""

    def then(self, picture: Pixels) -> Work | None:
        """What goes on from the finished pixels; None: they are the picture."""


R = TypeVar("R", bound=Request)


def suits(request: Request, info: ModelInfo) -> None:
    """The check of a task that has nothing to check."""


@dataclass(frozen=True, slots=True)
class Task(Generic[R]):
    """A kind of request, and what the engine does for it.

    Attributes:
        request: the kind.
        capability: what a model has to be able to do (`ModelSpec.tasks`).
        needs: the same for a person, as the end of "model has to be ...".
        prepare: reads a request's inputs, once for all its pictures.
        check: raises RequestError where a request does not suit a model's description.
    """

    request: type[R]
    capability: TaskName
    needs: str
    prepare: Callable[[R, LatentDiffusion, ModelInfo], Work]
    check: Callable[[R, ModelInfo], None] = suits
