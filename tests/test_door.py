"""Nobody gets past the password: neither to the page, nor to a path of it, nor by guessing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from playwright.sync_api import Browser, expect

from app.web.door import COOKIE, ENTRY, MANY, OPEN, TRIES, Door, made_password
from app.web.server import Options, Running, start
from tests.browser import WAIT, free_port
from tests.tiny import write_model

pytest_plugins = ["tests.browser"]
Message = MutableMapping[str, object]
PASSWORD = "a long way to the lake"


async def hello(
    _scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def guests(clock: Clock) -> Callable[[str], httpx.AsyncClient]:
    door = Door(hello, PASSWORD, clock)

    def guest(address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(door, client=(address, 1))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="https://atelier.example")

    return guest


def test_a_password_can_be_tried_only_a_few_times() -> None:
    clock = Clock()
    guest = guests(clock)

    async def visit() -> None:
        async with guest("1.1.1.1") as one, guest("2.2.2.2") as other:
            for i in range(TRIES):
                by_program = {"Authorization": f"Bearer {i}"}
                wrong = one.get("/", headers=by_program) if i % 2 else one.post(ENTRY, data={"password": "x"})
                assert (await wrong).status_code == 401
            assert (await one.post(ENTRY, data={"password": PASSWORD})).status_code == 429
            assert (await other.post(ENTRY, data={"password": PASSWORD})).status_code == 303
            clock.now += 61
            entered = await one.post(ENTRY, data={"password": PASSWORD})
            assert entered.status_code == 303
            cookie = entered.headers["set-cookie"].lower()
            assert all(word in cookie for word in ("httponly", "samesite=lax", "secure"))
            assert PASSWORD not in cookie and len(one.cookies[COOKIE]) >= 40
            assert (await one.get("/config")).text == "hello"
            huge = await other.post(ENTRY, content=b"password=" + b"x" * 10_000)
            assert huge.status_code == 413

    asyncio.run(visit())


def test_what_is_said_at_the_door() -> None:
    clock = Clock()
    guest = guests(clock)

    async def visit() -> None:
        async with guest("1.1.1.1") as one:
            page = await one.get("/")
            assert page.status_code == 401 and f'action="{ENTRY}"' in page.text
            assert '<p role="alert"></p>' in page.text
            other = await one.get("/config")
            assert (other.status_code, other.text) == (401, "Enter the password first.")
            assert (await one.get(ENTRY)).text == "Enter the password first."
            wrong = await one.post(ENTRY, data={"password": "<b>"})
            assert wrong.status_code == 401 and ">That is not the password.<" in wrong.text
            none = await one.post(ENTRY, data={"word": PASSWORD})
            assert none.status_code == 401
            form = {"content-type": "application/x-www-form-urlencoded"}
            assert (await one.post(ENTRY, content=b"password=\xff", headers=form)).status_code == 401
            by_program = await one.get("/", headers={"Authorization": "Bearer x"})
            assert (by_program.status_code, by_program.text) == (401, "That is not the password.")
            basic = await one.get("/config", headers={"Authorization": f"Basic {PASSWORD}"})
            assert (basic.status_code, basic.text) == (401, "Enter the password first.")
            clock.now += 59  # within the minute that began with the first
            assert (await one.get("/", headers={"Authorization": "Bearer x"})).status_code == 401
            shut = await one.get("/", headers={"Authorization": f"bearer  {PASSWORD} "})
            assert (shut.status_code, shut.text) == (429, MANY)
            assert MANY in (await one.post(ENTRY, data={"password": PASSWORD})).text
            clock.now += 1  # the first four are a minute old
            let_in = await one.get("/x", headers={"Authorization": f"bearer  {PASSWORD} "})
            assert (let_in.status_code, let_in.text) == (200, "hello")
            for path in OPEN:
                assert (await one.get(path)).text == "hello"

    asyncio.run(visit())


def test_the_form_takes_little_and_the_cookie_lasts_a_week() -> None:
    guest = guests(Clock())

    async def visit() -> None:
        async with guest("1.1.1.1") as one, guest("2.2.2.2") as other:
            body = b"password=" + PASSWORD.replace(" ", "+").encode()
            form = {"content-type": "application/x-www-form-urlencoded"}
            full = body + b"&x=" + b"x" * (4096 - len(body) - 3)
            entered = await one.post(ENTRY, content=full, headers=form)
            assert (entered.status_code, entered.headers["location"]) == (303, "/")
            assert "max-age=604800" in entered.headers["set-cookie"].lower()
            over = await other.post(ENTRY, content=full + b"x", headers=form)
            assert over.status_code == 413 and "That is no password." in over.text

            async def chunks() -> AsyncIterator[bytes]:
                yield body

            assert (await other.post(ENTRY, content=chunks(), headers=form)).status_code == 413
            assert (await other.get("/x", cookies={COOKIE: "x"})).status_code == 401
            forwarded = {"x-forwarded-proto": "http"}  # from where there is no https
            plain = await other.post(ENTRY, data={"password": PASSWORD}, headers=forwarded)
            assert "secure" not in plain.headers["set-cookie"].lower()

    asyncio.run(visit())


def test_the_server_s_start_passes() -> None:
    passed: list[object] = []

    async def app(scope: Message, _receive: object, _send: object) -> None:
        passed.append(scope["type"])

    async def nothing(*_: object) -> Message:
        raise AssertionError("nobody is asked or answered")

    asyncio.run(Door(app, PASSWORD)({"type": "lifespan"}, nothing, nothing))
    assert passed == ["lifespan"]


def test_sockets_stay_shut() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(Door(hello, PASSWORD)({"type": "websocket", "headers": [], "path": "/"}, receive, send))
    assert sent == [{"type": "websocket.close"}]


def test_made_passwords_are_long_and_different() -> None:
    made = {made_password() for _ in range(100)}
    assert len(made) == 100 and all(re.fullmatch(r"[0-9a-f-]{19}", one) for one in made)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        models = tmp_path_factory.mktemp("models")
        write_model(models)
        patch.setenv("ATELIER_MODELS", str(models))
        options = Options(share=True, outputs=str(tmp_path_factory.mktemp("outputs")), password=PASSWORD)
        served = start(options, free_port())
        yield served
        served.close()


def test_without_the_password_every_path_is_shut(shared: Running) -> None:
    """Each path that gradio serves, by each of its methods."""
    assert shared.studio.shelf is None
    described = shared.blocks.app.openapi()["paths"]
    paths = {re.sub(r"\{[^}]*\}", "x", path): [*methods, "head"] for path, methods in described.items()}
    assert len(paths) > 40 and "/gradio_api/cancel" in paths
    with httpx.Client(base_url=shared.address) as stranger:
        answers = {
            (method, path): stranger.request(method, path)
            for path, methods in paths.items()
            for method in methods
            if path not in OPEN
        }
        assert {one.status_code for one in answers.values()} == {401}
        told = "".join(one.text for one in answers.values())
        assert PASSWORD not in told and "text-prompt" not in told and "landscapes" not in told


def test_programs_enter_with_the_password(shared: Running) -> None:
    assert shared.studio._ready.wait(WAIT / 1000)
    client = Client(shared.address, headers={"Authorization": f"Bearer {PASSWORD}"}, verbose=False)
    made = client.predict(
        {"prompt": "snow", "width": 64, "height": 64, "steps": 2}, api_name="/text_to_image"
    )
    assert Path(made["images"][0]).read_bytes()[:4] == b"\x89PNG"


def test_browsers_enter_by_a_form(shared: Running, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800})
    page = context.new_page()
    page.goto(shared.address)
    field = page.get_by_label("Password")
    expect(field).to_be_focused()
    field.fill("somebody else's")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    field.fill(PASSWORD)
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#text-generate")).to_be_visible(timeout=WAIT)
    expect(page.locator("#add-go")).to_have_count(0)
    page.wait_for_selector("body.restored")
    page.locator("#text-generate").click()
    expect(page.locator("#status")).to_contain_text("Finished in", timeout=WAIT)
    context.close()
