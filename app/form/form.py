"""A tab's left column: the components that describe a picture, what models there are for them, and sizes.

Every tab has the same `Form`; what only one tab has (a canvas, a class, a scale) is its `Extra`.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

import gradio as gr
from gradio.components import Component

from app.form import parts
from app.form.grid_parts import GridParts, make_grid
from app.form.keeping_parts import PresetParts, make_presets
from app.prompts.words import Words
from app.studio.grids import Grids
from app.studio.jobs import Studio
from app.widgets.canvas import Canvas, CanvasSetup, CanvasValue
from app.widgets.components import BranchNote
from app.widgets.updates import Updates, Values, change, is_change
from ldm_core.conditioners.syntax import syntax_of
from ldm_core.errors import AtelierError, FileError, ModelError, RequestError
from ldm_core.library.index import Entry
from ldm_core.library.models import ModelInfo
from ldm_core.prompts import AUTO
from ldm_core.request import (
    BATCH,
    DEFAULT_MODEL,
    SAMPLERS,
    SIZE,
    Request,
    TextToImage,
)
from ldm_core.request.raster import Raster

SHAPES = {"Square": (1.0, 1.0), "Wide": (1.5, 1.0), "Tall": (1.0, 1.5)}  # of the model's own size
NO_MODEL = "None yet: add one under Models"
LOOKING = "Looking for models…"


class Extra(Protocol):
    """What a tab has beside the common controls."""

    def controls(self) -> Mapping[str, Component]:
        """Components that hold a field of the request as it is, by the field's name; the form keeps and fills
        them like its own."""
        return {}

    def components(self) -> list[Component]:
        """All others that `fields` reads and that `fill` and `suit` change."""

    def given(self) -> Component:
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
        unknown: what is told of words that the model never learnt, where the form has a prompt.
        live: a switch, and the canvas whose strokes start a sketch while it is on.
        several: the requests that one press asks for, where that is not the one.
        takes: whether a finished picture can be sent to it.
        kin: out of sight: the seed that was filled in, and of what it makes a variation.
        branch: of what the pictures are branches, once that was filled in.
        words: make prompts of what is written.
        presets: its settings by name.
        grid, grids: what varies in a grid, and the grids under way.
        styles: the names of those that are put around it.
    """

    name: str
    tasks: tuple[str, ...]
    fields: Mapping[str, Component]
    seed_mode: gr.Radio
    shape: gr.Radio | None
    unknown: gr.HTML | None
    reason: gr.HTML
    generate: gr.Button
    stop: gr.Button
    kin: gr.JSON
    branch: BranchNote
    extra: E
    words: Words
    presets: PresetParts
    grids: Grids
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
            case RequestError(field=field) if field in self.fields:
                return self.fields[field].elem_id
            case RequestError(field="branch"):
                return self.branch.elem_id
            case RequestError() | FileError():
                return self.extra.given().elem_id
        return None

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
    shape = unknown = styles = None
    with gr.Column(elem_classes="controls", min_width=0):
        with gr.Column(elem_classes="settings", min_width=0):
            branch = BranchNote(label="Branch", elem_id=f"{name}-branch")
            if prompt:
                fields["prompt"], unknown = parts.prompt(name, prompt, visible=reads)
                styles = parts.styles(name, studio.words.styles.names())
            made = extra()
            fields |= made.controls()
            if sized:
                shape = gr.Radio(list(SHAPES), value="Square", label="Format", elem_id=f"{name}-shape")
                with gr.Row(elem_classes="pair"):
                    fields["width"] = parts.pixels("Width", start.width)
                    fields["height"] = parts.pixels("Height", start.height)
                fields["second_pass"] = parts.second_pass()
            if several:
                fields["batch_size"] = gr.Slider(
                    *BATCH, value=1, step=1, label="How many", info="Batch size."
                )
            fields["seed"], seed_mode = parts.seed()
            fields["model"] = gr.Dropdown(
                model_choices(studio, tasks),
                value=chosen,
                label="Model",
                elem_id=f"{name}-model",
            )
            reason = gr.HTML(
                reason_of(studio, chosen),
                elem_id=f"{name}-reason",
                elem_classes="unknown",
                apply_default_css=False,
            )
            with gr.Accordion("More", open=False, elem_classes="more"):
                if prompt:
                    fields["negative_prompt"] = gr.Textbox(
                        "", label="Leave out", info="The negative prompt.", lines=2, visible=reads
                    )
                    fields |= parts.wording(visible=reads_syntax(studio, chosen))
                fields |= (parts.guidance(start) if guided else {}) | parts.method(start)
            names = [] if studio.presets is None else studio.presets.names(name)
            grid = make_grid(name, fields) if several else None
            presets = make_presets(name, names, owner=studio.presets is not None, worded=bool(prompt))
        for field, component in fields.items():
            component.elem_id = component.elem_id or f"{name}-{field}"
        generate, stop = parts.actions(name)
        kin = gr.JSON(visible=False)
    return Form(
        name,
        tasks,
        fields,
        seed_mode,
        shape,
        unknown,
        reason,
        generate,
        stop,
        kin,
        branch,
        made,
        studio.words,
        presets,
        studio.grids,
        grid,
        styles,
    )


def form_for(made: Sequence[AnyForm], task: str) -> AnyForm:
    """The form that makes such pictures; the first where none does."""
    return next((form for form in made if task in form.tasks), made[0])


# Models ---------------------------------------------------------------------------------------------------


def serving(studio: Studio, tasks: Sequence[str]) -> tuple[Entry, ...]:
    """The models that can do one of the tasks, sorted by name."""
    # Any model that makes whole pictures goes on from one; a form asks for more than that.
    named = [task for task in tasks if task != "image-to-image"]
    return tuple(entry for entry in studio.models.entries() if any(entry.serves(task) for task in named))


def model_choices(studio: Studio, tasks: Sequence[str]) -> list[tuple[str, str]]:
    """(title, name) of each model for a form; one choice that says so where there is none."""
    choices = [(_titled(entry), entry.name) for entry in serving(studio, tasks)]
    return choices or [(NO_MODEL if studio.is_ready else LOOKING, "")]


def _titled(entry: Entry) -> str:
    return entry.name if entry.title.lower() in ("", entry.name.lower()) else f"{entry.title} ({entry.name})"


def starting_model(studio: Studio, tasks: Sequence[str]) -> str:
    """The model that a new page has chosen; "" where none can do it."""
    names = [entry.name for entry in serving(studio, tasks)]
    return DEFAULT_MODEL if DEFAULT_MODEL in names else next(iter(names), "")


def model_defaults(studio: Studio, name: object) -> TextToImage:
    """The request that suits a model; plain defaults where it does not say or does not exist."""
    try:
        return studio.models.info(str(name)).defaults
    except AtelierError:
        return TextToImage()


def reason_of(studio: Studio, name: object) -> str:
    """Why a model begins with unusual settings, as HTML; empty where they are usual."""
    try:
        reason = studio.models.info(str(name)).reason
    except AtelierError:
        return ""
    return f"<p>{html.escape(reason)}</p>" if reason else ""


def takes_prompts(studio: Studio, name: object) -> bool:
    """Whether a model reads words; True where that is not known."""
    try:
        return studio.models.info(str(name)).spec.takes_prompts
    except AtelierError:
        return True


def reads_syntax(studio: Studio, name: object) -> bool:
    """Whether a model's prompts have a syntax by themselves; False where that is not known."""
    try:
        return syntax_of(AUTO, studio.models.info(str(name)).spec) != "plain"
    except AtelierError:
        return False


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


def suited_spacing(studio: Studio, model: object, sampler: object) -> str:
    """The spacing that a newly chosen sampler works best with."""
    start = model_defaults(studio, model)
    try:
        starts_in_noise = studio.models.info(start.model).spec.schedule.zero_terminal_snr
    except AtelierError:
        starts_in_noise = False
    spec = SAMPLERS.get(str(sampler))
    # Karras's would spend most of the steps where nothing is left but noise.
    if spec is None or spec.spacing is None or (spec.spacing == "karras" and starts_in_noise):
        return start.spacing
    return spec.spacing


def size_of(studio: Studio, model: object, shape: object) -> tuple[int, int]:
    """Width and height of a format for a model, in pixels."""
    return _size_like(studio, model, SHAPES.get(str(shape), (1.0, 1.0)))


def resize(studio: Studio, form: AnyForm, model: object, width: int, height: int) -> Updates:
    """A form that is sized asks for the shape of a picture, at about the size that the model draws best."""
    shorter = min(width, height)
    wide, high = _size_like(studio, model, (width / shorter, height / shorter))
    updates: Updates = {form.fields["width"]: wide, form.fields["height"]: high}
    return updates if form.shape is None else {**updates, form.shape: shape_of(studio, model, wide, high)}


def _size_like(studio: Studio, model: object, shape: tuple[float, float]) -> tuple[int, int]:
    """Args: `shape` has the sides in units of the model's own shorter side."""
    start = model_defaults(studio, model)
    try:
        multiple = studio.models.info(start.model).size_multiple
    except AtelierError:
        multiple = 64
    side = min(start.width, start.height)
    width, height = (
        min(max(SIZE[0], round(side * factor / multiple) * multiple), SIZE[1]) for factor in shape
    )
    return width, height


def shape_of(studio: Studio, model: object, width: object, height: object) -> str | None:
    """The format that has this size, if one has."""
    return next((shape for shape in SHAPES if size_of(studio, model, shape) == (width, height)), None)
