"""Several people at one engine: nobody waits behind another's work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ldm_core.engine.engine import Engine
from ldm_core.engine.events import Queued, Started, Step
from ldm_core.engine.job import Job
from ldm_core.engine.shares import MAX_RUNNING, MAX_SHARES
from ldm_core.engine.waiting import until_start
from ldm_core.errors import QueueFull
from ldm_core.library.models import ModelLibrary
from tests import tiny
from tests.engine_jobs import ENDLESS, LONG, SMALL, pixels, so_far, step, wait_for


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder)
    return ModelLibrary([folder])


@pytest.fixture
def engine(library: ModelLibrary) -> Iterator[Engine]:
    with Engine(library, device="cpu") as engine:
        yield engine


def steps(job: Job) -> int:
    return sum(isinstance(event, Step) for event in so_far(job))


def test_a_job_beside_thirty_of_another_person_has_every_second_turn(engine: Engine) -> None:
    canary = pixels(engine.submit(SMALL))
    flood = [engine.submit(replace(ENDLESS, seed=i), "flooder") for i in range(30)]
    wait_for(flood[0], lambda event: isinstance(event, Step))
    before = sum(map(steps, flood))
    honest = engine.submit(replace(LONG, steps=40), "honest")
    began = time.monotonic()
    wait_for(honest, lambda event: isinstance(event, Started))
    assert time.monotonic() - began < 2
    honest.pictures()
    assert 36 <= sum(map(steps, flood)) - before <= 60  # one each a turn
    for job in flood:
        job.cancel()
    assert pixels(engine.submit(SMALL)) == canary


def test_a_larger_picture_gets_fewer_turns(engine: Engine) -> None:
    large = engine.submit(replace(LONG, width=128, height=128), "one")
    wait_for(large, lambda event: isinstance(event, Step))
    small = engine.submit(replace(LONG, steps=80), "other")
    wait_for(small, lambda event: isinstance(event, Step))
    before = steps(large)
    small.pictures()
    assert 16 <= steps(large) - before <= 26  # a step of it costs four of the other's


def test_places_are_told_in_the_order_in_which_they_come(engine: Engine) -> None:
    running = [engine.submit(replace(ENDLESS, seed=i), f"person {i}") for i in range(MAX_SHARES)]
    for job in running:
        wait_for(job, lambda event: isinstance(event, Started))
    flood = [engine.submit(SMALL, "flooder") for _ in range(5)]
    honest = engine.submit(SMALL, "honest")
    assert [event.position for event in so_far(honest) if isinstance(event, Queued)] == [1]
    told = so_far(flood[1])[-1]
    assert isinstance(told, Queued) and told.position == 2
    for job in running[:-1]:
        job.cancel()
    honest.pictures()
    assert flood[0].pictures()


def test_how_long_a_job_waits_is_told_where_it_is_known(engine: Engine) -> None:
    assert until_start([1, 2, 3], []) == 0
    assert until_start([1, 2, 3, 4], []) == 4  # the shortest has every fourth turn
    assert until_start([1, 2, 3, 4], [5]) == 8
    assert until_start([], [3, 3], places=1) == 6
    running = [engine.submit(replace(LONG, seed=i, steps=30)) for i in range(MAX_RUNNING)]
    first = engine.submit(SMALL)
    for job in running:
        wait_for(job, step(2))
    second = engine.submit(SMALL)
    began = time.monotonic()
    told = [[event.seconds for event in so_far(job) if isinstance(event, Queued)] for job in (first, second)]
    assert told[0][0] is None, "nothing was made with the model yet"
    known = told[1][-1]
    assert known is not None
    wait_for(second, lambda event: isinstance(event, Started), seconds=120)
    assert 1 / 3 < known / (time.monotonic() - began) < 3


def test_a_share_has_its_own_end(library: ModelLibrary) -> None:
    with Engine(library, device="cpu", max_queue=2, share_of=lambda owner: owner[0]) as engine:
        for i in range(MAX_RUNNING + 2):
            engine.submit(replace(ENDLESS, seed=i), f"a{i}")
        with pytest.raises(QueueFull, match="2 jobs are waiting"):
            engine.submit(SMALL, "a of another page")
        assert engine.submit(SMALL, "b").pictures()


def test_who_rested_begins_level_with_the_others(engine: Engine) -> None:
    engine.submit(replace(LONG, steps=30), "late").pictures()
    busy = engine.submit(replace(LONG, batch_size=4), "busy")
    wait_for(busy, lambda event: isinstance(event, Step) and event.step == 100)
    late = engine.submit(replace(LONG, steps=60), "late")
    wait_for(late, lambda event: isinstance(event, Step))
    before = steps(busy)
    late.pictures()
    assert steps(busy) - before >= 54
