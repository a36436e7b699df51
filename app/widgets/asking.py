"""Who asks, and from which of their pages."""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr
from starlette.requests import HTTPConnection

from app.studio.jobs import Studio
from app.studio.people import Page


def person_of(request: gr.Request | HTTPConnection) -> str:
    """Id of the person, as `app.web.people` says it of every request."""
    asked: HTTPConnection = getattr(request, "request", request)
    return str(asked.scope["person"])


def guest_of(scope: Mapping[str, object]) -> str:
    """Who counts as one guest where a request comes from: programs of one password are one person."""
    return f"{scope['person']} of {scope['share']}"


def page_of(studio: Studio, request: gr.Request) -> Page:
    """The page from which a handler was called.  Its name, chosen there, counts for that person alone."""
    return studio.page(person_of(request), str(request.session_hash))
