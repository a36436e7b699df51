"""What only the owner of this computer gets in the tab of models: adding and removing."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from app.form.form import AnyForm
from app.keeping.shelf import Fetching, Shelf
from app.studio.jobs import Studio
from app.tabs.model_list import HINT, Parts, facts_of, lists, sentence
from app.widgets.events import PREPROCESSED, QUICK_PREPROCESSED
from app.widgets.updates import Updates, change
from ldm_core.errors import AtelierError
from ldm_core.library.hub import Offer, look
from ldm_core.library.published_models import published
from ldm_core.wording import shown, size_text

TOLD_EVERY = 0.4  # seconds between two looks at a fetch


@dataclass(frozen=True, slots=True)
class Owner:
    """The components that only the owner of this computer gets."""

    remove: gr.Button
    really: gr.Button
    curated: gr.Dropdown
    what: gr.Textbox
    link: gr.Checkbox
    look: gr.Button
    offer: gr.State  # an `Offer` or the path of a local file
    news: gr.HTML
    add: gr.Button
    stop: gr.Button


Remove = tuple[gr.Button, gr.Button]  # asks, deletes


def make_remove() -> Remove:
    """Makes the two buttons that delete a model."""
    ask = gr.Button("Remove…", elem_id="model-remove", size="sm", interactive=False, min_width=0)
    label = "Delete from the disk"
    really = gr.Button(label, elem_id="model-really", size="sm", variant="stop", visible=False, min_width=0)
    return ask, really


def make_parts(
    page: gr.Blocks, studio: Studio, shelf: Shelf, parts: Parts, made: Sequence[AnyForm], remove: Remove
) -> None:
    """Makes the other components of the owner in the tab's side and connects all."""
    gr.HTML("<h2>Add a model</h2>", elem_id="add-title", apply_default_css=False)
    curated = gr.Dropdown(
        [(f"{row.title} · {row.gigabytes:g} GB · {row.licence}", row.name) for row in published()],
        value=None,
        label="Published models",
        elem_id="add-curated",
    )
    what = gr.Textbox(
        label="Or a hub's id, or a file or folder on this computer",
        placeholder="owner/name or /path/to/model.safetensors",
        max_lines=1,
        elem_id="add-what",
    )
    link = gr.Checkbox(False, label="Link a local file instead of copying it", elem_id="add-link")
    look_ = gr.Button("Look", elem_id="add-look", size="sm", min_width=0)
    news = gr.HTML("", elem_id="add-news", apply_default_css=False)
    offer = gr.State(None)
    with gr.Row(elem_classes="buttons"):
        add = gr.Button("Add", elem_id="add-go", size="sm", variant="primary", interactive=False, min_width=0)
        stop = gr.Button("Stop", elem_id="add-stop", size="sm", interactive=False, min_width=0)
    _connect(
        page,
        studio,
        shelf,
        parts,
        made,
        Owner(*remove, curated, what, link, look_, offer, news, add, stop),
    )


def _connect(
    page: gr.Blocks, studio: Studio, shelf: Shelf, parts: Parts, made: Sequence[AnyForm], owner: Owner
) -> None:
    everywhere = [parts.listing, *(form.model for form in made)]

    def ask(name: str) -> Updates:
        return _ask(studio, shelf, parts, owner, name)

    def remove(name: str) -> Updates:
        try:
            shelf.remove(studio.models.entry(name))
            facts, left = HINT, ""
        except AtelierError as error:
            facts, left = sentence(str(error), failed=True), name
        return {
            parts.facts: facts,
            parts.chosen: left,
            parts.use: change(interactive=False),
            owner.really: change(visible=False),
            owner.remove: change(interactive=bool(left)),
            **lists(studio, parts, made),
        }

    def add(offer: Offer | Path | None, link: bool) -> Iterator[Updates]:
        yield from _add(studio, shelf, parts, made, owner, offer, link)

    def watch() -> Iterator[Updates]:
        yield {owner.news: gr.skip()}
        if shelf.fetching is not None and not shelf.fetching.ended.is_set():
            yield from _watch(studio, parts, made, owner, shelf.fetching)

    changing = [owner.news, owner.add, owner.stop, owner.look, *everywhere]
    owner.remove.click(ask, parts.chosen, [parts.facts, owner.really], **QUICK_PREPROCESSED)
    changed = [parts.facts, parts.chosen, parts.use, owner.really, owner.remove]
    owner.really.click(remove, parts.chosen, [*changed, *everywhere], **QUICK_PREPROCESSED)
    parts.listing.pick(
        lambda: (change(visible=False), change(interactive=True)),
        None,
        [owner.really, owner.remove],
        **QUICK_PREPROCESSED,
    )
    owner.curated.input(lambda name: name, owner.curated, owner.what, **QUICK_PREPROCESSED)
    seen = [owner.offer, owner.news, owner.add]
    gr.on(
        [owner.look.click, owner.what.submit, owner.curated.input],
        lambda: sentence("Looking…"),
        None,
        owner.news,
        **QUICK_PREPROCESSED,
    )
    gr.on([owner.look.click, owner.what.submit], _look(owner), owner.what, seen, **PREPROCESSED)
    owner.curated.input(_look(owner), owner.curated, seen, **PREPROCESSED)
    owner.add.click(add, [owner.offer, owner.link], changing, concurrency_limit=None, **PREPROCESSED)
    owner.stop.click(shelf.close, None, None, **QUICK_PREPROCESSED)
    page.load(watch, None, changing, concurrency_limit=None, **PREPROCESSED)


def _ask(studio: Studio, shelf: Shelf, parts: Parts, owner: Owner, name: str) -> Updates:
    """Asks back before something is deleted."""
    try:
        entry = studio.models.entry(name)
    except AtelierError:
        return {parts.facts: sentence("Choose a model first."), owner.really: change(visible=False)}
    if not shelf.owns(entry):
        text = f"It does not lie in {shelf.folder.name}/ itself; delete it where it lies."
        return {parts.facts: facts_of(studio, entry) + sentence(text), owner.really: change(visible=False)}
    return {parts.facts: facts_of(studio, entry), owner.really: change(visible=True)}


def _look(owner: Owner) -> Callable[[str | None], Updates]:
    def look_at(text: str | None) -> Updates:
        """Shows what would be added, with its licence, before anything is fetched."""
        text = (text or "").strip()
        nothing = {owner.offer: None, owner.add: change(interactive=False)}
        if not text:
            return {**nothing, owner.news: sentence("Choose a published model, or write down where one is.")}
        path = Path(text).expanduser()
        if path.is_absolute() or path.exists():
            if not path.exists():
                return {**nothing, owner.news: sentence(f"There is no file {shown(path.name)}.", failed=True)}
            news = sentence(f"{path.name} lies on this computer.")
            return {owner.offer: path, owner.news: news, owner.add: change(interactive=True)}
        try:
            offer = look(text)
        except AtelierError as error:
            return {**nothing, owner.news: sentence(str(error), failed=True)}
        return {owner.offer: offer, owner.news: _offer(offer), owner.add: change(interactive=True)}

    return look_at


def _offer(offer: Offer) -> str:
    licence = html.escape(offer.licence or "not named; read its page")
    if offer.licence_url:
        address = html.escape(offer.licence_url)
        licence = f'<a href="{address}" target="_blank" rel="noopener noreferrer">{licence}</a>'
    size, files = size_text(offer.size), len(offer.files)
    rows = {
        "Model": html.escape(offer.name),
        "From": html.escape(f"{offer.repository}, revision {offer.revision[:12]}"),
        "Size": f"{size}, {files} file{'s' if files > 1 else ''}",
        "Licence": licence,
    }
    return "<dl>" + "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in rows.items()) + "</dl>"


def _add(
    studio: Studio,
    shelf: Shelf,
    parts: Parts,
    made: Sequence[AnyForm],
    owner: Owner,
    offer: Offer | Path | None,
    link: bool,
) -> Iterator[Updates]:
    """Adds what was looked at; tells how far a fetch is until it ends."""
    busy = {owner.add: change(interactive=False), owner.look: change(interactive=False)}
    try:
        if isinstance(offer, Offer):
            yield from _watch(studio, parts, made, owner, shelf.start(offer))
            return
        if offer is None:
            yield {owner.news: sentence("Look at something first.")}
            return
        yield {**busy, owner.news: sentence("Copying…" if not link else "Linking…")}
        news = sentence(f"Added as {shelf.add(offer, link=link)}.")
    except AtelierError as error:
        news = sentence(str(error), failed=True)
    yield {owner.news: news, owner.look: change(interactive=True), **lists(studio, parts, made)}


def _watch(
    studio: Studio, parts: Parts, made: Sequence[AnyForm], owner: Owner, fetching: Fetching
) -> Iterator[Updates]:
    """Relays a fetch, which goes on where the page is closed."""
    yield {
        owner.news: _progress(fetching),
        owner.add: change(interactive=False),
        owner.look: change(interactive=False),
        owner.stop: change(interactive=True),
    }
    while not fetching.ended.wait(TOLD_EVERY):
        yield {owner.news: _progress(fetching)}
    error = fetching.error
    news = sentence(str(error), failed=True) if error else sentence(f"{fetching.offer.name} is here now.")
    yield {
        owner.news: news,
        owner.add: change(interactive=error is not None),  # a new try goes on where this one stopped
        owner.look: change(interactive=True),
        owner.stop: change(interactive=False),
        **lists(studio, parts, made),
    }


def _progress(fetching: Fetching) -> str:
    progress = fetching.progress
    percent = 100 * progress.done / max(1, progress.total)
    words = html.escape(f"Fetching {fetching.offer.name}: {progress}")
    return f"<p class='bar'>{words}<i style='width:{percent:.1f}%'></i></p>"
