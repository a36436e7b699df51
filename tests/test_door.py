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

from app.keeping.accounts import SHARED, Accounts, made_password, weakness
from app.studio.limits import Limits
from app.web.door import COOKIE, DEVICE, ENTRY, EXIT, MANY, OPEN, Door
from app.web.people import People
from app.web.server import Options, Running, start
from app.web.throttle import FREE, MOST_DELAY, Throttle, Trier
from tests.browser import WAIT, free_port
from tests.tiny import write_model

pytest_plugins = ["tests.browser"]
Message = MutableMapping[str, object]
PASSWORD = "a long way to the lake"
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def hello(
    scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Says who asks."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"hello {scope['share']}".encode()})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


Guest = Callable[[str], httpx.AsyncClient]


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    found = Accounts(tmp_path)
    found.put(SHARED, PASSWORD)
    yield found
    found.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guest(accounts: Accounts, clock: Clock) -> Guest:
    door = Door(hello, accounts, "key", clock)
    people = People(door, "the owner's secret", Limits())

    def guest(address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(people, client=(address, 1))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="https://atelier.example")

    return guest


async def refuse(one: httpx.AsyncClient, times: int) -> None:
    """Tries wrong passwords, by the form and as a program."""
    for i in range(times):
        by_program = {"Authorization": f"Bearer {i}"}
        wrong = one.get("/", headers=by_program) if i % 2 else one.post(ENTRY, data={"password": "x"})
        assert (await wrong).status_code == 401


def test_a_password_can_be_tried_only_a_few_times(guest: Guest, clock: Clock) -> None:
    async def visit() -> None:
        async with guest("1.1.1.1") as one, guest("2.2.2.2") as other:
            await refuse(one, FREE)
            for minutes in (1, 2, 4, 8):  # the time doubles with each
                soon = await one.post(ENTRY, data={"password": PASSWORD})
                assert soon.status_code == 429 and MANY in soon.text
                clock.now += 60 * minutes - 1
                by_program = await one.get("/", headers={"Authorization": f"Bearer {PASSWORD}"})
                assert (by_program.status_code, by_program.text) == (429, MANY)
                assert by_program.headers["retry-after"] == "2"
                clock.now += 1
                await refuse(one, 1)
            assert (await other.post(ENTRY, data={"password": PASSWORD})).status_code == 303
            clock.now += 16 * 60
            entered = await one.post(ENTRY, data={"password": PASSWORD})
            assert entered.status_code == 303
            cookie = entered.headers["set-cookie"].lower()
            assert all(word in cookie for word in ("httponly", "samesite=lax", "secure"))
            assert PASSWORD not in cookie and len(one.cookies[COOKIE]) >= 40
            assert (await one.get("/config")).text == "hello address 1.1.1.1"

    asyncio.run(visit())


def test_a_browser_that_was_in_gets_in_whatever_others_try(guest: Guest, clock: Clock) -> None:
    async def visit() -> None:
        async with guest("1.1.1.1") as one, guest("1.1.1.1") as other:
            assert (await one.post(ENTRY, data={"password": PASSWORD})).status_code == 303
            del one.cookies[COOKIE]
            await refuse(other, FREE)
            assert (await other.post(ENTRY, data={"password": PASSWORD})).status_code == 429
            assert (await one.post(ENTRY, data={"password": PASSWORD})).status_code == 303
            other.cookies[DEVICE] = "made-up." + "0" * 64
            assert (await other.post(ENTRY, data={"password": PASSWORD})).status_code == 429

    asyncio.run(visit())


def test_where_many_share_an_address_answers_come_later_and_nobody_is_refused() -> None:
    clock = Clock()
    throttle, behind = Throttle(clock), Trier("127.0.0.1", "", is_hidden=True)
    for _ in range(30):
        throttle.wrong(behind)
    assert throttle.refused_for(behind) == 0 and throttle.delay(behind) == MOST_DELAY
    throttle.right(behind)  # of somebody else there
    assert throttle.delay(behind) == MOST_DELAY
    device = Trier("127.0.0.1", "", "a device", is_hidden=True)
    assert throttle.delay(device) == 0
    for _ in range(30):
        throttle.wrong(device)
    assert throttle.delay(device) == MOST_DELAY and throttle.refused_for(device) == 0
    clock.now += 3600
    assert throttle.delay(device) == throttle.delay(behind) == 0


def test_an_account_tried_from_everywhere_answers_later(guest: Guest) -> None:
    throttle = Throttle(Clock())
    for i in range(60):
        throttle.wrong(Trier(f"10.0.0.{i}", "anna"))
    assert throttle.delay(Trier("10.1.0.1", "anna")) == MOST_DELAY
    assert (
        throttle.delay(Trier("10.1.0.1", "ben")) == throttle.delay(Trier("10.1.0.1", "anna", "device")) == 0
    )


def test_what_is_said_at_the_door(guest: Guest) -> None:
    async def visit() -> None:
        async with guest("1.1.1.1") as one:
            page = await one.get("/")
            assert page.status_code == 401 and f'action="{ENTRY}"' in page.text
            assert '<p role="alert"></p>' in page.text and "Name" not in page.text
            other = await one.get("/config")
            assert (other.status_code, other.text) == (401, "Enter the password first.")
            assert (await one.get(ENTRY)).text == "Enter the password first."
            wrong = await one.post(ENTRY, data={"password": "<b>"})
            assert wrong.status_code == 401 and ">That is not the password.<" in wrong.text
            none = await one.post(ENTRY, data={"word": PASSWORD})
            assert none.status_code == 401
            assert (await one.post(ENTRY, content=b"password=\xff", headers=FORM)).status_code == 401
            by_program = await one.get("/", headers={"Authorization": "Bearer x"})
            assert (by_program.status_code, by_program.text) == (401, "That is not the password.")
            for nothing in ("Digest x", f"Basic {PASSWORD}"):
                refused = await one.get("/config", headers={"Authorization": nothing})
                assert (refused.status_code, refused.text) == (401, "Enter the password first.")
            let_in = await one.get("/x", headers={"Authorization": f"bearer  {PASSWORD} "})
            assert (let_in.status_code, let_in.text) == (200, "hello address 1.1.1.1")
            for path in OPEN:
                assert (await one.get(path)).status_code == 200

    asyncio.run(visit())


def test_the_form_takes_little_and_the_cookie_lasts_a_week(guest: Guest) -> None:
    async def visit() -> None:
        async with guest("1.1.1.1") as one, guest("2.2.2.2") as other:
            body = b"password=" + PASSWORD.replace(" ", "+").encode()
            full = body + b"&x=" + b"x" * (4096 - len(body) - 3)
            entered = await one.post(ENTRY, content=full, headers=FORM)
            assert (entered.status_code, entered.headers["location"]) == (303, "/")
            assert "max-age=604800" in entered.headers["set-cookie"].lower()
            over = await other.post(ENTRY, content=full + b"x", headers=FORM)
            assert over.status_code == 413 and "That is no password." in over.text

            async def chunks() -> AsyncIterator[bytes]:
                yield body

            assert (await other.post(ENTRY, content=chunks(), headers=FORM)).status_code == 413
            assert (await other.get("/x", cookies={COOKIE: "x"})).status_code == 401
            forwarded = {"x-forwarded-proto": "http"}  # from where there is no https
            plain = await other.post(ENTRY, data={"password": PASSWORD}, headers=forwarded)
            assert "secure" not in plain.headers["set-cookie"].lower()

    asyncio.run(visit())


def test_a_form_that_is_half_sent_is_not_waited_for(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.door.FORM_SECONDS", 0.2)

    async def visit() -> None:
        async with guest("1.1.1.1") as one:

            async def half() -> AsyncIterator[bytes]:
                yield b"password="
                await asyncio.sleep(5)

            headers = {**FORM, "content-length": "40"}
            assert (await one.post(ENTRY, content=half(), headers=headers)).status_code == 408

    asyncio.run(visit())


def test_people_with_accounts_of_their_own(guest: Guest, accounts: Accounts, clock: Clock) -> None:
    accounts.put("anna", "a password of anna's", is_owner=True)
    accounts.put("ben", "a password of ben's")
    assert accounts.all() == [accounts.find("anna"), accounts.find("ben")]

    async def visit() -> None:
        async with guest("1.1.1.1") as one, guest("2.2.2.2") as other:
            assert "Name" in (await one.get("/")).text
            for name, password in (("ben", PASSWORD), ("", "a password of ben's"), ("carl", PASSWORD)):
                assert (await one.post(ENTRY, data={"name": name, "password": password})).status_code == 401
            ben = {"name": "ben", "password": "a password of ben's"}
            assert (await one.post(ENTRY, data=ben)).status_code == 303
            assert (await one.get("/x")).text == "hello account ben"
            anna = httpx.BasicAuth("anna", "a password of anna's")
            assert (await other.get("/x", auth=anna)).text == "hello owner"
            assert (await one.get(EXIT)).status_code == 200  # which asks only
            assert (await one.get("/x")).status_code == 200
            token = one.cookies[COOKIE]
            assert (await one.post(EXIT)).status_code == 303
            assert (await one.get("/x", cookies={COOKIE: token})).status_code == 401
            assert (await one.post(ENTRY, data=ben)).status_code == 303
            assert accounts.end_sessions("ben") == 1
            assert (await one.get("/x")).status_code == 401
            assert (await one.post(ENTRY, data=ben)).status_code == 303
            accounts.put("ben", "another password of ben's")
            assert (await one.get("/x")).status_code == 401
            accounts.remove("anna")
            clock.now += 61  # as long as a program's password is not looked up again
            assert (await other.get("/x", auth=anna)).status_code == 401

    asyncio.run(visit())


def test_sessions_end_and_outlive_the_program(tmp_path: Path) -> None:
    clock = Clock()
    accounts = Accounts(tmp_path, clock)
    accounts.put(SHARED, PASSWORD)
    token = accounts.enter(SHARED)
    accounts.close()
    accounts = Accounts(tmp_path, clock)
    accounts.put(SHARED, PASSWORD)  # the same: who is in stays in
    assert accounts.session(token) is not None
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() not in kept and PASSWORD.encode() not in kept
    clock.now += 7 * 24 * 3600 + 1
    assert accounts.session(token) is None
    accounts.close()


def test_the_server_s_start_passes(accounts: Accounts) -> None:
    passed: list[object] = []

    async def app(scope: Message, _receive: object, _send: object) -> None:
        passed.append(scope["type"])

    async def nothing(*_: object) -> Message:
        raise AssertionError("nobody is asked or answered")

    asyncio.run(Door(app, accounts, "key")({"type": "lifespan"}, nothing, nothing))
    assert passed == ["lifespan"]


def test_sockets_stay_shut(accounts: Accounts) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(
        Door(hello, accounts, "key")({"type": "websocket", "headers": [], "path": "/"}, receive, send)
    )
    assert sent == [{"type": "websocket.close"}]


def test_passwords_are_made_or_strong() -> None:
    made = {made_password() for _ in range(100)}
    assert len(made) == 100 and all(re.fullmatch(r"[0-9a-f-]{19}", one) for one in made)
    assert all(not weakness(one) for one in (*made, PASSWORD))
    assert "12 characters" in weakness("hunter2") and "different" in weakness("a1a1a1a1a1a1a1")


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
