"""How models are shown: a list with a filter, and the facts of one."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import gradio as gr

from app.form.defaults import model_choices
from app.form.form import AnyForm
from app.studio.jobs import Studio
from app.widgets.scripts import Scripted
from app.widgets.updates import Updates, change
from ldm_core.library.index import Entry
from ldm_core.wording import size_text

Listing = dict[str, list[dict[str, str | bool]] | str]

_TASKS = {
    "text-to-image": "text to image",
    "class": "classes",
    "layout": "layouts",
    "semantic": "label maps",
    "super-resolution": "enlarging",
    "inpaint": "inpainting",
    "unconditional": "pictures without words",
    "image-to-image": "image to image",
}


class ModelList(Scripted):
    """Models with a filter.  Fires `pick` with the chosen one's name as `id` of the event."""

    script = "models.js"
    empty: ClassVar[Listing] = {"items": []}


@dataclass(frozen=True, slots=True)
class Parts:
    """The components of the tab that everybody sees."""

    listing: ModelList
    chosen: gr.State  # name of the model whose facts are shown
    facts: gr.HTML
    use: gr.Button
    refresh: gr.Button


HINT = "<p class='quiet'>Choose a model to read about it.</p>"


def listing_of(studio: Studio) -> Listing:
    """What a `ModelList` shows: nothing that only the owner may know."""
    entries = sorted(studio.models.entries(), key=lambda entry: (not entry.is_usable, entry.name.casefold()))
    return {
        "items": [_row(entry) for entry in entries],
        "selected": "",
        "note": " ".join(studio.models.problems()),
    }


def _row(entry: Entry) -> dict[str, str | bool]:
    return {
        "name": entry.name,
        "title": entry.title,
        "what": entry.family or entry.kind,
        "tasks": _tasks(entry),
        "size": size_text(entry.size),
        "precision": entry.precision,
        "hash": entry.autov2,
        "licence": entry.licence,
        "problem": entry.problem,
        "usable": entry.is_usable,
    }


def facts_of(studio: Studio, entry: Entry) -> str:
    """Everything about a model, as HTML; its place on the disk for the owner alone."""
    rows = {
        "Name": entry.name,
        "Kind": entry.family or entry.kind,
        "Makes": _tasks(entry),
        "Size": size_text(entry.size),
        "Parameters": f"{entry.num_parameters / 1e6:,.1f} million, {entry.precision}"
        if entry.num_parameters
        else "",
        "Hash": entry.autov2 or "being computed",
        "SHA-256": entry.sha256,
        "Left aside": entry.note,
        "Licence": entry.licence or "not named",
        "From": entry.source,
        "Lies in": str(entry.path) if studio.shelf is not None else "",
    }
    table = "".join(f"<dt>{key}</dt><dd>{html.escape(value)}</dd>" for key, value in rows.items() if value)
    about = f"<p>{html.escape(entry.description)}</p>" if entry.description else ""
    problem = sentence(entry.problem, failed=True) if entry.problem else ""
    return f"<h2>{html.escape(entry.title or entry.name)}</h2>{about}{problem}<dl>{table}</dl>"


def _tasks(entry: Entry) -> str:
    return ", ".join(words for task, words in _TASKS.items() if task in entry.tasks)


def sentence(text: str, *, failed: bool = False) -> str:
    return f"<p class='{'failed' if failed else 'quiet'}'>{html.escape(text)}</p>" if text else ""


def lists(studio: Studio, parts: Parts, made: Sequence[AnyForm]) -> Updates:
    """The models in every place that offers them, as the library knows them now."""
    choices = {form.model: change(choices=model_choices(studio, form.tasks)) for form in made}
    return {parts.listing: listing_of(studio), **choices}
