"""What stands under a form's prompts: how long they are to the model, and what of them it does not read."""

from __future__ import annotations

import html

import gradio as gr
from gradio.components import Component

from app.form.form import AnyForm
from app.form.region_parts import NAME as REGIONS
from app.prompts.words import PAIRS
from app.studio.jobs import Studio
from app.widgets.events import QUICK
from app.widgets.region_prompts import prompts_in
from app.widgets.updates import Updates, Values
from ldm_core.errors import PromptError
from ldm_core.request import RULES

WORDED = tuple(name for name, _ in PAIRS)


def connect(studio: Studio, form: AnyForm) -> None:
    """They follow what is written, the model and the syntax."""
    if form.unknown is None or form.negative_length is None:
        return
    regions = form.extra.kept().get(REGIONS)
    names = (*WORDED, "prompt_syntax", "clip_skip", "seed", "model")
    inputs = [*(form.fields[name] for name in names), *([] if regions is None else [regions])]

    def update(values: Values) -> Updates:
        return _notes(studio, form, values, regions)

    gr.on(
        [part.change for part in inputs],
        update,
        set(inputs),
        [form.unknown, form.negative_length],
        trigger_mode="always_last",
        **QUICK,
    )


def _notes(studio: Studio, form: AnyForm, values: Values, regions: Component | None) -> Updates:
    model, syntax = (str(values[form.fields[name]]) for name in ("model", "prompt_syntax"))
    skip, seed = values[form.fields["clip_skip"]], RULES["seed"].read(values[form.fields["seed"]])
    drawn = seed if isinstance(seed, int) else 0
    written = {name: str(values[form.fields[name]] or "") for name in WORDED}
    parts = {} if regions is None else prompts_in(values[regions], here=True)
    lengths = dict.fromkeys(WORDED, "")
    try:
        prompts = {name: form.words.prompt_of(text, drawn, name) for name, text in written.items()}
        others = [form.words.prompt_of(part.text, drawn, REGIONS) for part in parts.values()]
        skipped = skip if isinstance(skip, int) else 0
        sentence = studio.prompt_notes(model, *prompts.values(), *others, syntax=syntax, clip_skip=skipped)
        for name, prompt in prompts.items():
            lengths[name] = _length(studio, model, prompt, syntax, negative=name != WORDED[0])
    except PromptError as error:
        sentence = str(error)
    note = f"<p>{html.escape(sentence)}</p>" if sentence else ""
    assert form.unknown is not None and form.negative_length is not None
    return {form.unknown: lengths[WORDED[0]] + note, form.negative_length: lengths[WORDED[1]]}


def _length(studio: Studio, model: str, prompt: str, syntax: str, *, negative: bool) -> str:
    length = studio.prompt_length(model, prompt, syntax, negative=negative)
    if length is None:
        return ""
    chunks = f" in {length.chunks} chunks" if length.chunks > 1 else ""
    over = " over" if length.tokens > length.room else ""
    return f'<p class="tokens{over}">{length.tokens} / {length.room} tokens{chunks}</p>'
