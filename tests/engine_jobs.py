"""Small requests, the engines that serve them, and what their jobs tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ldm_core.engine.engine import Engine
from ldm_core.engine.events import Event, Step
from ldm_core.engine.job import Job
from ldm_core.library.models import ModelLibrary
from ldm_core.request import TextToImage
from tests import tiny

SMALL = TextToImage(prompt="a lake at sunset", width=64, height=64, steps=5, seed=7)
LONG = replace(SMALL, steps=250, seed=100)
ENDLESS = replace(LONG, batch_size=16)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder)
    tiny.write_model(folder, seed=1, name="other")
    tiny.write_broken_model(folder)
    from_nothing = replace(tiny.SPEC.schedule, zero_terminal_snr=True)
    tiny.write_model(folder, name="v-from-nothing", spec=replace(tiny.SPEC, schedule=from_nothing))
    spec = replace(tiny.SPEC, schedule=from_nothing, parameterization="x0")
    tiny.write_model(folder, name="x0-from-nothing", spec=spec)
    return ModelLibrary([folder])


@pytest.fixture(scope="module")
def shared(library: ModelLibrary) -> Iterator[Engine]:
    with Engine(library, device="cpu") as engine:
        yield engine


@pytest.fixture
def engine(library: ModelLibrary) -> Iterator[Engine]:
    """An engine of the test's own."""
    with Engine(library, device="cpu", max_queue=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def canary(shared: Engine) -> bytes:
    return pixels(shared.submit(SMALL))


def pixels(job: Job) -> bytes:
    """All pictures' bytes."""
    return b"".join(picture.tobytes() for picture in job.pictures())


def kinds(job: Job) -> list[type[Event]]:
    """The kinds of all its events without repetitions; waits for the end."""
    found: list[type[Event]] = []
    for event in job.events():
        if not found or found[-1] is not type(event):
            found.append(type(event))
    return found


def wait_for(job: Job, wanted: Callable[[Event], bool], seconds: float = 20) -> Event:
    deadline = time.monotonic() + seconds
    for event in job.events(timeout=0.05):
        if event is not None and wanted(event):
            return event
        assert time.monotonic() < deadline, "the event did not come"
    raise AssertionError("the job ended before")


def step(number: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, Step) and event.step >= number


def so_far(job: Job) -> list[Event]:
    events = []
    for event in job.events(timeout=0.0):
        if event is None:
            break
        events.append(event)
    return events
