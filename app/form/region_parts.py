"""Part of a form with a canvas: a prompt for each class that is painted, or box that is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from app.prompts.dynamic import escaped
from app.studio.jobs import Studio
from app.widgets.region_prompts import RegionPrompts, RegionText, as_browser_has_it, prompts_in
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError
from ldm_core.library.models import ModelInfo
from ldm_core.request import FRACTION, Request
from ldm_core.request.regions import RegionPrompt

NAME = "regions"  # among what outlives a reload, and in a request


@dataclass(frozen=True, slots=True, eq=False)
class RegionParts:
    """Its components; out of sight with a model that reads no prompts."""

    studio: Studio
    prompts: RegionPrompts
    base_share: gr.Slider

    def controls(self) -> Mapping[str, Component]:
        return {"base_share": self.base_share}

    def kept(self) -> Mapping[str, Component]:
        return {NAME: self.prompts}

    def restore(self, kept: Mapping[str, object]) -> Updates:
        return {self.prompts: as_browser_has_it(prompts_in(kept.get(NAME)))}

    def suit(self, info: ModelInfo) -> Updates:
        looks = change(visible=info.spec.takes_regions)
        return {self.prompts: looks, self.base_share: looks}

    def fields(
        self, values: Values, model: object, places: Mapping[str, dict[str, object]]
    ) -> dict[str, object]:
        """The request's regions.

        Args:
            places: of what there is on the canvas, by its key: the `class` or `box` of a region.
        """
        try:
            takes = self.studio.models.info(str(model)).spec.takes_regions
        except AtelierError:
            takes = True
        written = prompts_in(values[self.prompts]) if takes else {}
        regions = [
            {"prompt": "", "template": entry.text, "weight": entry.weight, **places[key]}
            for key, entry in written.items()
            if key in places
        ]
        return {NAME: regions} if regions else {}

    def fill(self, prompts: Mapping[str, RegionPrompt]) -> Updates:
        """Args: `prompts` by the keys of what they are of."""
        said = {
            key: RegionText(region.template or escaped(region.prompt), region.weight)
            for key, region in prompts.items()
        }
        return {self.prompts: as_browser_has_it(said)}


def make_parts(studio: Studio, name: str) -> RegionParts:
    """Makes the components inside the surrounding column."""
    prompts = RegionPrompts(label="Regional prompts", elem_id=f"{name}-regions")
    base_share = gr.Slider(
        *FRACTION,
        value=0.2,
        step=0.05,
        label="Base ratio",
        info="How much of the prompt counts within the parts that have one of their own.",
        elem_id=f"{name}-base_share",
    )
    return RegionParts(studio, prompts, base_share)


def model_in(values: Values, name: str) -> object:
    """The model that a form has chosen."""
    return next((value for part, value in values.items() if part.elem_id == f"{name}-model"), "")


def by_key(request: Request, keys: Mapping[str | int | None, str]) -> dict[str, RegionPrompt]:
    """The regions of a request by what they are of.

    Args:
        keys: of classes or boxes, as regions call them.
    """
    found = {}
    for region in request.regions or ():
        place = region.label if region.box is None else region.box
        if region.mask is None and place in keys:
            found[keys[place]] = region
    return found


def without_places(request: Request) -> bool:
    """Whether some of its regions have no place on a canvas: those that masks give."""
    return any(region.mask is not None for region in request.regions or ())
