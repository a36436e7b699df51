"""Section G: many people at once, and whoever leaves."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from app.studio.limits import AT_ONCE, GUEST
from app.web.server import Running
from ldm_core.engine.engine import Figures
from ldm_core.request import TextToImage
from tests.faults.conftest import LONG, SMALL, Asking

Guest = Callable[[int], Asking]
TURN = 2.0  # seconds in which a step surely ends


def figures(program: Running) -> Figures:
    return program.studio.engine().figures()


def rests(program: Running, seconds: float = 10) -> float:
    """Seconds until nothing runs or waits."""
    began = time.monotonic()
    while figures(program).running or program.studio.limits.calls:
        assert time.monotonic() - began < seconds, (figures(program), program.studio.limits.calls)
        time.sleep(0.01)
    return time.monotonic() - began


def begins(program: Running) -> None:
    deadline = time.monotonic() + 20
    while not figures(program).running:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("clients", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_g01_each_of_many_clients_gets_their_own_pictures(
    program: Running, guest: Guest, clients: int
) -> None:
    """Clients ask for pictures of their own seeds; each is the picture that is made alone."""
    jobs = 4

    def ask(number: int) -> list[tuple[int, bytes]]:
        asking = guest(number)
        events = [(seed, asking.begin({**SMALL, "seed": seed})) for seed in range(number, number + jobs)]
        found = []
        for seed, event in events:
            answer = asking.end(event)
            assert answer.kind == "complete", answer
            (made,) = answer.data  # type: ignore[misc]
            assert [one["seed"] for one in made["requests"]] == [seed]
            path = "/gradio_api/file=" + made["images"][0]["path"]
            found.append((seed, asking.web.get(path).content))
        return found

    with ThreadPoolExecutor(clients) as pool:
        found = [pair for pairs in pool.map(ask, range(clients)) for pair in pairs]
    assert len(found) == clients * jobs
    alone = {}
    for seed in {seed for seed, _ in found}:
        request = TextToImage(prompt="snow", width=64, height=64, steps=3, seed=seed)
        alone[seed] = pixels(program.studio.make(request)[0].png)
    assert all(pixels(data) == alone[seed] for seed, data in found)


def pixels(data: bytes) -> bytes:
    return np.asarray(Image.open(io.BytesIO(data))).tobytes()


def test_g01_a_flooding_client_does_not_keep_honest_ones_waiting(program: Running, guest: Guest) -> None:
    flooder = guest(100)
    answers = [flooder.post("call/generate", {"data": [LONG]}) for _ in range(200)]
    taken = [answer.json()["event_id"] for answer in answers if answer.status_code == 200]
    assert all("Too many" in answer.text for answer in answers if answer.status_code != 200)
    begins(program)
    assert program.studio.limits.calls <= GUEST.jobs

    def honest(number: int) -> float:
        began = time.monotonic()
        answer = guest(101 + number).call({**SMALL, "seed": number})
        assert answer.kind == "complete", answer
        return time.monotonic() - began

    before = figures(program).steps
    with ThreadPoolExecutor(5) as pool:
        seconds = list(pool.map(honest, range(5)))
    theirs = figures(program).steps - before - 5 * 3
    print(f"honest ones after {max(seconds):.1f} s; the flooder had {theirs} steps beside their 15")
    # Each turn of an honest one costs at most one of the flooder's; and the steps while HTTP is answered.
    assert theirs < 2 * 15 + 80
    for event in taken:
        assert flooder.cancel(event).status_code == 200
    rests(program)


def test_g02_pressed_ten_times_is_ten_jobs(program: Running, guest: Guest) -> None:
    asking = guest(1)
    events = [asking.begin(SMALL) for _ in range(10)]
    assert len(set(events)) == 10
    assert [asking.end(event).kind for event in events] == ["complete"] * 10


def test_g04_cancelling_reaches_the_engine(program: Running, guest: Guest) -> None:
    asking = guest(2)
    for _ in range(60):
        event = asking.begin(LONG)
        assert asking.cancel(event).json() == {"success": True}
    assert rests(program, TURN) < TURN
    event = asking.begin(LONG)
    begins(program)
    began = time.monotonic()
    asking.cancel(event)
    assert figures(program).running == 0, "the answer comes when the work has stopped"
    assert time.monotonic() - began < TURN
    assert asking.call(SMALL).kind == "complete"


def test_g04_a_hundred_starts_and_cancels_never_run_at_once(program: Running, guest: Guest) -> None:
    asking, most, done = guest(3), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.001):
            most = max(most, figures(program).running)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for i in range(100):
        event = asking.begin({**LONG, "seed": i})
        asking.cancel(event)
    done.set()
    watcher.join()
    assert most <= 1
    rests(program, TURN)


def test_g04_one_of_several_calls_is_cancelled(program: Running, guest: Guest) -> None:
    """Gradio ends all that call the same function from one session."""
    asking = guest(4)
    session = {"session_hash": "a program of guest 4"}
    events = [asking.begin({**SMALL, "steps": 60}, **session) for _ in range(3)]
    asking.post("cancel", {**session, "fn_index": 0, "event_id": events[1]})
    text = ""
    with asking.web.stream("GET", "/gradio_api/queue/data", params=session) as stream:
        for line in stream.iter_lines():
            text += line
    assert text.count("images") == 2


def test_g05_a_client_that_is_gone_stops_its_job(program: Running, guest: Guest) -> None:
    asking = guest(5)
    for seconds in (0.0, 0.3, 0.6):
        event = asking.begin(LONG)
        with asking.web.stream("GET", f"/gradio_api/call/generate/{event}"):
            time.sleep(seconds)
        assert rests(program) < 5


def test_g05_a_client_that_never_asks_for_its_answer_is_gone_after_a_while(
    program: Running, guest: Guest, owner: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.web.api.GUEST_RUNS", 1.5)
    guest(14).begin(LONG)
    event = owner.begin(LONG)
    begins(program)
    listening = guest(15)
    other = listening.begin(LONG)
    with listening.web.stream("GET", f"/gradio_api/call/generate/{other}"):
        deadline = time.monotonic() + 20
        while figures(program).running > 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(3)
        assert figures(program).running == 2, "who listens, and the owner"
    assert owner.cancel(event).status_code == 200
    rests(program)


def test_g08_too_many_jobs_are_refused_with_a_sentence(program: Running, guest: Guest) -> None:
    asking = guest(6)
    events = [asking.begin(SMALL | {"steps": 250}) for _ in range(int(GUEST.jobs))]
    began = time.monotonic()
    refused = asking.call(SMALL)
    assert time.monotonic() - began < 2
    assert refused.kind == "error" and "wait already" in refused.text
    assert guest(7).call(SMALL).kind == "complete"
    for event in events:
        asking.cancel(event)
    rests(program)


def test_g08_work_is_counted_in_steps_not_in_jobs(program: Running, guest: Guest) -> None:
    wide = {**SMALL, "width": 1024, "height": 1024, "steps": 250, "batch_size": 16}
    refused = guest(8).call(wide)
    assert refused.kind == "error" and "more work than one guest may have" in refused.text


def test_g08_the_owner_is_not_shut_out(program: Running, guest: Guest, owner: Asking) -> None:
    crowd = [guest(200 + i) for i in range(4)]
    events = [(one, one.begin(LONG)) for one in crowd for _ in range(20)]
    assert owner.call(SMALL).kind == "complete"
    for one, event in events:
        one.cancel(event)
    rests(program)


def test_g10_many_idle_streams_leave_room_for_others(program: Running, guest: Guest) -> None:
    """One guest opens pages and listens, without end; what is taken of them ends, and others are served."""
    asking = guest(9)
    streams = []
    with httpx.Client(base_url=program.address, headers=asking.web.headers, timeout=30) as web:
        for i in range(60):
            request = web.build_request("GET", f"/gradio_api/heartbeat/idle{i}")
            streams.append(web.send(request, stream=True))
        began = time.monotonic()
        assert guest(10).call(SMALL).kind == "complete"
        assert time.monotonic() - began < 20
        for stream in streams:
            stream.close()


def test_g13_another_s_events_do_not_exist(program: Running, guest: Guest, owner: Asking) -> None:
    one, other = guest(11), guest(12)
    session = {"session_hash": "a page of guest 11"}
    event, plain = one.begin(LONG, **session), one.begin(LONG)
    for thief in (other, owner):
        for path in (f"call/generate/{event}", f"call/generate/{plain}", "heartbeat/a page of guest 11"):
            assert thief.web.get(f"/gradio_api/{path}").status_code == 404
        assert thief.web.get("/gradio_api/queue/data", params=session).status_code == 404
        assert thief.cancel(plain).status_code == 403
        cancel = {**session, "fn_index": 0, "event_id": event}
        assert thief.post("cancel", cancel).status_code == 403
        assert thief.post("call/generate", {"data": [SMALL], **session}).status_code == 403
    assert figures(program).running + figures(program).waiting == 2
    one.cancel(plain)
    one.post("cancel", {**session, "fn_index": 0, "event_id": event})
    rests(program)


def test_g06_models_that_change_under_others(program: Running, guest: Guest) -> None:
    """Each picture says which model made it, and is the one that is made alone."""

    def ask(number: int) -> tuple[str, bytes]:
        asking, model = guest(20 + number), ("landscapes", "other")[number % 2]
        answer = asking.call({**SMALL, "model": model, "steps": 10})
        (made,) = answer.data  # type: ignore[misc]
        assert made["requests"][0]["model"] == model
        return model, pixels(asking.web.get(made["images"][0]["url"]).content)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(ask, range(6)))
    for model in ("landscapes", "other"):
        request = TextToImage(prompt="snow", width=64, height=64, steps=10, seed=5, model=model)
        alone = pixels(program.studio.make(request)[0].png)
        assert {data for name, data in found if name == model} == {alone}


@pytest.mark.parametrize("count", [AT_ONCE + 2])
def test_g01_places_are_given_in_turn(program: Running, guest: Guest, count: int) -> None:
    """Of one person's calls some are made at a time; the others wait their turn, and none is lost."""
    asking = guest(13)
    events = [asking.begin({**SMALL, "steps": 20, "seed": i}) for i in range(count)]
    assert figures(program).running + figures(program).waiting <= AT_ONCE
    assert [asking.end(event).kind for event in events] == ["complete"] * count
