"""The one long-lived event of each page, which alone writes what the stage shows.

It ends with its connection; the page then asks for another one (assets/link.js), and finds everything as it
is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import gradio as gr

from app.form.form import AnyForm
from app.stage.jobs_list import listed
from app.stage.stage import Stage, status_line
from app.stage.view import View, view
from app.studio.frames import Finished
from app.studio.jobs import Studio
from app.widgets.asking import page_of
from app.widgets.components import Comparison, PngFile, data_uri, strip_of
from app.widgets.events import PRIVATE
from app.widgets.queue_list import Beat, Link, Listed, QueueList
from app.widgets.shown import png_of, shown_of
from app.widgets.updates import Updates, change
from ldm_core.request import SuperResolution

LOOK = 0.05  # seconds between two looks whether something changed
SLOW = 1.0  # between two of what changes slowly: small previews, seconds left
BEAT = 10.0  # at most between two words to the page, so that it and we know that the other is there
AHEAD = 2  # words that a page may not have seen yet: a slow one gets fewer, not later ones


def connect(studio: Studio, stage: Stage, link: Link, queue: QueueList, made: Sequence[AnyForm]) -> None:
    """For all tabs; `made` has their forms."""
    stops = [form.stop for form in made]

    async def watch(request: gr.Request) -> AsyncIterator[Updates]:
        page = page_of(studio, request)
        turn = page.attach()
        shown: View | None = None
        rows: Listed | None = None
        outline: object = None
        seen, slow, beat = -1, 0.0, 0
        sent = 0.0
        try:
            while page.turn == turn:
                now = time.monotonic()
                if beat - page.seen >= AHEAD and now - sent < BEAT:
                    await asyncio.sleep(LOOK)
                    continue
                updates: Updates = {}
                due = now - slow >= SLOW
                if due or page.person.version != seen:
                    seen, slow = page.person.version, now if due else slow
                    new = await asyncio.to_thread(view, page, studio.grids, made)
                    if shown is not None and not due and _maker(new) == _maker(shown):
                        new = replace(new, making=shown.making)
                    updates = _changes(stage, shown, new)
                    if shown is None or new.stop != shown.stop:
                        updates |= dict.fromkeys(stops, change(interactive=new.stop))
                    shown = new
                    before, outline = outline, studio.jobs.outline(page.person)
                    if due or outline != before:
                        listing = await asyncio.to_thread(listed, studio, page.person)
                        if listing != rows:
                            updates[queue] = rows = listing
                if updates or now - sent >= BEAT:
                    sent, beat = now, beat + 1
                    yield {**updates, link: Beat(number=beat, page=str(request.session_hash))}
                await asyncio.sleep(LOOK)
        finally:
            page.leave(turn)

    outputs = [*stage.shown(), *stops, queue, link]
    link.attach(watch, None, outputs, trigger_mode="multiple", concurrency_limit=None, **PRIVATE)


def _changes(stage: Stage, old: View | None, new: View) -> Updates:
    """What differs from what is shown."""
    updates: Updates = {}
    if old is None or new.picture is not old.picture:
        updates |= _picture(stage, new.picture)
    if old is None or new.status != old.status:
        said = new.status
        updates[stage.status] = status_line(said.text, kind=said.kind, done=said.done, at=said.at)
    if old is None or new.timeline != old.timeline:
        updates[stage.timeline] = new.timeline
    if old is None or new.details != old.details:
        updates[stage.details] = new.details
    if old is None or (new.batch, new.selected) != (old.batch, old.selected):
        updates[stage.strip] = strip_of(new.batch, new.selected)
    if old is None or new.grid != old.grid:
        updates[stage.legend] = new.grid
    if old is None or new.selected != old.selected:
        updates[stage.rail] = new.selected
    if old is None or (new.making, new.selected) != (old.making, old.selected):
        updates[stage.making] = _making(new)
    if old is None or (new.finished is None) != (old.finished is None):
        updates |= dict.fromkeys(stage.onward(), change(interactive=new.finished is not None))
    return updates


def _maker(shown: View) -> str:
    return "" if shown.making is None else shown.making[0]


def _making(shown: View) -> object:
    """The job that runs, as the one picture of a strip."""
    if shown.making is None:
        return strip_of(())
    id, jpeg, text = shown.making
    src = "" if jpeg is None else data_uri(jpeg, "image/jpeg")
    return {"items": [{"id": id, "src": src, "alt": text}], "selected": shown.selected}


def _picture(stage: Stage, picture: Finished | bytes | None) -> Updates:
    if not isinstance(picture, Finished):
        return {stage.picture: picture, stage.compare: None}
    file = PngFile(picture.copy or picture.png, picture.name)
    return {stage.picture: file, stage.compare: _comparison(picture, file)}


def _comparison(picture: Finished, after: PngFile) -> Comparison | None:
    """What a larger picture was made of."""
    if not isinstance(picture.request, SuperResolution):
        return None
    return Comparison(PngFile(png_of(shown_of(picture.request.image)), "before.png"), after)
