"""The endpoints for programs: a request as JSON in, PNG files and their requests out.

Pictures in a request are `data:` URIs, or files that the program uploaded here; a path is never opened.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import gradio as gr
from gradio.context import LocalContext

from app.form.picture_input import uploaded
from app.keeping.library import OWNER
from app.studio.frames import Finished
from app.studio.jobs import Studio
from app.studio.run import Run
from app.studio.running import GUEST_RUNS
from app.widgets.asking import guest_of, person_of
from app.widgets.components import PngFile, cached
from ldm_core.errors import AtelierError, EngineError
from ldm_core.request import RULES, TASKS, Request, parse_request, to_json
from ldm_core.request.rules import RasterOf

Json = dict[str, object]
Made = TypeVar("Made")


LOOK_SECONDS = 0.1  # between two looks whether somebody waits still
THREADS = 256  # calls that are made at a time


def serve(studio: Studio) -> None:
    """Adds `/generate` for any request, and one endpoint for each task, `/text_to_image` and so on, whose
    request may leave the task out."""
    calls = Calls(studio)
    gr.api(calls.endpoint(), api_name="generate", concurrency_limit=None)
    for task in TASKS:
        gr.api(calls.endpoint(task), api_name=task.replace("-", "_"), concurrency_limit=None)


class Calls:
    """Answers programs.  A call whose program is gone, or that is cancelled, stops before its next step, and
    counts among its person's until then.  Of a program that never asks for the answer it is known that it is
    gone when nothing was heard of it for `GUEST_RUNS`; the owner's are made all the same."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="call")

    def endpoint(self, task: str | None = None) -> Callable[[Json, gr.Request], Awaitable[Json]]:
        async def generate(request: Json, asked_by: gr.Request) -> Json:
            start = time.monotonic()
            try:
                asked, requests = await asyncio.to_thread(self._read, request, task)
                await asyncio.to_thread(self._studio.require_room)
                pictures = await self._made(requests, asked_by)
            except AtelierError as error:
                raise gr.Error(str(error), print_exception=False) from None
            problems = dict.fromkeys(picture.problem for picture in pictures if picture.problem)
            told = self._studio.models.request_notes(pictures[0].request)
            return {
                "images": [_file(picture) for picture in pictures],
                "requests": [to_json(picture.request) for picture in pictures],
                "saved": [picture.path is not None for picture in pictures],
                "notes": [*asked.notes(), *filter(None, [told]), *problems],
                "seconds": round(time.monotonic() - start, 3),
            }

        return generate

    def _read(self, request: Json, task: str | None) -> tuple[Request, list[Request]]:
        """What is asked for, and the requests that this stands for."""
        implied = {} if task is None else {"task": task}
        asked = parse_request({**with_uploads(request), **implied})
        return asked, self._studio.words.expanded(asked)

    async def _made(self, requests: Sequence[Request], asked_by: gr.Request) -> list[Finished]:
        run, person = Run(uuid.uuid4().hex, tuple(requests)), person_of(asked_by)
        guest = "" if person == OWNER else guest_of(asked_by.request.scope)

        def is_awaited() -> bool:
            return _is_connected() and (not guest or self._studio.presence.away(guest) < GUEST_RUNS)

        turn = self._studio.limits.turn(person)
        with self._studio.limits.calling(person, requests):
            await _held(turn, is_awaited)
            try:
                loop = asyncio.get_running_loop()
                work = loop.run_in_executor(self._threads, self._studio.make_run, run, person)
                return await _stopped_or_made(work, run, is_awaited)
            finally:
                turn.release()


async def _held(turn: asyncio.Semaphore, is_awaited: Callable[[], bool]) -> None:
    """Waits for a turn, as long as somebody waits for its outcome.

    Raises:
        EngineError: nobody does.
    """
    waiting = asyncio.ensure_future(turn.acquire())
    try:
        while not waiting.done():
            await asyncio.wait([waiting], timeout=LOOK_SECONDS)
            if not is_awaited():
                raise EngineError("The job was stopped.")
    except BaseException:
        if not waiting.cancel():  # it has come meanwhile
            turn.release()
        raise


async def _stopped_or_made(work: asyncio.Future[Made], run: Run, is_awaited: Callable[[], bool]) -> Made:
    """What some work gives.  Where nobody waits for it any more it is stopped.  It has ended in any case."""
    try:
        while not work.done():
            await asyncio.wait([work], timeout=LOOK_SECONDS)
            if not is_awaited():
                run.cancel()
    finally:
        run.cancel()  # no effect on one that ended
        while not work.done():
            with suppress(asyncio.CancelledError):  # that comes again, while it is stopped already
                await asyncio.wait([work])
        work.exception()
    return work.result()


def _is_connected() -> bool:
    """Whether the program that called is there still, as far as gradio knows."""
    blocks, id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    event = None if blocks is None or id is None else blocks._queue.event_ids_to_events.get(id)
    return event is None or bool(event.alive)


def with_uploads(request: object) -> Mapping[str, object]:
    """A request's JSON with the files that were uploaded for it read.

    Raises:
        FileError: a file is not at hand or no picture.
    """
    if not isinstance(request, Mapping):
        return {}
    return {name: _with_upload(name, value) for name, value in request.items()}


def _with_upload(name: object, value: object) -> object:
    rule = RULES.get(name) if isinstance(name, str) else None
    if isinstance(rule, RasterOf) and isinstance(value, Mapping):
        return uploaded(value, rule.kind)
    return value


def _file(picture: Finished) -> Json:
    """A picture as gradio's clients download it."""
    path = cached(PngFile(picture.png, picture.name))
    data = gr.FileData(
        path=path, url=f"/gradio_api/file={path}", orig_name=picture.name, mime_type="image/png"
    )
    return dict(data.model_dump())
