"""How the program is, for whoever watches over it.

GET health   whether it is up; for everybody
GET metrics  how much there is to do, in Prometheus' text format; for the owner
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from app.keeping.library import OWNER
from app.studio.jobs import Studio
from ldm_core.errors import AtelierError

TEXT = "text/plain; version=0.0.4; charset=utf-8"
Samples = list[tuple[str, float]]  # labels and values


def status_routes(studio: Studio) -> list[BaseRoute]:
    """Both routes."""

    def health(_request: Request) -> Response:
        if studio.problem:
            return JSONResponse({"status": "failed"}, 503)
        return JSONResponse({"status": "ok" if studio.is_ready else "starting"})

    def metrics(request: Request) -> Response:
        if request.scope["person"] != OWNER:
            return PlainTextResponse("There is no such thing here.", 404)
        return Response("".join(_lines(studio)), media_type=TEXT)

    return [Route("/health", health), Route("/metrics", metrics)]


def _lines(studio: Studio) -> Iterator[str]:
    """Every measure with what it says."""
    states = Counter(item.state for item in studio.jobs.queue.open_items())
    jobs: Samples = [(f'{{state="{state}"}}', states[state]) for state in ("waiting", "running")]
    yield _measure("atelier_queue_jobs", "gauge", "Jobs of the page's queues.", jobs)
    yield _measure("atelier_calls", "gauge", "Calls of programs.", [("", studio.limits.calls)])
    try:
        found = studio.engine().figures()
    except AtelierError:
        return
    at_work: Samples = [('{state="waiting"}', found.waiting), ('{state="running"}', found.running)]
    yield _measure("atelier_engine_jobs", "gauge", "Jobs that the engine has.", at_work)
    yield _measure("atelier_steps_total", "counter", "Steps of pictures.", [("", found.steps)])
    yield _measure(
        "atelier_step_seconds_total", "counter", "Time that they took.", [("", found.step_seconds)]
    )
    errors: Samples = [(f'{{kind="{kind}"}}', count) for kind, count in sorted(found.errors.items())]
    yield _measure("atelier_errors_total", "counter", "Jobs that failed.", errors or [('{kind="none"}', 0)])
    yield _measure("atelier_memory_bytes", "gauge", "Memory of the program.", [("", memory())])


def _measure(name: str, kind: str, says: str, samples: Samples) -> str:
    lines = [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]
    return "\n".join([*lines, *(f"{name}{labels} {value:g}" for labels, value in samples)]) + "\n"


def memory() -> int:
    """Bytes that the program has in memory, at most so far where the system does not tell how many now."""
    try:
        with open("/proc/self/statm") as told:
            pages = int(told.read().split()[1])
        import resource

        return pages * resource.getpagesize()
    except (OSError, ImportError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
