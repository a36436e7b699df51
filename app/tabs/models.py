"""The tab of models."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from app.form.defaults import model_choices
from app.form.form import AnyForm, over, suit
from app.studio.jobs import Studio
from app.tabs import models_owner
from app.tabs.model_list import HINT, ModelList, Parts, facts_of, lists, sentence
from app.widgets.events import QUICK_PREPROCESSED
from app.widgets.updates import Updates, change
from ldm_core.errors import AtelierError

SEEN = 3.0  # seconds for which a scan counts as new when a list is opened


def make_tab(page: gr.Blocks, studio: Studio, made: Sequence[AnyForm], tabs: gr.Tabs, tab: gr.Tab) -> None:
    """Makes the tab's components inside the surrounding `gr.Tab` and connects them."""
    with gr.Row(elem_id="models-tab"):
        with gr.Column(elem_id="models-left", min_width=0):
            listing = ModelList(label="Models", elem_id="model-list")  # filled when the tab is opened
        with gr.Column(elem_id="models-side", min_width=0):
            chosen = gr.State("")
            facts = gr.HTML(HINT, elem_id="model-facts", apply_default_css=False)
            with gr.Row(elem_classes="buttons"):
                use = gr.Button(
                    "Use this model", elem_id="model-use", size="sm", interactive=False, min_width=0
                )
                refresh = gr.Button("Look again", elem_id="model-refresh", size="sm", min_width=0)
                remove = models_owner.make_remove() if studio.shelf is not None else None
            parts = Parts(listing, chosen, facts, use, refresh)
            if studio.shelf is not None and remove is not None:
                models_owner.make_parts(page, studio, studio.shelf, parts, made, remove)
    _connect(studio, made, parts, tabs, tab)


def _connect(studio: Studio, made: Sequence[AnyForm], parts: Parts, tabs: gr.Tabs, tab: gr.Tab) -> None:
    def pick(event: gr.EventData) -> Updates:
        name = event._data.get("id") if isinstance(event._data, dict) else ""
        return _pick(studio, parts, str(name))

    def reopen() -> Updates:
        studio.models.scan(SEEN)
        return lists(studio, parts, made)

    def look_again() -> Updates:
        studio.models.scan()
        return lists(studio, parts, made)

    def use(name: str) -> Updates:
        return _use(studio, made, tabs, parts, name)

    seen = [parts.listing, *(form.model for form in made)]
    parts.listing.pick(pick, None, [parts.chosen, parts.facts, parts.use], **QUICK_PREPROCESSED)
    parts.refresh.click(look_again, None, seen, **QUICK_PREPROCESSED)
    tab.select(reopen, None, seen, **QUICK_PREPROCESSED)
    for form in made:
        form.model.focus(reopen, None, seen, **QUICK_PREPROCESSED)
    filled = [component for form in made for component in form.filled()]
    parts.use.click(use, parts.chosen, [*filled, tabs, parts.facts], **QUICK_PREPROCESSED)


def _use(studio: Studio, made: Sequence[AnyForm], tabs: gr.Tabs, parts: Parts, name: str) -> Updates:
    """Chooses a model in the first tab that it can serve, and opens that."""
    try:
        entry = studio.models.entry(name)
    except AtelierError as error:
        return {parts.facts: sentence(str(error), failed=True)}
    form = next((form for form in made if any(entry.serves(task) for task in form.tasks)), None)
    if form is None:
        return {parts.facts: sentence("No tab can use this model yet.", failed=True)}
    chosen = change(choices=model_choices(studio, form.tasks), value=name)
    return {**over(suit(studio, form, name), {form.model: chosen}), tabs: change(selected=form.name)}


def _pick(studio: Studio, parts: Parts, name: str) -> Updates:
    try:
        entry = studio.models.entry(name)
    except AtelierError as error:
        return {
            parts.chosen: "",
            parts.facts: sentence(str(error), failed=True),
            parts.use: change(interactive=False),
        }
    return {
        parts.chosen: name,
        parts.facts: facts_of(studio, entry),
        parts.use: change(interactive=entry.is_usable),
    }
