"""The list of a person's jobs, as their pages show it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from app.studio.frames import in_words
from app.studio.jobs import Studio
from app.studio.people import Page, Person
from app.studio.queue import Item
from app.studio.run import THUMB_SIDE
from app.studio.running import GUEST_RUNS, GUEST_WAITS
from app.widgets.asking import page_of
from app.widgets.components import data_uri, words_of
from app.widgets.events import QUICK
from app.widgets.queue_list import Listed, QueueList, Row
from ldm_core.errors import AtelierError

SHOWN_ENDED = 5
GUEST_NOTE = (
    "When your last window of this page is closed, what runs goes on for "
    f"{GUEST_RUNS / 60:.0f} minutes and what waits is kept for {GUEST_WAITS / 60:.0f}."
)


def connect(studio: Studio, queue: QueueList) -> None:
    """What is pressed in the list."""

    def act(event: gr.EventData, request: gr.Request) -> None:
        data = event._data if isinstance(event._data, dict) else {}
        page = page_of(studio, request)
        acts = _acts(studio, page, str(data.get("id")), data)
        chosen = acts.get(str(data.get("do")))
        try:
            if chosen is not None:
                chosen()
        except AtelierError as error:
            page.say(str(error), "failed")

    queue.act(act, None, None, trigger_mode="multiple", **QUICK)


def _acts(studio: Studio, page: Page, id: str, data: dict[str, object]) -> dict[str, Callable[[], object]]:
    jobs, person = studio.jobs, page.person
    to, on = data.get("to"), data.get("on") is True
    return {
        "cancel": lambda: jobs.cancel(person, id),
        "move": lambda: jobs.move(person, id, to) if isinstance(to, int) else None,
        "again": lambda: jobs.again(person, id),
        "show": lambda: page.choose(id),
        "pause": lambda: jobs.pause_queue(person, paused=on),
        "repeat": lambda: jobs.repeat(person, endless=on),
        "clear": lambda: jobs.cancel_all(person),
    }


def listed(studio: Studio, person: Person) -> Listed:
    """The rows in order, and what holds of all."""
    jobs = studio.jobs
    items = jobs.queue.items(person.id)
    open_ = [item for item in items if item.ended is None]
    ended = [item for item in items if item.ended is not None][-SHOWN_ENDED:]
    rows: list[Row] = []
    before: float | None = 0.0  # seconds until the next one's turn; None where that is not known
    place = 0
    for item in open_:
        text = "Interrupted: the program ended before it was made"
        seconds: float | None = 0.0
        if item.state == "running":
            text, seconds = _running(studio, person, item)
        elif item.state == "waiting":
            place += 1
            text, seconds = _waiting(place, before), _seconds(studio, item)
        before = None if before is None or seconds is None else before + seconds
        rows.append(_row(person, item, text))
    rows += [_row(person, item, item.said) for item in reversed(ended)]
    return {
        "rows": rows,
        "open": jobs.open(person),
        "paused": jobs.queue.is_paused(person.id),
        "endless": person.endless,
        "ended": person.ended,
        "note": " ".join(filter(None, [GUEST_NOTE if person.is_guest else "", jobs.queue.notice])),
    }


def _running(studio: Studio, person: Person, item: Item) -> tuple[str, float | None]:
    """What is said of it, and the seconds that are left."""
    run = person.run(item.id)
    if run is None:
        return "Starting…", None
    whole = _seconds(studio, item)
    if run.paused:
        return "Paused", None
    return run.text, None if whole is None else whole * (1 - (run.done or 0.0))


def _seconds(studio: Studio, item: Item) -> float | None:
    each = [studio.paces.seconds(request) for request in item.requests]
    known = [seconds for seconds in each if seconds is not None]
    return sum(known) if len(known) == len(each) else None


def _waiting(place: int, before: float | None) -> str:
    which = "Next" if place == 1 else f"{place}th" if place > 3 else ("2nd", "3rd")[place - 2]
    return which if not before else f"{which}, in about {in_words(before)}"


def _row(person: Person, item: Item, text: str) -> Row:
    words = words_of(item.requests[0]) if item.requests else ""
    if item.count > 1:
        words = f"{item.count} × {words}"
    return {"id": item.id, "state": item.state, "words": words, "text": text, "src": _small(person, item)}


def _small(person: Person, item: Item) -> str:
    """A small picture of it."""
    run = person.run(item.id)
    if run is None:
        return ""
    jpeg = run.jpeg(THUMB_SIDE)
    if jpeg is not None and run.ended is None:
        return data_uri(jpeg, "image/jpeg")
    return run.pictures[-1].thumb if run.pictures else ""
