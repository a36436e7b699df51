"""The left column of the text-to-image tab: its components, and the way between them and a request."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from app.metadata import SAMPLER_NAMES
from app.studio import Studio
from ldm_core.errors import AtelierError
from ldm_core.request import (
    BATCH,
    DEFAULT_MODEL,
    ETA,
    ETA_SAMPLERS,
    FRACTION,
    GUIDANCE,
    KARRAS_SAMPLERS,
    SAMPLERS,
    SEED,
    SIZE,
    STEPS,
    Request,
    TextToImage,
    parse_request,
    to_json,
)

Updates = dict[object, object]  # component -> its new value, or an update of it
Values = Mapping[object, object]  # component -> its value

NEW_SEED, KEEP_SEED = "New each time", "Keep"
RANDOM_SEEDS = 10**7  # short enough to be read aloud and to fit its field
SHAPES = {"Square": (1.0, 1.0), "Wide": (1.5, 1.0), "Tall": (1.0, 1.5)}  # of the model's own size
SPACINGS = {
    "Evenly": "trailing",
    "Evenly, as published": "uniform",
    "Finer towards the end": "quadratic",
    "Finest in the details (Karras)": "karras",
}
FIELDS = (
    "prompt", "negative_prompt", "width", "height", "seed", "model", "batch_size", "steps", "sampler",
    "eta", "spacing", "guidance_scale", "guidance_rescale", "guidance_start", "guidance_end",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Controls:
    """The components.  Those named like a field of the request hold that field's value."""

    prompt: gr.Textbox
    negative_prompt: gr.Textbox
    width: gr.Number
    height: gr.Number
    seed: gr.Number
    model: gr.Dropdown
    batch_size: gr.Slider
    steps: gr.Slider
    sampler: gr.Dropdown
    eta: gr.Slider
    spacing: gr.Dropdown
    guidance_scale: gr.Slider
    guidance_rescale: gr.Slider
    guidance_start: gr.Slider
    guidance_end: gr.Slider
    seed_mode: gr.Radio
    shape: gr.Radio
    unknown: gr.HTML  # words that the model never learnt

    def fields(self) -> dict[str, gr.components.Component]:
        """The components whose values are fields of the request."""
        return {name: getattr(self, name) for name in FIELDS}

    def kept(self) -> dict[str, gr.components.Component]:
        """The components whose values outlive a reload of the page."""
        return {**self.fields(), "seed_mode": self.seed_mode}

    def filled(self) -> list[gr.components.Component]:
        """The components that a request fills."""
        return [*self.kept().values(), self.shape]


def build(studio: Studio) -> Controls:
    """Makes the column, top to bottom."""
    start = model_defaults(studio, starting_model(studio))
    prompt = gr.Textbox(
        "",
        label="Describe the picture",
        placeholder="A calm lake at sunset, snowy mountains behind",
        lines=4,
        max_lines=12,
        elem_id="prompt",
    )
    unknown = gr.HTML("", elem_id="unknown", apply_default_css=False)
    shape = gr.Radio(list(SHAPES), value="Square", label="Format", elem_id="shape")
    with gr.Row(elem_classes="pair"):
        width = _pixels("Width", start.width)
        height = _pixels("Height", start.height)
    batch_size = gr.Slider(*BATCH, value=1, step=1, label="How many", info="Batch size.", elem_id="batch")
    with gr.Row(elem_classes=["pair", "seed"]):
        seed = gr.Number(
            0,
            label="Variation",
            info="The seed: the same number with the same settings gives the same picture.",
            precision=0,
            minimum=SEED[0],
            maximum=SEED[1],
            min_width=0,
            elem_id="seed",
        )
        seed_mode = gr.Radio([NEW_SEED, KEEP_SEED], value=NEW_SEED, label="For the next", elem_id="seed-mode")
    model = gr.Dropdown(model_choices(studio), value=start.model, label="Model", elem_id="model")
    with gr.Accordion("More", open=False, elem_id="more"):
        negative_prompt = gr.Textbox(
            "", label="Leave out", info="The negative prompt.", lines=2, elem_id="negative"
        )
        guidance = _guidance(start)
        steps, sampler, eta, spacing = _method(start)
    return Controls(
        prompt, negative_prompt, width, height, seed, model, batch_size, steps, sampler, eta, spacing,
        *guidance, seed_mode, shape, unknown,
    )  # fmt: skip


def _method(start: TextToImage) -> tuple[gr.Slider, gr.Dropdown, gr.Slider, gr.Dropdown]:
    """How noise becomes a picture: steps, sampler, eta, spacing."""
    return (
        gr.Slider(*STEPS, value=start.steps, step=1, label="Steps", info="More settle more detail, slower."),
        gr.Dropdown(
            [(SAMPLER_NAMES[name], name) for name in SAMPLERS],
            value=start.sampler,
            label="Method",
            info="The sampler. DPM++ 2M and UniPC need the fewest steps; Euler a, DDPM and SDE wander more.",
        ),
        gr.Slider(
            *ETA,
            value=start.eta,
            step=0.05,
            label="Fresh noise",
            info=_eta_info(start.sampler),
            interactive=start.sampler in ETA_SAMPLERS,
        ),
        gr.Dropdown(
            list(SPACINGS.items()),
            value=start.spacing,
            label="Where steps fall",
            info="Timestep spacing: trailing, uniform, quadratic or Karras. Models say what suits them.",
        ),
    )


def _guidance(start: TextToImage) -> tuple[gr.Slider, gr.Slider, gr.Slider, gr.Slider]:
    """How the words are followed: guidance scale, rescale, start and end."""
    scale = gr.Slider(
        *GUIDANCE,
        value=start.guidance_scale,
        step=0.1,
        label="Follow the words",
        info="The guidance scale (CFG). 1 lets the picture wander; high values follow harshly.",
    )
    with gr.Row(elem_classes="pair"):
        begin, end = (
            gr.Slider(*FRACTION, value=value, step=0.05, label=label, info=info, min_width=0)
            for label, value, info in (
                ("From", start.guidance_start, "Where following begins, as a part of all steps."),
                ("Until", start.guidance_end, "Where it ends. Steps outside of it take half the time."),
            )
        )
    rescale = gr.Slider(
        *FRACTION,
        value=start.guidance_rescale,
        step=0.05,
        label="Soften",
        info="Guidance rescale: takes back the glare that following harshly gives. Try 0.7.",
    )
    return scale, rescale, begin, end


def _eta_info(sampler: object) -> str:
    if sampler in ETA_SAMPLERS:
        return "Eta: noise added again at each step. 0 adds none, 1 is DDPM."
    return "Eta: only DDIM lets you choose it."


def _pixels(label: str, value: int) -> gr.Number:
    return gr.Number(
        value, label=label, precision=0, minimum=SIZE[0], maximum=SIZE[1], step=32, min_width=0,
        elem_id=label.lower(),
    )  # fmt: skip


def model_choices(studio: Studio) -> list[tuple[str, str]]:
    """(title, name) of each model that makes pictures from text."""
    choices = [
        (
            entry.name
            if entry.title.lower() in ("", entry.name.lower())
            else f"{entry.title} ({entry.name})",
            entry.name,
        )
        for entry in studio.models.entries()
        if entry.serves("text-to-image")
    ]
    return choices or [(DEFAULT_MODEL, DEFAULT_MODEL)]


# Between the components and a request ---------------------------------------------------------------------


def starting_model(studio: Studio) -> str:
    """The model that a new page has chosen."""
    names = studio.models.names("text-to-image")
    return DEFAULT_MODEL if DEFAULT_MODEL in names or not names else names[0]


def model_defaults(studio: Studio, name: object) -> TextToImage:
    """The request that suits a model; plain defaults where it does not say or does not exist."""
    try:
        return studio.models.info(str(name)).defaults
    except AtelierError:
        return TextToImage()


def request_from(controls: Controls, values: Values) -> Request:
    """The request that the controls describe, with a seed of its own where the person wants a new one.

    Raises:
        RequestError: a value is not allowed.
    """
    fields = {name: values[component] for name, component in controls.fields().items()}
    if values[controls.seed_mode] != KEEP_SEED:
        fields["seed"] = secrets.randbelow(RANDOM_SEEDS)
    return parse_request({"task": "text-to-image", **fields})


def fill(studio: Studio, controls: Controls, request: Request) -> Updates:
    """Puts a request into the controls; a model that is not here leaves the chosen one."""
    values = to_json(request)
    updates: Updates = {
        component: values[name] for name, component in controls.fields().items() if name in values
    }
    if request.model not in studio.models.names("text-to-image"):
        updates.pop(controls.model)
    updates[controls.seed_mode] = KEEP_SEED
    updates[controls.shape] = shape_of(studio, request.model, *request.size)
    return updates


def suit(studio: Studio, controls: Controls, model: object) -> Updates:
    """What a newly chosen model works best with."""
    start = model_defaults(studio, model)
    names = ("width", "height", "steps", "guidance_scale", "spacing")
    return {**{getattr(controls, name): getattr(start, name) for name in names}, controls.shape: "Square"}


def explain_eta(controls: Controls, sampler: object) -> Updates:
    """Says whether a sampler uses eta."""
    return {controls.eta: gr.update(info=_eta_info(sampler), interactive=sampler in ETA_SAMPLERS)}


def suited_spacing(studio: Studio, model: object, sampler: object) -> str:
    """The spacing that a newly chosen sampler works best with."""
    start = model_defaults(studio, model)
    try:
        starts_in_noise = studio.models.info(start.model).spec.schedule.zero_terminal_snr
    except AtelierError:
        starts_in_noise = False
    # Karras's would spend most of the steps where nothing is left but noise.
    return "karras" if sampler in KARRAS_SAMPLERS and not starts_in_noise else start.spacing


def restore(studio: Studio, controls: Controls, kept: object) -> Updates:
    """Fills the controls from what the browser kept: input like any other, what does not fit is left out."""
    if not isinstance(kept, dict):
        return {}
    updates: Updates = {}
    for name, component in controls.fields().items():
        try:
            request = parse_request({"task": "text-to-image", name: kept[name]})
        except (KeyError, AtelierError):
            continue
        if name != "model" or request.model in studio.models.names("text-to-image"):
            updates[component] = getattr(request, name)
    if kept.get("seed_mode") == KEEP_SEED:
        updates[controls.seed_mode] = KEEP_SEED
    start = model_defaults(studio, updates.get(controls.model, starting_model(studio)))
    size = (updates.get(controls.width, start.width), updates.get(controls.height, start.height))
    updates[controls.shape] = shape_of(studio, start.model, *size)
    return updates


def size_of(studio: Studio, model: object, shape: object) -> tuple[int, int]:
    """Width and height of a format for a model, in pixels."""
    start = model_defaults(studio, model)
    try:
        multiple = studio.models.info(start.model).size_multiple
    except AtelierError:
        multiple = 64
    wide, high = SHAPES.get(str(shape), (1.0, 1.0))
    side = min(start.width, start.height)
    width, height = (max(SIZE[0], round(side * factor / multiple) * multiple) for factor in (wide, high))
    return width, height


def shape_of(studio: Studio, model: object, width: object, height: object) -> str | None:
    """The format that has this size, if one has."""
    return next((shape for shape in SHAPES if size_of(studio, model, shape) == (width, height)), None)
