"""Controls that change each other, and the browser's memory of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import gradio as gr

from app.form import defaults, parts, translate
from app.form import form as forms
from app.form.form import AnyForm
from app.form.picture_input import as_browser_has_it
from app.stage import grids, presets, prompt_notes
from app.stage.prompt_notes import WORDED
from app.studio.jobs import Studio
from app.widgets.events import QUICK
from app.widgets.updates import Updates, change


def connect(page: gr.Blocks, studio: Studio, made: Sequence[AnyForm]) -> None:
    """Connects the controls of all forms."""
    for form in made:
        _connect_form(studio, form)
    presets.connect(studio, made)
    grids.connect(studio, made)
    _remember(page, studio, made)


def _connect_form(studio: Studio, form: AnyForm) -> None:
    """Controls that change each other."""
    fields = form.fields

    def suit(model: object) -> Updates:
        default = presets.model_default(studio, form, model)
        return forms.over(forms.suit(studio, form, model), default)

    def explain_eta(sampler: object) -> Updates:
        return forms.explain_eta(form, sampler)

    def respace(model: object, sampler: object) -> str:
        return defaults.suited_spacing(studio, model, sampler)

    form.model.input(suit, form.model, form.filled(), **QUICK)
    fields["sampler"].change(explain_eta, fields["sampler"], fields["eta"], **QUICK)
    fields["sampler"].input(respace, [form.model, fields["sampler"]], fields["spacing"], **QUICK)
    fields["seed"].input(lambda: parts.KEEP_SEED, None, form.seed_mode, **QUICK)
    if words := [fields[name] for name in WORDED if name in fields]:
        syntax = [fields[name] for name in ("prompt_syntax", "prompt_weighting", "clip_skip")]

        def ask(model: object) -> Updates:
            reads, knows = defaults.takes_prompts(studio, model), defaults.reads_syntax(studio, model)
            return dict.fromkeys(words, change(visible=reads)) | dict.fromkeys(syntax, change(visible=knows))

        form.model.change(ask, form.model, [*words, *syntax], **QUICK)
    if form.shape is not None:
        _connect_shape(studio, form, form.shape)
    prompt_notes.connect(studio, form)


def _connect_shape(studio: Studio, form: AnyForm, shape: gr.Radio) -> None:
    size = [form.fields["width"], form.fields["height"]]

    def resize(model: object, shape: object) -> tuple[int, int]:
        return defaults.size_of(studio, model, shape)

    def reshape(model: object, width: object, height: object) -> str | None:
        return defaults.shape_of(studio, model, width, height)

    shape.input(resize, [form.model, shape], size, **QUICK)
    gr.on([part.input for part in size], reshape, [form.model, *size], shape, **QUICK)


def _remember(page: gr.Blocks, studio: Studio, made: Sequence[AnyForm]) -> None:
    """Keeps the settings in the browser, and the owner's in the program too, across reloads and restarts."""
    kept = [_kept(form) for form in made]
    arrived = gr.JSON(visible=False)
    places = [(form.name, name, part) for form in made for name, part in translate.restorable(form).items()]

    def restore(*values: object) -> Updates:
        updates: Updates = {}
        found: dict[str, object] = {}
        for form, value in zip(made, values, strict=True):
            restored = translate.restored_from(studio, form, _newest(studio, form, value))
            updates |= restored.looks
            found[form.name] = {name: as_browser_has_it(part) for name, part in restored.values.items()}
        return {**updates, arrived: found}

    # A field that a person touched meanwhile keeps what is in it: what arrived is put there by the browser.
    names = json.dumps([(form, name, part.elem_id) for form, name, part in places])
    filled = [component for form in made for component in form.filled()]
    page.load(restore, kept, [arrived, *filled], **QUICK).then(
        None,
        arrived,
        [part for _, _, part in places],
        js=f"(arrived) => latentAtelier.restored(arrived, {names})",
        api_visibility="private",
    )


def _newest(studio: Studio, form: AnyForm, kept: object) -> object:
    """What the browser kept of a form, or the program of its owner, whichever is newer."""
    ours = None if studio.presets is None else studio.presets.read(form.name, "last")
    times = [float(values.get("at") or 0) if isinstance(values, dict) else -1.0 for values in (kept, ours)]
    return ours if times[1] > times[0] else kept


def _kept(form: AnyForm) -> gr.BrowserState:
    """The browser's memory of a form; it follows every change."""
    fields = form.kept()
    kept = gr.BrowserState({}, storage_key=f"latent-atelier.{form.name}", secret="latent-atelier")
    names = ", ".join(fields)
    gr.on(
        [component.change for component in fields.values()],
        None,
        list(fields.values()),
        kept,
        js=f"({names}) => latentAtelier.keep({json.dumps(form.name)}, {{{names}}})",
        api_visibility="private",
    )
    return kept
