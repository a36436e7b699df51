"""A tab's left column: the components that describe a picture, and what a model changes of them.

Every tab has the same `Form`; what only one tab has (a canvas, a class, a scale) is its `Extra`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

import gradio as gr
from gradio.components import Component

from app.form import parts
from app.form.defaults import (
    SHAPES,
    model_choices,
    model_defaults,
    reads_syntax,
    reason_of,
    shape_of,
    size_like,
    starting_model,
    takes_prompts,
)
from app.form.grid_parts import GridParts, make_grid
from app.form.keeping_parts import PresetParts, make_presets
from app.prompts.words import Words
from app.studio.jobs import Studio
from app.widgets.canvas import Canvas, CanvasSetup, CanvasValue
from app.widgets.components import BranchNote
from app.widgets.updates import Updates, Values, change, is_change
from ldm_core.errors import AtelierError, FileError, ModelError, RequestError
from ldm_core.library.models import ModelInfo
from ldm_core.request import Request
from ldm_core.request.raster import Raster


class Extra(Protocol):
    """What a tab has beside the common controls."""

    def controls(self) -> Mapping[str, Component]:
        """Components that hold a field of the request as it is, by the field's name; the form keeps and fills
        them like its own."""
        return {}

    def components(self) -> list[Component]:
        """All others that `fields` reads and that `fill` and `suit` change."""

    def main_input(self) -> Component:
        """Where a person gives what the pictures are made of."""

    def kept(self) -> Mapping[str, Component]:
        """Those of its components beside `controls` whose values outlive a reload, by a name of their own."""
        return {}

    def restore(self, kept: Mapping[str, object]) -> Updates:
        """Fills them with what the browser kept, by the names of `kept`: input like any other."""
        return {}

    def fields(self, values: Values) -> dict[str, object]:
        """Fields of the request; `task` among them where it is not the form's first.

        Raises:
            AtelierError: what is there cannot be used.
        """

    def fill(self, request: Request) -> Updates:
        """Puts a request's own fields back."""

    def suit(self, info: ModelInfo) -> Updates:
        """What follows from a newly chosen model."""
        return {}

    def listed(self) -> Updates:
        """What follows from the models that are there now, whichever is chosen."""
        return {}

    def take(self, picture: Raster, request: Request | None) -> Updates:
        """Takes over a picture, and of the request that made it what the tab has as well: the mask, the map,
        the boxes; None of one that was not made here.

        Raises:
            AtelierError: the picture cannot be used here.
        """


E = TypeVar("E", bound=Extra, covariant=True)
M = TypeVar("M", bound=Extra)


@dataclass(frozen=True, slots=True, eq=False)
class Form(Generic[E]):
    """The left column of a tab.

    Attributes:
        name: of the tab, in element ids and in the browser's memory.
        tasks: of the requests that it makes and reopens; the first where its `extra` names none.
        extra: what the tab has beside the common controls.
        fields: the components that hold a field of the request as it is, by the field's name.
        shape: chooses width and height, where the form has them.
        reason: why the model begins with unusual settings.
        unknown: how many tokens the prompt is, and words that the model never learnt or does not read, where
            the form has a prompt.
        negative_length: how many tokens the negative prompt is.
        live: a switch, and the canvas whose strokes start a sketch while it is on.
        several: the requests that one press asks for, where that is not the one.
        takes: whether a finished picture can be sent to it.
        kin: out of sight: the seed that was filled in, and of what it makes a variation.
        branch: of what the pictures are branches, once that was filled in.
        words: make prompts of what is written.
        presets: its settings by name.
        grid: what varies in a grid.
        styles: the names of those that are put around it.
    """

    name: str
    tasks: tuple[str, ...]
    fields: Mapping[str, Component]
    seed_mode: gr.Radio
    shape: gr.Radio | None
    unknown: gr.HTML | None
    negative_length: gr.HTML | None
    reason: gr.HTML
    generate: gr.Button
    stop: gr.Button
    kin: gr.JSON
    branch: BranchNote
    extra: E
    words: Words
    presets: PresetParts
    grid: GridParts | None = None
    styles: gr.Dropdown | None = None
    live: tuple[gr.Checkbox, Canvas] | None = None
    several: Callable[[Request, Values], Sequence[Request]] | None = None
    takes: bool = True

    @property
    def model(self) -> Component:
        return self.fields["model"]

    def at_fault(self, error: AtelierError) -> str | None:
        """Id of the control that caused an error; None where none did."""
        match error:
            case ModelError():
                return self.model.elem_id
            case RequestError(field=field) if field in (places := {**self.extra.kept(), **self.fields}):
                return places[field].elem_id
            case RequestError(field="grid") if self.grid is not None:
                return self.grid.note.elem_id
            case RequestError(field="branch"):
                return self.branch.elem_id
            case RequestError() | FileError():
                return self.extra.main_input().elem_id
        return None

    def sentence(self, error: AtelierError) -> str:
        """What is wrong, in the words of the form: a field by its label."""
        text = str(error)
        if isinstance(error, RequestError) and error.field in self.fields and text.startswith(error.field):
            return f"{self.fields[error.field].label}{text.removeprefix(error.field)}"
        return text

    def inputs(self) -> list[Component]:
        """The components from which a request is made."""
        switch = [self.live[0]] if self.live else []
        extra = self.extra.components()
        styles: list[Component] = [self.styles] if self.styles else []
        grid = self.grid.inputs() if self.grid else []
        return [*self.fields.values(), *styles, *grid, self.seed_mode, self.kin, self.branch, *switch, *extra]

    def kept(self) -> dict[str, Component]:
        """The components whose values outlive a reload of the page."""
        common = {"seed_mode": self.seed_mode, "kin": self.kin, "branch": self.branch}
        styles = {"styles": self.styles} if self.styles else {}
        return {**self.fields, **styles, **common, **self.extra.kept()}

    def filled(self) -> list[Component]:
        """The components that a request or another model fills."""
        return [*self.inputs(), self.reason, *([self.shape] if self.shape else [])]


AnyForm: TypeAlias = Form[Extra]


def make_form(
    studio: Studio,
    name: str,
    tasks: tuple[str, ...],
    extra: Callable[[], M],
    *,
    prompt: str = "",
    sized: bool = False,
    several: bool = True,
    guided: bool = True,
) -> Form[M]:
    """Makes the column, top to bottom.

    Args:
        extra: makes what only this tab has; it stands under the prompt.
        prompt: what its empty field suggests; "" for a form without one.
        sized: whether it asks for width and height.
        several: whether it makes several pictures at once.
        guided: whether something is followed that can be followed more or less.
    """
    chosen = starting_model(studio, tasks)
    start = model_defaults(studio, chosen)
    reads = takes_prompts(studio, chosen)
    fields: dict[str, Component] = {}
    shape = unknown = negative = styles = None
    with gr.Column(elem_classes="controls", min_width=0):
        with gr.Column(elem_classes="settings", min_width=0):
            branch = BranchNote(label="Branch", elem_id=f"{name}-branch")
            if prompt:
                fields["prompt"], unknown = parts.prompt(name, prompt, visible=reads)
                styles = parts.styles(name, studio.words.styles.names())
            made = extra()
            fields |= made.controls()
            if sized:
                shape, sides = parts.size(name, list(SHAPES), start)
                fields |= sides
            if several:
                fields["batch_size"] = parts.batch_size()
            fields["seed"], seed_mode = parts.seed()
            choices = model_choices(studio, tasks)
            fields["model"], reason = parts.model(name, choices, chosen, reason_of(studio, chosen))
            with gr.Accordion("More", open=False, elem_classes="more"):
                if prompt:
                    fields["negative_prompt"], negative = parts.negative_prompt(name, visible=reads)
                    fields |= parts.wording(visible=reads_syntax(studio, chosen))
                fields |= (parts.guidance(start) if guided else {}) | parts.sampling(start)
            names = [] if studio.presets is None else studio.presets.names(name)
            grid = make_grid(name, fields) if several else None
            presets = make_presets(name, names, owner=studio.presets is not None, worded=bool(prompt))
        for field, component in fields.items():
            component.elem_id = component.elem_id or f"{name}-{field}"
        generate, stop = parts.actions(name)
        kin = gr.JSON(visible=False)
    return Form(
        name, tasks, fields, seed_mode, shape, unknown, negative, reason, generate, stop, kin, branch, made,
        studio.words, presets, grid, styles,
    )  # fmt: skip


def form_for(made: Sequence[AnyForm], task: str) -> AnyForm:
    """The form that makes such pictures; the first where none does."""
    return next((form for form in made if task in form.tasks), made[0])


def suit(studio: Studio, form: AnyForm, model: object) -> Updates:
    """What a newly chosen model works best with."""
    start = model_defaults(studio, model)
    names = ("width", "height", "steps", "sampler", "eta", "guidance_scale", "guidance_end", "spacing")
    updates: Updates = {form.fields[name]: getattr(start, name) for name in names if name in form.fields}
    updates[form.reason] = reason_of(studio, model)
    if "eta" in form.fields:
        updates = over(updates, explain_eta(form, start.sampler))
    if form.shape is not None:
        updates[form.shape] = "Square"
    return over(updates, suit_extra(studio, form, model))


def over(first: Updates, then: Updates) -> Updates:
    """Both, the second after the first: a value leaves what else changes of its component."""
    updates = dict(first)
    for component, update in then.items():
        before = updates.get(component)
        if isinstance(before, CanvasSetup) and isinstance(update, CanvasValue) and update.setup is None:
            update = dataclasses.replace(update, setup=before)
        if is_change(before):
            update = {**before, **(update if is_change(update) else {"value": update})}
        updates[component] = update
    return updates


def suit_extra(studio: Studio, form: AnyForm, model: object) -> Updates:
    """What follows from a model for what only this tab has."""
    try:
        return form.extra.suit(studio.models.info(str(model)))
    except AtelierError:
        return {}


def relist(studio: Studio, form: AnyForm, model: object) -> Updates:
    """The models for a form as they are now; another one is chosen only where the chosen one is gone."""
    choices = model_choices(studio, form.tasks)
    listed = form.extra.listed()
    if any(model == name for _, name in choices):
        return {**listed, form.model: change(choices=choices)}
    chosen = starting_model(studio, form.tasks)
    suited = over(suit(studio, form, chosen), {form.model: change(choices=choices, value=chosen)})
    return {**listed, **suited}


def explain_eta(form: AnyForm, sampler: object) -> Updates:
    """Says whether a sampler uses eta."""
    name = str(sampler)
    return {form.fields["eta"]: change(info=parts.eta_info(name), interactive=parts.uses_eta(name))}


def resize(studio: Studio, form: AnyForm, model: object, width: int, height: int) -> Updates:
    """A form that is sized asks for the shape of a picture, at about the size that the model draws best."""
    shorter = min(width, height)
    wide, high = size_like(studio, model, (width / shorter, height / shorter))
    updates: Updates = {form.fields["width"]: wide, form.fields["height"]: high}
    return updates if form.shape is None else {**updates, form.shape: shape_of(studio, model, wide, high)}
