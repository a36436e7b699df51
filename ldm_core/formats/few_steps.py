"""Models that were distilled to few steps: told by what they are called, and by their UNet.

They look like what they were made of, but draw well only with their own steps, spacing and guidance.
Sources: their model cards (SDXL-Turbo, SDXL-Lightning, Hyper-SD, LCM, TCD, DMD2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ldm_core.spec import Defaults, Spacing

# What the makers of a file wrote into it that may name it.
_NAMING = ("modelspec.title", "ss_output_name", "ss_training_comment")
_STEPS = re.compile(r"(\d{1,2})[-_ ]?steps?")
MOST = 16  # steps; a larger number in a name means something else
UNREAD = "There is no guidance then, so what is to be left out is not read."


@dataclass(frozen=True, slots=True)
class FewSteps:
    """A kind of distilled models.

    Attributes:
        title: its name.
        steps: where the file's name does not say.
        guidance_scale: 1 is none.
        size: pixels a side that it was trained at; 0: those of what it was made of.
    """

    title: str
    pattern: str
    steps: int
    sampler: str
    spacing: Spacing
    guidance_scale: float = 1.0
    eta: float = 0.0
    size: int = 0

    def suit(self, defaults: Defaults, text: str) -> Defaults:
        """How it is asked for a picture."""
        said = _STEPS.search(text)
        steps = int(said[1]) if said and 0 < int(said[1]) <= MOST else self.steps
        guided = self.guidance_scale > 1
        return replace(
            defaults,
            width=self.size or defaults.width,
            height=self.size or defaults.height,
            steps=steps,
            sampler=self.sampler,
            spacing=self.spacing,
            guidance_scale=self.guidance_scale,
            eta=self.eta,
            reason=f"{self.title}: made for {steps} step{'s'[: steps - 1]}."
            + ("" if guided else f" {UNREAD}"),
        )


# The first that fits counts.
_KINDS: tuple[FewSteps, ...] = (
    FewSteps("Hyper-SD with guidance", r"hyper.*cfg", 8, "ddim", "trailing", guidance_scale=5.0),
    FewSteps("Hyper-SD for one step", r"hyper[-_ ]?sd.*\b1[-_ ]?step", 1, "tcd", "lcm", eta=1.0),
    FewSteps("Hyper-SD", r"hyper[-_ ]?(sd|sdxl|\d)", 8, "ddim", "trailing"),
    FewSteps("Lightning", r"lightning", 4, "euler", "trailing"),
    FewSteps("SD-Turbo", r"^sd[-_ ]?(xl)?[-_ ]turbo", 4, "euler_ancestral", "trailing", size=512),
    FewSteps("Turbo", r"turbo", 6, "dpmpp_2m_sde", "karras", guidance_scale=2.0),
    FewSteps("DMD2", r"dmd2?", 4, "lcm", "trailing"),
    FewSteps("TCD", r"tcd", 4, "tcd", "lcm", eta=0.3),
    FewSteps("LCM", r"lcm", 6, "lcm", "lcm", guidance_scale=1.5),
)
_GUIDES_ITSELF = FewSteps("LCM that guides itself", "", 4, "lcm", "lcm", guidance_scale=8.0)


def few_steps(name: str, metadata: Mapping[str, str], guides_itself: bool = False) -> FewSteps | None:
    """The kind of a file; None where it is none of these.

    Args:
        name: the file's, without its ending.
        metadata: what its maker wrote into it.
        guides_itself: as the network of a whole model may.
    """
    if guides_itself:
        return _GUIDES_ITSELF
    text = naming(name, metadata)
    return next((kind for kind in _KINDS if re.search(rf"(?<![a-z])(?:{kind.pattern})(?![a-z])", text)), None)


def naming(name: str, metadata: Mapping[str, str]) -> str:
    """All that may name a file, in small letters, the file's own name first."""
    text = " ".join([name, *(metadata.get(key, "")[:200] for key in _NAMING)])
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()  # "lightningDPM" are two words


def suited(name: str, metadata: Mapping[str, str], guides_itself: bool, defaults: Defaults) -> Defaults:
    """How a model is asked for a picture, where it is one for few steps; else as it is."""
    kind = few_steps(name, metadata, guides_itself)
    if kind is None:
        return defaults
    few = kind.suit(defaults, naming(name, metadata))
    return replace(few, reason=f"{few.reason} {UNREAD}") if guides_itself else few
