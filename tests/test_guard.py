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


def test_16_mb_are_let_through_and_not_a_byte_more() -> None:
    host = {"host": "localhost"}
    assert ask({**host, "content-length": "16777216"}, chunks=16)[0] == 200
    assert ask({**host, "content-length": "16777217"})[0] == 413
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
    headers = dict(start["headers"])  # type: ignore[call-overload]
    assert start["status"] == 403 and headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert b"frame-ancestors" in headers[b"content-security-policy"]
    assert b"--allow-host" in body["body"]  # type: ignore[operator]
    assert (
        answers_to({"host": "localhost", "content-length": "x"})[1]["body"] == b"At most 16 MB can be sent."
    )


def test_what_is_no_request() -> None:
    passed: list[str] = []

    async def app(scope: Message, receive: object, send: object) -> None:
        passed.append(str(scope["type"]))

    async def nothing(*_: object) -> Message:
        raise AssertionError("nobody is asked or answered")

    asyncio.run(Guard(app, LOOPBACK)({"type": "lifespan"}, nothing, nothing))
    assert passed == ["lifespan"]
    anywhere = {"headers": [(b"host", b"evil.example")]}
    answers: list[Message] = []

    async def send(message: Message) -> None:
        answers.append(message)

    asyncio.run(Guard(app, LOOPBACK)({"type": "websocket", **anywhere}, nothing, send))
    assert answers[0]["status"] == 403 and len(passed) == 1


def shared_guard(**given: object) -> Callable[[dict[str, str], str], int]:
    """A guard of a page that others can reach: what it answers to headers and an address."""

    def status(headers: dict[str, str], client: str = "1.1.1.1") -> int:
        answers: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            answers.append(message)

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope: Message = {"type": "http", "path": "/", "headers": raw, "client": (client, 1)}
        guard = Guard(hello, (*LOOPBACK, "studio", ".gradio.live"), is_private=False, **given)  # type: ignore[arg-type]
        asyncio.run(guard(scope, receive, send))
        return int(str(answers[0]["status"]))

    return status


def test_where_others_come_addresses_and_names_that_were_given_are_served() -> None:
    status = shared_guard()
    for host in ("192.168.1.5:7860", "[fe80::1]:7860", "studio:7860", "x.gradio.live", "localhost"):
        assert status({"host": host, "x-forwarded-for": "9.9.9.9"}) == 200
    for host in ("evil.example", "gradio.live.evil.example", "1.2.3.4.evil.example", "studio.evil.example"):
        assert status({"host": host}) == 403


def test_a_proxy_may_have_another_name_for_us() -> None:
    asked = {"host": "127.0.0.1:7860", "x-forwarded-host": "studio", "origin": "https://studio"}
    assert shared_guard(proxies=("127.0.0.1",))(asked, "127.0.0.1") == 200
    assert shared_guard()({**asked, "origin": "https://evil.example"}) == 403
    evil = {**asked, "x-forwarded-host": "evil.example"}
    assert shared_guard(proxies=("127.0.0.1",))(evil, "127.0.0.1") == 403


def test_a_proxy_in_front_of_a_private_page_makes_nobody_its_owner() -> None:
    """Who starts nginx before the page and forgets to say so gives strangers the owner's rights."""
    for header in ("x-forwarded-for", "forwarded", "via", "x-real-ip"):
        assert ask({"host": "127.0.0.1:7860", header: "9.9.9.9"})[0] == 403


def test_a_fault_behind_it_is_a_sentence_with_all_headers() -> None:
    answers: list[Message] = []

    async def broken(_scope: Message, _receive: object, _send: object) -> None:
        raise ValueError("/home/anna/secret")

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        answers.append(message)

    scope: Message = {"type": "http", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(Guard(broken)(scope, receive, send))
    start, body = answers
    assert start["status"] == 500 and b"anna" not in body["body"]  # type: ignore[operator]
    assert b"content-security-policy" in dict(start["headers"])  # type: ignore[call-overload]


def test_a_body_that_stops_coming_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.guard.PART_SECONDS", 0.1)

    async def receive() -> Message:
        await asyncio.sleep(5)
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        raise AssertionError("nobody is there")

    scope: Message = {"type": "http", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(asyncio.wait_for(Guard(hello)(scope, receive, send), 2))
