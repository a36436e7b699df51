"""What the controls of presets and styles do."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

import gradio as gr
from gradio.components import Component

from app.form import translate
from app.form.form import AnyForm
from app.keeping.presets import Presets, Settings, from_file
from app.prompts.styles import FILE, Style
from app.studio.jobs import Studio
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values, change
from app.widgets.uploads import uploaded_file
from ldm_core.errors import AtelierError, FileError

V = TypeVar("V")
NOT_KEPT = {"kin", "branch", "picture"}  # they belong to one picture
OWN_WORDS = {
    "prompt",
    "negative_prompt",
    "regions",
    "styles",
    "seed",
    "seed_mode",
    "model",
}  # no matter of a model


def connect(studio: Studio, made: Sequence[AnyForm]) -> None:
    """For all forms."""
    for form in made:
        _connect_files(studio, form)
        if studio.presets is not None:
            _connect_names(studio.presets, studio, form)
            if form.styles is not None:
                _connect_styles(form, form.styles)


def model_default(studio: Studio, form: AnyForm, model: object) -> Updates:
    """What the owner wants a newly chosen model to begin with, beside what suits it."""
    kept = None if studio.presets is None else studio.presets.read(form.name, "model", str(model))
    if kept is None:
        return {}
    settings = {name: value for name, value in kept.items() if name not in OWN_WORDS}
    restored = translate.restored_from(studio, form, {**settings, "model": model})
    names = translate.restorable(form)
    return {names[name]: value for name, value in restored.values.items() if name in settings}


def _connect_names(presets: Presets, studio: Studio, form: AnyForm) -> None:
    parts, kept = form.presets, form.kept()
    filled = [parts.choose, parts.name, parts.note, *form.filled()]

    def listed(chosen: str | None) -> Updates:
        return {parts.choose: change(choices=presets.names(form.name), value=chosen)}

    def choose(name: object) -> Updates:
        settings = presets.read(form.name, "preset", str(name or ""))
        if settings is None:
            return {parts.note: ""}
        return {**translate.restore(studio, form, settings), parts.name: str(name), parts.note: ""}

    def save(values: Values) -> Updates:
        name = str(values[parts.name] or values[parts.choose] or "")
        presets.write(form.name, "preset", _settings(kept, values), name)
        return {**listed(name.strip()), parts.note: _note(f"Saved as {name.strip()}.")}

    def rename(values: Values) -> Updates:
        chosen, name = str(values[parts.choose] or ""), str(values[parts.name] or "")
        if not chosen:
            raise FileError("Choose a preset and write its new name.")
        presets.rename(form.name, chosen, name)
        return {**listed(name.strip()), parts.note: _note(f"{chosen} is called {name.strip()} now.")}

    def delete(values: Values) -> Updates:
        chosen = str(values[parts.choose] or "")
        if not chosen:
            raise FileError("Choose the preset that shall be deleted.")
        presets.delete(form.name, "preset", chosen)
        return {**listed(None), parts.note: _note(f"{chosen} is deleted.")}

    def default(values: Values) -> Updates:
        model = str(values[form.model])
        if presets.read(form.name, "model", model) is not None:
            presets.delete(form.name, "model", model)
            return {parts.note: _note(f"{model} begins with what suits it again.")}
        presets.write(form.name, "model", _settings(kept, values), model)
        return {parts.note: _note(f"{model} begins with these settings from now on; press again to undo.")}

    inputs = {parts.choose, parts.name, *kept.values()}
    parts.choose.input(_reporting(form, choose), parts.choose, filled, **QUICK)
    for button, act in ((parts.save, save), (parts.rename, rename), (parts.delete, delete)):
        button.click(_reporting(form, act), inputs, [parts.choose, parts.note], **QUICK)
    parts.default.click(_reporting(form, default), inputs, parts.note, **QUICK)


def _connect_files(studio: Studio, form: AnyForm) -> None:
    parts, kept = form.presets, form.kept()
    names = ", ".join(kept)

    def load(payload: object) -> Updates:
        path = uploaded_file(payload)
        name, settings, note = from_file(path.read_bytes(), form.name)
        settings = {key: value for key, value in settings.items() if key not in NOT_KEPT}
        said = " ".join(["These settings are from the file.", note]).strip()
        return {**translate.restore(studio, form, settings), parts.name: name, parts.note: _note(said)}

    parts.load.upload(_reporting(form, load), parts.load, [parts.name, parts.note, *form.filled()], **QUICK)
    parts.export.click(
        None,
        [parts.name, *kept.values()],
        None,
        js=f"(name, {names}) => latentAtelier.exportPreset({json.dumps(form.name)}, name, {{{names}}})",
        api_visibility="private",
    )


def _connect_styles(form: AnyForm, chosen: gr.Dropdown) -> None:
    parts, styles = form.presets, form.words.styles
    words = [form.fields["prompt"], form.fields["negative_prompt"]]

    def listed(values: object) -> Updates:
        names = styles.names()
        kept = [style for style in values if style in names] if isinstance(values, list) else []
        return {chosen: change(choices=list(names), value=kept, visible=bool(names))}

    def keep(values: Values) -> Updates:
        name = str(values[parts.name] or "").strip()
        prompt, negative = (str(values[part] or "") for part in words)
        if not (prompt or negative).strip():
            raise FileError("Write the style's words as the prompt first.")
        styles.save(Style(name, prompt, negative))
        return {**listed(values[chosen]), parts.note: _note(f"The style {name} is in {FILE}.")}

    def drop(values: Values) -> Updates:
        name = str(values[parts.name] or "").strip()
        styles.delete(name)
        said = f"The style {name} is deleted; the file before is kept as .bak."
        return {**listed(values[chosen]), parts.note: _note(said)}

    inputs = {parts.name, chosen, *words}
    parts.keep_style.click(_reporting(form, keep), inputs, [chosen, parts.note], **QUICK)
    parts.drop_style.click(_reporting(form, drop), inputs, [chosen, parts.note], **QUICK)


def _reporting(form: AnyForm, act: Callable[[V], Updates]) -> Callable[[V], Updates]:
    """What goes wrong is said under the buttons."""

    def handler(values: V) -> Updates:
        try:
            return act(values)
        except AtelierError as error:
            return {form.presets.note: f'<p class="problem">{html.escape(str(error))}</p>'}

    return handler


def _settings(kept: dict[str, Component], values: Values) -> Settings:
    return {name: values[part] for name, part in kept.items() if name not in NOT_KEPT}


def _note(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"
