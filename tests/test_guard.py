"""Who may talk to the page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

import pytest

from app.web.guard import LOOPBACK, MAX_BODY, Guard

Message = MutableMapping[str, object]


async def hello(
    _scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Reads the body to its end and answers 200."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def ask(headers: dict[str, str], chunks: int = 0) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of the answer; 0 where there was none."""
    answers: list[Message] = []
    left = iter(range(chunks))

    async def receive() -> Message:
        more = next(left, None) is not None
        return {"type": "http.request", "body": b"x" * 2**20 if more else b"", "more_body": more}

    async def send(message: Message) -> None:
        answers.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(Guard(hello, LOOPBACK)({"type": "http", "headers": raw}, receive, send))
    if not answers:
        return 0, {}
    return int(str(answers[0]["status"])), dict(answers[0]["headers"])  # type: ignore[call-overload]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860", "[::1]"])
def test_known_names_are_served(host: str) -> None:
    status, headers = ask({"host": host})
    assert status == 200
    assert b"frame-ancestors 'self'" in headers[b"content-security-policy"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[::2]:7860"]
)
def test_other_names_are_refused(host: str) -> None:
    assert ask({"host": host})[0] == 403


def test_other_sites_may_not_send() -> None:
    host = {"host": "127.0.0.1:7860"}
    assert ask({**host, "origin": "http://127.0.0.1:7860"})[0] == 200
    for origin in (
        "http://evil.example",
        "http://127.0.0.1:7861",
        "null",
        "http://127.0.0.1:7860.evil.example",
    ):
        assert ask({**host, "origin": origin})[0] == 403


def test_large_bodies_are_refused() -> None:
    host = {"host": "localhost"}
    for length in (str(MAX_BODY + 1), "9" * 400, "-1", "x"):
        assert ask({**host, "content-length": length})[0] == 413
    assert ask(host, chunks=MAX_BODY // 2**20 + 1)[0] == 0
    assert ask(host, chunks=3)[0] == 200
