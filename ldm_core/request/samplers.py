"""The samplers and spacings that a request can name: one row each.  Imports no torch.

A row's name is that of its function in `ldm_core.diffusion.samplers`.  The page, the rules of requests, the
settings inside pictures and the tests follow from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ldm_core.spec import Spacing


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """What is known of a sampler beside its mathematics.

    Attributes:
        title: for people.
        a1111: its names in the settings that AUTOMATIC1111's and other programs write, the one that is
            written first.
        order: of convergence, where there is no noise, or of the distribution where there is; 0: for networks
            that were distilled to few steps alone, whose predictions it takes as they are.
        uses_eta: whether eta says how much noise it draws; the others draw a fixed amount, or none.
        adds_noise: whether it draws noise, at eta = 0 too.
        spacing: of the timesteps, that suits it best; None: the model's.
        calls: of the network for each step.
    """

    name: str
    title: str
    a1111: tuple[str, ...]
    order: int
    uses_eta: bool = False
    adds_noise: bool = False
    spacing: Spacing | None = None
    calls: int = 1


@dataclass(frozen=True, slots=True)
class SpacingSpec:
    """How the timesteps lie (`ldm_core.diffusion.schedule.timesteps`); attributes as of `SamplerSpec`."""

    name: Spacing
    title: str
    a1111: tuple[str, ...]


# Karras's spacing halves the error of samplers of higher order.
SAMPLERS: Mapping[str, SamplerSpec] = {
    spec.name: spec
    for spec in (
        SamplerSpec("ddim", "DDIM", ("DDIM",), order=1, uses_eta=True),
        SamplerSpec("ddpm", "DDPM", ("DDPM",), order=1, adds_noise=True),
        SamplerSpec("plms", "PLMS", ("PLMS",), order=2),
        SamplerSpec("euler", "Euler", ("Euler",), order=1),
        SamplerSpec("euler_ancestral", "Euler a", ("Euler a",), order=1, adds_noise=True),
        SamplerSpec("heun", "Heun", ("Heun",), order=2, spacing="karras", calls=2),
        SamplerSpec("dpmpp_2m", "DPM++ 2M", ("DPM++ 2M",), order=2, spacing="karras"),
        SamplerSpec(
            "dpmpp_2m_sde", "DPM++ 2M SDE", ("DPM++ 2M SDE",), order=2, adds_noise=True, spacing="karras"
        ),
        SamplerSpec("lcm", "LCM", ("LCM",), order=0, adds_noise=True, spacing="lcm"),
        SamplerSpec("tcd", "TCD", ("TCD",), order=0, uses_eta=True, spacing="lcm"),
        SamplerSpec("unipc", "UniPC", ("UniPC",), order=3, spacing="karras"),
    )
}

SPACINGS: Mapping[str, SpacingSpec] = {
    spec.name: spec
    for spec in (
        SpacingSpec("trailing", "Evenly", ("SGM Uniform",)),
        SpacingSpec("uniform", "Evenly, as published", ("DDIM",)),
        SpacingSpec("linspace", "Evenly, to the very last", ("Uniform", "Normal")),
        SpacingSpec("quadratic", "Finer towards the end", ("Quadratic",)),
        SpacingSpec("lcm", "As models for few steps learnt (LCM)", ("LCM",)),
        SpacingSpec("karras", "Finest in the details (Karras)", ("Karras",)),
    )
}
