"""Who may talk to the page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

import pytest

from app.web.guard import LOOPBACK, MAX_BODY, MAX_UPLOAD, Guard
from ldm_core.pictures.reading import MAX_BYTES

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


def answers_to(headers: dict[str, str], chunks: int = 0, path: str = "/") -> list[Message]:
    """The messages of the answer; a chunk is of 1 MB."""
    answers: list[Message] = []
    left = iter(range(chunks))

    async def receive() -> Message:
        more = next(left, None) is not None
        return {"type": "http.request", "body": b"x" * 2**20 if more else b"", "more_body": more}

    async def send(message: Message) -> None:
        answers.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(Guard(hello, LOOPBACK)({"type": "http", "path": path, "headers": raw}, receive, send))
    return answers


def ask(headers: dict[str, str], chunks: int = 0) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of the answer; 0 where there was none."""
    answers = answers_to(headers, chunks)
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


def test_64_mb_are_let_through_and_not_a_byte_more() -> None:
    host = {"host": "localhost"}
    assert ask({**host, "content-length": "67108864"}, chunks=64)[0] == 200
    assert ask({**host, "content-length": "67108865"})[0] == 413
    assert ask({**host, "content-length": "0" * 30 + "1"})[0] == 200


def test_a_picture_of_48_megapixels_can_be_uploaded_and_nothing_else_of_that_size() -> None:
    size = {"host": "localhost", "content-length": str(MAX_BYTES)}
    assert answers_to(size, 70, "/gradio_api/upload")[0]["status"] == 200
    assert answers_to(size, path="/gradio_api/uploads")[0]["status"] == 413
    assert answers_to(size, path="/gradio_api/run/predict")[0]["status"] == 413
    size["content-length"] = str(MAX_UPLOAD + 1)
    assert answers_to(size, path="/gradio_api/upload")[0]["status"] == 413


def test_a_refusal_is_an_answer_in_words() -> None:
    start, body = answers_to({"host": "evil.example"})
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    assert start == {"type": "http.response.start", "status": 403, "headers": headers}
    assert body == {"type": "http.response.body", "body": b"This address is not served here."}
    assert (
        answers_to({"host": "localhost", "content-length": "x"})[1]["body"] == b"At most 64 MB can be sent."
    )


def test_what_is_no_request_and_where_no_host_is_known() -> None:
    passed: list[str] = []

    async def app(scope: Message, receive: object, send: object) -> None:
        passed.append(str(scope["type"]))

    async def nothing(*_: object) -> Message:
        raise AssertionError("nobody is asked or answered")

    asyncio.run(Guard(app, LOOPBACK)({"type": "lifespan"}, nothing, nothing))
    anywhere = {"headers": [(b"host", b"evil.example")]}
    for kind in ("http", "websocket"):
        asyncio.run(Guard(app)({"type": kind, **anywhere}, nothing, nothing))
    assert passed == ["lifespan", "http", "websocket"]
    answers: list[Message] = []

    async def send(message: Message) -> None:
        answers.append(message)

    asyncio.run(Guard(app, LOOPBACK)({"type": "websocket", **anywhere}, nothing, send))
    assert answers[0]["status"] == 403 and len(passed) == 3
