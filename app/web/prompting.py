"""Help in writing prompts, for the page's scripts, and the owner's own settings.

GET  complete?before=&model=    what could go on from there
GET  used?words=                prompts that were used last; null where the browser keeps its own
GET  grid/ID/PAGE                what a grid looks like now
POST used, last/FORM            a prompt that is used; the settings of a form
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from app.keeping.presets import MAX_BYTES
from app.prompts.completion import complete
from app.studio.jobs import Studio
from ldm_core.errors import AtelierError
from ldm_core.request.rules import PROMPT_CHARACTERS

NEVER = {"cache-control": "no-store"}
FORMS = 40  # characters of a form's name
MAX_WORDS = 300


class PromptingRoutes:
    """Answers the page's scripts."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def mount(self) -> Mount:
        """All routes, below `/prompting`."""
        return Mount(
            "/prompting",
            routes=[
                Route("/complete", self._complete),
                Route("/used", self._used),
                Route("/used", self._use, methods=["POST"]),
                Route("/last/{form}", self._keep, methods=["POST"]),
                Route("/grid/{id}/{page:int}", self._grid),
            ],
        )

    def _complete(self, request: Request) -> Response:
        words, asked = self._studio.words, request.query_params
        model = asked.get("model", "")
        known, embeddings = known_words(self._studio, model), known_embeddings(self._studio, model)
        found = complete(words, words.tags, asked.get("before", ""), known, embeddings)
        return JSONResponse(asdict(found), headers=NEVER)

    def _used(self, request: Request) -> Response:
        used = self._studio.prompts
        if used is None:
            return JSONResponse(None, headers=NEVER)
        try:
            found = used.find(request.query_params.get("words", "")[:MAX_WORDS])
        except AtelierError as error:
            return JSONResponse({"problem": str(error)}, status_code=400)
        listed = [{"prompt": prompt, "negative": negative} for prompt, negative in found]
        return JSONResponse(listed, headers=NEVER)

    async def _use(self, request: Request) -> Response:
        body = await _json(request)
        used = self._studio.prompts
        if used is None or body is None:
            return JSONResponse({"kept": False})
        texts = [str(body.get(name) or "")[:PROMPT_CHARACTERS] for name in ("prompt", "negative")]
        return await _done(lambda: used.add(texts[0], texts[1]))

    async def _keep(self, request: Request) -> Response:
        body = await _json(request)
        presets, form = self._studio.presets, str(request.path_params["form"])[:FORMS]
        if presets is None or body is None:
            return JSONResponse({"kept": False})
        return await _done(lambda: presets.write(form, "last", body))

    def _grid(self, request: Request) -> Response:
        """A page of a grid; its address, known to its person alone, is all that is asked."""
        file = self._studio.grids.drawn(request.path_params["id"], request.path_params["page"])
        if file is None:
            return Response(status_code=404)
        return Response(file, media_type="image/jpeg", headers=NEVER)


def known_words(studio: Studio, model: str) -> list[str]:
    """The words that a model was taught, where it has such a list."""
    try:
        path = studio.models.info(model).path
    except AtelierError:
        return []
    return _vocabulary((path if path.is_dir() else path.parent) / "vocab.txt")


def known_embeddings(studio: Studio, model: str) -> Sequence[str]:
    """The embeddings that are made for a model; none before the engine is up, which brings torch."""
    try:
        return studio.models.embeddings(model) if studio.is_ready and model else ()
    except AtelierError:
        return ()


@functools.lru_cache(maxsize=16)
def _vocabulary(path: Path) -> list[str]:
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []
    return sorted(word for word in words if word.isalpha() and len(word) > 2)


async def _json(request: Request) -> dict[str, object] | None:
    """What was sent; None where that is no JSON object of a reasonable size."""
    if int(request.headers.get("content-length") or 0) > MAX_BYTES:
        return None
    if request.headers.get("content-type") != "application/json":
        return None
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


async def _done(act: Callable[[], None]) -> Response:
    try:
        await run_in_threadpool(act)
    except AtelierError as error:
        return JSONResponse({"problem": str(error)}, status_code=400)
    return JSONResponse({"kept": True})
