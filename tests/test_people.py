"""Whose a request is, how fast passwords can be tried, and what the program says of itself."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from app.keeping.library import OWNER
from app.studio.limits import Limits
from app.web import status, throttle
from app.web.people import COOKIE, People, owner_secret
from app.web.throttle import Throttle, Trier
from ldm_core.engine.engine import Figures
from ldm_core.errors import EngineError

Message = MutableMapping[str, Any]
SECRET = "the owner's secret"
YEAR = 365 * 24 * 3600


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# How fast a password can be tried -------------------------------------------------------------------------


def test_each_wrong_password_beyond_five_doubles_the_time() -> None:
    clock = Clock()
    tries, trier = Throttle(clock), Trier("1.1.1.1", "anna")
    waits = []
    for _ in range(11):
        tries.wrong(trier)
        waits.append(tries.refused_for(trier))
    assert waits == [0, 0, 0, 0, 60, 120, 240, 480, 900, 900, 900]
    clock.now += 890
    assert tries.refused_for(trier) == 10 and tries.refused_for(Trier("1.1.1.2", "anna")) == 0
    clock.now += 10
    assert tries.refused_for(trier) == 0
    tries.right(trier)  # an address is not forgiven
    tries.wrong(trier)
    assert tries.refused_for(trier) == 900
    for _ in range(2000):
        tries.wrong(trier)
    assert tries.refused_for(trier) == 900


def test_what_was_wrong_is_forgotten_after_an_hour() -> None:
    clock = Clock()
    tries, trier = Throttle(clock), Trier("1.1.1.1", "anna")
    for _ in range(5):
        tries.wrong(trier)
    clock.now += 3599
    tries.wrong(trier)
    assert tries.refused_for(trier) == 120
    clock.now += 3600
    tries.wrong(trier)
    assert tries.refused_for(trier) == 0


def test_an_account_answers_later_after_fifty_and_a_device_is_forgiven() -> None:
    tries = Throttle(Clock())
    for i in range(49):
        tries.wrong(Trier(f"10.0.0.{i}", "anna"))
    other = Trier("2.2.2.2", "anna")
    assert tries.delay(other) == 0
    tries.wrong(Trier("10.0.1.1", "anna"))
    assert tries.delay(other) == throttle.MOST_DELAY and tries.refused_for(other) == 0
    device = Trier("2.2.2.2", "anna", "known")
    assert tries.delay(device) == 0
    for _ in range(5):
        tries.wrong(device)
    assert tries.delay(device) == throttle.MOST_DELAY and tries.refused_for(device) == 0
    tries.right(device)
    assert tries.delay(device) == 0
    for _ in range(5):
        tries.wrong(Trier("3.3.3.3", "ben"))
    assert tries.delay(Trier("3.3.3.3", "ben")) == 0  # it is refused, which needs no delay


@pytest.mark.parametrize(("seconds", "wait"), [(899, 900), (900, 0)])
def test_what_is_kept_does_not_grow(seconds: float, wait: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many addresses those go whose time is over."""
    monkeypatch.setattr(throttle, "KEPT", 4)
    clock = Clock()
    tries, trier = Throttle(clock), Trier("1.1.1.1", "anna")
    for _ in range(9):
        tries.wrong(trier)
    for i in range(2):
        tries.wrong(Trier(f"2.2.2.{i}", f"ben {i}"))
    clock.now += seconds
    tries.wrong(Trier("3.3.3.3", "ben"))
    tries.wrong(trier)
    assert tries.refused_for(trier) == wait


# Whose a request is ---------------------------------------------------------------------------------------


async def who(
    scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    text = f"{scope['person']}|{scope['share']}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


def visits(*requests: dict[str, Any], secret: str | None = SECRET) -> list[httpx.Response]:
    """Each asked by a browser of its own; of an address, behind a proxy, with cookies or headers."""
    people = People(who, secret, Limits())

    async def visit(
        address: str = "1.2.3.4", path: str = "/", proxy: bool = False, **named: Any
    ) -> httpx.Response:
        async def app(scope: Message, receive: Any, send: Any) -> None:
            if proxy:
                scope["is_proxy"] = True
            await people(scope, receive, send)

        transport = httpx.ASGITransport(app, client=(address, 1))  # type: ignore[arg-type]
        base = named.pop("base", "http://atelier.example")
        async with httpx.AsyncClient(transport=transport, base_url=base, **named) as client:
            return await client.get(path)

    async def all_of_them() -> list[httpx.Response]:
        return [await visit(**request) for request in requests]

    return asyncio.run(all_of_them())


def test_without_a_secret_everybody_is_the_owner() -> None:
    (answer,) = visits({}, secret=None)
    assert answer.text == f"{OWNER}|{OWNER}" and "set-cookie" not in answer.headers


def test_the_owner_s_link_makes_a_browser_the_owner_s() -> None:
    right, wrong, elsewhere = visits(
        {"path": f"/?owner={SECRET}"}, {"path": "/?owner=guess"}, {"path": f"/x?owner={SECRET}"}
    )
    assert (right.status_code, right.headers["location"]) == (303, "/")
    assert right.headers["set-cookie"] == (
        f"{COOKIE}={SECRET}; Path=/; Max-Age={YEAR}; HttpOnly; SameSite=lax"
    )
    assert wrong.status_code == 303 and "set-cookie" not in wrong.headers
    assert elsewhere.status_code == 200 and not elsewhere.text.startswith(OWNER)
    (answer,) = visits({"cookies": {COOKIE: SECRET}})
    assert answer.text == f"{OWNER}|{OWNER}"


def test_a_browser_is_known_by_a_cookie_that_it_gets_with_the_page() -> None:
    page, secure, proxied, path = visits(
        {},
        {"base": "https://atelier.example"},
        {"headers": {"x-forwarded-proto": "https"}},
        {"path": "/config"},
    )
    assert "set-cookie" not in path.headers
    assert "Secure" not in page.headers["set-cookie"]
    assert all(answer.headers["set-cookie"].endswith("; Secure") for answer in (secure, proxied))
    cookie = page.headers["set-cookie"].removeprefix(f"{COOKIE}=").partition(";")[0]
    assert len(cookie) >= 40 and SECRET not in cookie
    again, elsewhere, other = visits(
        {"cookies": {COOKIE: cookie}}, {"cookies": {COOKIE: cookie}, "path": "/x"}, {"cookies": {COOKIE: "y"}}
    )
    assert "set-cookie" not in again.headers
    person = page.text.partition("|")[0]
    assert again.text == elsewhere.text == page.text and not other.text.startswith(person)
    assert cookie not in page.text


def test_programs_that_know_the_same_password_are_one_person() -> None:
    a, b, other, none, none_again = (
        answer.text.partition("|")[0]
        for answer in visits(
            *({"headers": {"authorization": f"Bearer {word}"}, "path": "/x"} for word in "aab"),
            {"path": "/x"},
            {"path": "/x"},
        )
    )
    assert a == b and len({a, other, none, none_again}) == 4


@pytest.mark.parametrize(
    ("address", "share"),
    [
        ("1.2.3.4", "address 1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "address 2001:db8:1:2::/64"),
        ("127.0.0.1", "person"),
        ("::1", "person"),
        ("testclient", "person"),
    ],
)
def test_an_address_that_says_something_counts_as_one(address: str, share: str) -> None:
    (answer,) = visits({"address": address})
    person, _, found = answer.text.partition("|")
    assert found == (share if share != "person" else f"person {person}")


def test_what_comes_through_a_proxy_is_a_person_s() -> None:
    (answer,) = visits({"proxy": True})
    person, _, share = answer.text.partition("|")
    assert share == f"person {person}"


@pytest.mark.parametrize("secret", [None, SECRET])
def test_sockets_are_the_owner_s_alone(secret: str | None) -> None:
    sent: list[Message] = []
    scopes: list[Message] = []

    async def app(scope: Message, _receive: Any, _send: Any) -> None:
        scopes.append(scope)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/", "headers": []}
    asyncio.run(People(app, secret, Limits())(scope, receive, send))
    if secret is None:
        assert [scope["person"] for scope in scopes] == [OWNER] and not sent
    else:
        assert not scopes and sent == [{"type": "websocket.close"}]
    asyncio.run(People(app, secret, Limits())({"type": "lifespan"}, receive, send))
    assert scopes[-1]["type"] == "lifespan"


def test_the_owner_s_secret_is_kept_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "deep"
    secret = owner_secret(folder)
    assert len(secret) >= 40 and owner_secret(folder) == secret
    if os.name == "posix":
        assert stat.S_IMODE((folder / "owner.txt").stat().st_mode) == 0o600
    (folder / "owner.txt").write_text("x" * 31)
    other = owner_secret(folder)
    assert other not in ("x" * 31, secret) and owner_secret(folder) == other
    (folder / "owner.txt").write_text("x" * 32)
    assert owner_secret(folder) == "x" * 32
    (folder / "owner.txt").write_bytes("é".encode() * 40)
    assert owner_secret(folder).isascii()
    (tmp_path / "file").touch()
    assert owner_secret(tmp_path / "file") != owner_secret(tmp_path / "file")  # it cannot be kept there


# What the program says of itself --------------------------------------------------------------------------


class Studio:
    """What is asked of a studio."""

    def __init__(self, figures: Figures | None = None, *, ready: bool = True, problem: str = "") -> None:
        self.is_ready, self.problem, self._figures = ready, problem, figures
        items = [SimpleNamespace(state=state) for state in ("waiting", "running", "waiting", "kept")]
        self.jobs = SimpleNamespace(queue=SimpleNamespace(open_items=lambda: items))
        self.limits = SimpleNamespace(calls=3)

    def engine(self) -> object:
        if self._figures is None:
            raise EngineError("It is starting.")
        return SimpleNamespace(figures=lambda: self._figures)


def asked(studio: Studio, path: str, person: str = OWNER) -> httpx.Response:
    routes = Starlette(routes=status.status_routes(studio))  # type: ignore[arg-type]

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await routes({**scope, "person": person}, receive, send)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_health_is_for_everybody() -> None:
    answers = [
        asked(studio, "/health", "somebody")
        for studio in (Studio(), Studio(ready=False), Studio(problem="no model"))
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (200, {"status": "ok"}), (200, {"status": "starting"}), (503, {"status": "failed"}),
    ]  # fmt: skip


def test_metrics_are_for_the_owner() -> None:
    figures = Figures(running=2, waiting=5, steps=40, step_seconds=1.5, errors=Counter(ModelError=2, B=1))
    answer = asked(Studio(figures), "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values.pop("atelier_memory_bytes")) > 2**24
    assert values == {
        'atelier_queue_jobs{state="waiting"}': "2",
        'atelier_queue_jobs{state="running"}': "1",
        "atelier_calls": "3",
        'atelier_engine_jobs{state="waiting"}': "5",
        'atelier_engine_jobs{state="running"}': "2",
        "atelier_steps_total": "40",
        "atelier_step_seconds_total": "1.5",
        'atelier_errors_total{kind="B"}': "1",
        'atelier_errors_total{kind="ModelError"}': "2",
    }
    kinds = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE ")}
    assert {name for name in kinds if kinds[name] == "counter"} == {
        name for name in kinds if "_total" in name
    }
    assert set(kinds.values()) == {"counter", "gauge"} and len(kinds) == 7
    assert [line.split()[2] for line in lines if line.startswith("# HELP ")] == list(kinds)
    assert (
        'atelier_errors_total{kind="none"} 0'
        in asked(Studio(Figures(0, 0, 0, 0.0, {})), "/metrics").text.splitlines()
    )
    starting = asked(Studio(None), "/metrics").text
    assert "atelier_calls 3" in starting and "atelier_steps_total" not in starting
    refused = asked(Studio(figures), "/metrics", "somebody")
    assert refused.status_code == 404 and "atelier" not in refused.text


def test_memory_is_in_bytes() -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("the system has no /proc to compare with")
    lines = Path("/proc/self/status").read_text().splitlines()
    (resident,) = (int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    assert status.memory() == pytest.approx(resident * 1024, rel=0.1)


def test_where_the_system_tells_less_memory_is_the_most_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="Windows tells nothing")

    def closed(_path: str) -> object:
        raise FileNotFoundError

    monkeypatch.setattr(status, "open", closed, raising=False)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert status.memory() == pytest.approx(peak, rel=0.1)
