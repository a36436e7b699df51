"""What a page says of the words that `app.stage.watch` sent it: which one it has drawn.

POST seen/PAGE/BEAT.  A plain request, for an event of gradio's costs the page more than what it speaks of.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.studio.jobs import Studio
from app.widgets.asking import person_of


def seen_route(studio: Studio) -> Route:
    """A page's name, chosen there, counts for its person alone."""

    def seen(request: Request) -> Response:
        named = request.path_params
        studio.seen(person_of(request), named["page"], named["beat"])
        return Response(status_code=204)

    return Route("/seen/{page}/{beat:int}", seen, methods=["POST"])
