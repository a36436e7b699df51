"""Controls that change each other, and the browser's memory of them."""

from __future__ import annotations

import html
from collections.abc import Sequence

import gradio as gr

from app.form import form as forms
from app.form import parts, translate
from app.form.form import AnyForm
from app.studio.jobs import Studio
from app.widgets.events import QUICK
from app.widgets.updates import Updates, change


def connect(page: gr.Blocks, studio: Studio, made: Sequence[AnyForm]) -> None:
    """Connects the controls of all forms."""
    for form in made:
        _connect_form(studio, form)
    _remember(page, studio, made)


def _connect_form(studio: Studio, form: AnyForm) -> None:
    """Controls that change each other."""
    fields = form.fields

    def suit(model: object) -> Updates:
        return forms.suit(studio, form, model)

    def explain_eta(sampler: object) -> Updates:
        return forms.explain_eta(form, sampler)

    def respace(model: object, sampler: object) -> str:
        return forms.suited_spacing(studio, model, sampler)

    form.model.input(suit, form.model, form.filled(), **QUICK)
    fields["sampler"].change(explain_eta, fields["sampler"], fields["eta"], **QUICK)
    fields["sampler"].input(respace, [form.model, fields["sampler"]], fields["spacing"], **QUICK)
    fields["seed"].input(lambda: parts.KEEP_SEED, None, form.seed_mode, **QUICK)
    if words := [fields[name] for name in ("prompt", "negative_prompt") if name in fields]:

        def ask(model: object) -> Updates:
            return dict.fromkeys(words, change(visible=forms.takes_prompts(studio, model)))

        form.model.change(ask, form.model, words, **QUICK)
    if form.shape is not None:
        _connect_shape(studio, form, form.shape)
    if form.unknown is not None:

        def tell(model: object, *prompts: object) -> str:
            told = studio.told_of(str(model), *(str(prompt or "") for prompt in prompts))
            return f"<p>{html.escape(told)}</p>" if told else ""

        gr.on(
            [*(field.change for field in words), form.model.change],
            tell,
            [form.model, *words],
            form.unknown,
            trigger_mode="always_last",
            **QUICK,
        )


def _connect_shape(studio: Studio, form: AnyForm, shape: gr.Radio) -> None:
    size = [form.fields["width"], form.fields["height"]]

    def resize(model: object, shape: object) -> tuple[int, int]:
        return forms.size_of(studio, model, shape)

    def reshape(model: object, width: object, height: object) -> str | None:
        return forms.shape_of(studio, model, width, height)

    shape.input(resize, [form.model, shape], size, **QUICK)
    gr.on([part.input for part in size], reshape, [form.model, *size], shape, **QUICK)


def _remember(page: gr.Blocks, studio: Studio, made: Sequence[AnyForm]) -> None:
    """Keeps the settings in the browser, across reloads and restarts of the program."""
    kept = [_kept(form) for form in made]

    def restore(*values: object) -> Updates:
        updates: Updates = {}
        for form, value in zip(made, values, strict=True):
            updates |= translate.restore(studio, form, value)
        return updates

    filled = [component for form in made for component in form.filled()]
    # What a person typed before this arrives would be lost, so the controls wait for it.
    page.load(restore, kept, filled, **QUICK).then(
        None, None, None, js="() => latentAtelier.restored()", api_visibility="private"
    )


def _kept(form: AnyForm) -> gr.BrowserState:
    """The browser's memory of a form; it follows every change."""
    fields = form.kept()
    kept = gr.BrowserState({}, storage_key=f"latent-atelier.{form.name}", secret="latent-atelier")
    names = ", ".join(fields)
    # Gradio refuses whatever holds a file, by its `meta`, that a program started anew has no more.
    plain = "(_, value) => { const { meta, ...file } = value ?? {}; return meta ? file : value; }"
    gr.on(
        [component.change for component in fields.values()],
        None,
        list(fields.values()),
        kept,
        js=f"({names}) => JSON.parse(JSON.stringify({{{names}}}, {plain}))",
        api_visibility="private",
    )
    return kept
