"""The controls that every form has: prompt, seed, sampler, how what is given is followed, start and stop."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from gradio.components import Component

from ldm_core.prompts import AUTO, SYNTAXES, WEIGHTINGS
from ldm_core.request import (
    BATCH,
    CLIP_SKIP,
    ETA,
    FRACTION,
    GUIDANCE,
    SAMPLERS,
    SIZE,
    SPACINGS,
    STEPS,
    TextToImage,
)

NEW_SEED, KEEP_SEED = "New each time", "Keep"


def prompt(name: str, example: str, *, visible: bool) -> tuple[gr.Textbox, gr.HTML]:
    """The field, and how long what is in it is to the model, with words that it does not read."""
    field = gr.Textbox(
        "",
        label="Prompt",
        placeholder=example,
        lines=4,
        max_lines=12,
        elem_id=f"{name}-prompt",
        elem_classes="prompt",
        visible=visible,
    )
    unknown = gr.HTML("", elem_id=f"{name}-unknown", elem_classes="unknown", apply_default_css=False)
    return field, unknown


def negative_prompt(name: str, *, visible: bool) -> tuple[gr.Textbox, gr.HTML]:
    """The field, and how long what is in it is to the model."""
    field = gr.Textbox(
        "", label="Negative prompt", info="What shall not be in the picture.", lines=2, visible=visible
    )
    length = gr.HTML("", elem_id=f"{name}-negative-length", elem_classes="unknown", apply_default_css=False)
    return field, length


def wording(*, visible: bool) -> dict[str, Component]:
    """How the words are read, of models that read CLIP's syntax."""
    syntax = gr.Dropdown(
        [("What suits the model", AUTO), *((title, name) for name, title in SYNTAXES.items())],
        value=AUTO,
        label="Prompt syntax",
        info="What brackets mean: (sky:1.3) in A1111 and ComfyUI, sky++ in InvokeAI.",
        visible=visible,
    )
    weighting = gr.Dropdown(
        [("What suits these", AUTO), *((title, name) for name, title in WEIGHTINGS.items())],
        value=AUTO,
        label="Prompt weighting",
        info="What a weight does to the encoding of a word.",
        visible=visible,
    )
    skip = gr.Slider(
        *CLIP_SKIP,
        value=0,
        step=1,
        label="Clip skip",
        info="Which of CLIP's layers counts, from the last on; many anime models want 2. 0: the model's own.",
        visible=visible,
    )
    return {"prompt_syntax": syntax, "prompt_weighting": weighting, "clip_skip": skip}


def styles(name: str, names: list[str]) -> gr.Dropdown:
    """The styles that are put around the words; out of sight where there are none."""
    return gr.Dropdown(
        names,
        value=[],
        multiselect=True,
        label="Styles",
        info="Words by name around yours, one after the other; the picture keeps the words themselves.",
        elem_id=f"{name}-styles",
        visible=bool(names),
    )


def actions(name: str) -> tuple[gr.Button, gr.Button]:
    """Generate and Stop."""
    with gr.Row(elem_classes="actions"):
        generate = gr.Button(
            "Generate",
            variant="primary",
            elem_id=f"{name}-generate",
            elem_classes="generate",
            min_width=0,
            scale=3,
        )
        stop = gr.Button(
            "Stop", elem_id=f"{name}-stop", elem_classes="stop", interactive=False, min_width=0, scale=1
        )
    return generate, stop


def seed() -> tuple[gr.Textbox, gr.Radio]:
    """A field of text: the browser would round a number of more than 53 bits."""
    with gr.Row(elem_classes=["pair", "seed"]):
        seed = gr.Textbox(
            "0",
            label="Seed",
            info="The same number with the same settings gives the same picture; -1 draws one.",
            max_lines=1,
            min_width=0,
        )
        mode = gr.Radio([NEW_SEED, KEEP_SEED], value=NEW_SEED, label="Next seed")
    return seed, mode


def model(
    name: str, choices: Sequence[tuple[str, str]], chosen: str, reason: str
) -> tuple[gr.Dropdown, gr.HTML]:
    """The field, and why the chosen model begins with unusual settings."""
    field = gr.Dropdown(list(choices), value=chosen, label="Model", elem_id=f"{name}-model")
    said = gr.HTML(reason, elem_id=f"{name}-reason", elem_classes="unknown", apply_default_css=False)
    return field, said


def batch_size() -> gr.Slider:
    return gr.Slider(
        *BATCH,
        value=1,
        step=1,
        label="Batch size",
        info="How many pictures one press makes, each with the next seed.",
    )


def size(name: str, shapes: Sequence[str], start: TextToImage) -> tuple[gr.Radio, dict[str, Component]]:
    """Formats by name, and the fields that they fill."""
    shape = gr.Radio(list(shapes), value="Square", label="Format", elem_id=f"{name}-shape")
    with gr.Row(elem_classes="pair"):
        width, height = pixels("Width", start.width), pixels("Height", start.height)
    return shape, {"width": width, "height": height, "second_pass": second_pass()}


def second_pass() -> gr.Slider:
    return gr.Slider(
        *FRACTION,
        value=0.0,
        step=0.05,
        label="Second pass",
        info="For large pictures: composed at the model's own size, then enlarged and drawn over with this "
        "share of the steps. Try 0.4; 0 is one pass alone, in which things repeat.",
    )


def sampling(start: TextToImage) -> dict[str, Component]:
    """How noise becomes a picture."""
    return {
        "steps": gr.Slider(
            *STEPS, value=start.steps, step=1, label="Steps", info="More settle more detail, slower."
        ),
        "sampler": gr.Dropdown(
            [(spec.title, spec.name) for spec in SAMPLERS.values()],
            value=start.sampler,
            label="Sampler",
            info="How noise becomes the picture. DPM++ 2M and UniPC need the fewest steps; "
            f"{_wandering()} wander more.",
        ),
        "eta": gr.Slider(
            *ETA,
            value=start.eta,
            step=0.05,
            label="Eta",
            info=eta_info(start.sampler),
            interactive=uses_eta(start.sampler),
        ),
        "spacing": gr.Dropdown(
            [(spec.title, spec.name) for spec in SPACINGS.values()],
            value=start.spacing,
            label="Timestep spacing",
            info="Where the steps fall; models say what suits.",
        ),
    }


def _wandering() -> str:
    """The samplers that draw noise."""
    *first, last = (spec.title for spec in SAMPLERS.values() if spec.adds_noise)
    return f"{', '.join(first)} and {last}"


def guidance(start: TextToImage) -> dict[str, Component]:
    """How what is given is followed."""
    scale = gr.Slider(
        *GUIDANCE,
        value=start.guidance_scale,
        step=0.1,
        label="Guidance scale",
        info="How closely the words are followed (CFG): 1 lets the picture wander, much is harsh.",
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
        label="Guidance rescale",
        info="Takes back the glare that following harshly gives. Try 0.7.",
    )
    return {
        "guidance_scale": scale,
        "guidance_start": begin,
        "guidance_end": end,
        "guidance_rescale": rescale,
    }


def eta_info(sampler: str) -> str:
    if uses_eta(sampler):
        return "Noise added again at each step. 0 adds none, 1 is DDPM."
    those = " and ".join(spec.title for spec in SAMPLERS.values() if spec.uses_eta)
    return f"It can be chosen with {those} alone."


def uses_eta(sampler: str) -> bool:
    """False too where there is no such sampler."""
    return sampler in SAMPLERS and SAMPLERS[sampler].uses_eta


def pixels(label: str, value: int) -> gr.Number:
    """A side of the picture."""
    return gr.Number(value, label=label, precision=0, minimum=SIZE[0], maximum=SIZE[1], step=32, min_width=0)
