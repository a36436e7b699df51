"""The engine: same request, same bytes, whatever else goes on; fair turns; what is told."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ldm_core.conditioners import Cond, Inputs
from ldm_core.conditioners.hint import Hints
from ldm_core.engine import engine as engine_module
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import Cancelled, Done, Failed, PictureDone, Queued, Started, Step
from ldm_core.engine.job import Job
from ldm_core.engine.pace import Pace
from ldm_core.engine.record import Record
from ldm_core.errors import QueueFull
from ldm_core.library.models import ModelLibrary
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import SAMPLERS, parse_request, single, to_json
from ldm_core.tasks.base import Moment
from tests.engine_jobs import (
    ENDLESS,
    LONG,
    SMALL,
    canary,
    engine,
    kinds,
    library,
    pixels,
    shared,
    so_far,
    step,
    wait_for,
)

__all__ = ["canary", "engine", "library", "shared"]  # fixtures


# Same request, same bytes.


def test_the_same_request_gives_the_same_bytes(shared: Engine, canary: bytes) -> None:
    assert pixels(shared.submit(SMALL)) == canary


def test_also_in_another_engine(engine: Engine, canary: bytes) -> None:
    assert pixels(engine.submit(SMALL)) == canary


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_also_beside_other_jobs(shared: Engine, sampler: str) -> None:
    request = replace(SMALL, sampler=sampler, eta=0.5 if sampler == "ddim" else 0.0, steps=8)
    alone = pixels(shared.submit(request))
    others = [shared.submit(replace(LONG, seed=seed)) for seed in (1, 2)]
    for other in others:
        wait_for(other, step(1))
    beside = shared.submit(request)
    assert pixels(beside) == alone
    assert not any(other.ended for other in others)  # they did run beside it
    for other in others:
        other.cancel()
        assert kinds(other)[-1] is Cancelled


def test_each_picture_of_a_batch_equals_its_single_request(shared: Engine) -> None:
    batch = replace(SMALL, batch_size=3, eta=1.0)
    together = shared.submit(batch).pictures()
    assert len({picture.tobytes() for picture in together}) == 3
    for i, picture in enumerate(together):
        assert np.array_equal(shared.submit(single(batch, i)).pictures()[0], picture)


def test_guidance_0_is_no_guidance_with_the_prompt(shared: Engine) -> None:
    """As the cards of models for few steps write it; without the prompt it would be another picture."""
    small = replace(SMALL, negative_prompt="snow", guidance_end=0.7)
    none = pixels(shared.submit(replace(small, guidance_scale=0.0)))
    assert none == pixels(shared.submit(replace(small, guidance_scale=1.0)))
    assert none != pixels(shared.submit(replace(small, guidance_scale=0.0, prompt="")))


def test_what_should_change_the_picture_does(shared: Engine, canary: bytes) -> None:
    for change in (
        {"prompt": "snow over trees"},
        {"negative_prompt": "snow"},
        {"seed": 8},
        {"steps": 6},
        {"sampler": "plms"},
        {"eta": 1.0},
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.0},
        {"model": "other"},
        {"spacing": "uniform"},
        {"spacing": "karras"},
        {"guidance_rescale": 0.7},
        {"guidance_start": 0.4},
        {"guidance_end": 0.4},
    ):
        assert pixels(shared.submit(replace(SMALL, **change))) != canary, change


@pytest.mark.parametrize("model", ["v-from-nothing", "x0-from-nothing"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_schedules_that_start_in_pure_noise(shared: Engine, sampler: str, model: str) -> None:
    for spacing in ("trailing", "karras"):
        made = shared.submit(replace(SMALL, model=model, sampler=sampler, spacing=spacing)).pictures()
        assert len(np.unique(made[0])) > 16


def test_shared_calls_answer_each_picture_as_alone(library: ModelLibrary) -> None:
    """On a GPU several pictures go into one call; up to rounding that changes none of them."""

    def one(engine: Engine) -> list[NDArray[np.uint8]]:
        jobs = [
            engine.submit(replace(SMALL, batch_size=3)),
            engine.submit(replace(SMALL, prompt="", seed=1)),
            engine.submit(replace(SMALL, guidance_scale=1.0, sampler="plms", seed=2)),
            engine.submit(replace(SMALL, width=128)),
        ]
        return [picture for job in jobs for picture in job.pictures()]

    with Engine(library, device="cpu", dtype="float32", max_batch=1) as engine:
        alone = one(engine)
    with Engine(library, device="cpu", dtype="float32", max_batch=4) as engine:
        together = one(engine)
    for a, b in zip(alone, together, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


# Fair turns.


def test_a_short_job_overtakes_a_long_one(shared: Engine) -> None:
    long = shared.submit(LONG)
    wait_for(long, step(2))
    short = shared.submit(replace(SMALL, model="other", width=128))
    assert kinds(short)[-1] is Done
    seen = [event for event in long.events(timeout=0.0) if event is not None] if long.ended else None
    assert seen is None, "the long job should still run"
    long.cancel()


def test_two_jobs_take_turns(engine: Engine) -> None:
    first = engine.submit(replace(LONG, steps=40))
    second = engine.submit(replace(LONG, steps=40, width=128))
    first.pictures()
    done = sum(isinstance(event, Step) for event in so_far(second))
    assert 30 <= done <= 40
    second.pictures()


def test_queue_positions_and_full_queue(engine: Engine) -> None:
    running = [engine.submit(replace(ENDLESS, seed=i)) for i in range(engine_module.MAX_RUNNING)]
    for job in running:
        wait_for(job, lambda event: isinstance(event, Started))
    waiting = [engine.submit(SMALL), engine.submit(SMALL)]
    began = time.perf_counter()
    with pytest.raises(QueueFull, match="2 jobs are waiting"):
        engine.submit(SMALL)
    assert time.perf_counter() - began < 1
    waiting[0].cancel()
    assert kinds(waiting[0]) == [Queued, Cancelled]
    wait_for(waiting[1], lambda event: event == Queued(0))
    running[0].cancel()
    assert len(waiting[1].pictures()) == 1
    places = [event.position for event in waiting[1].events() if isinstance(event, Queued)]
    assert places == [1, 0]


def test_many_people_at_once(library: ModelLibrary, shared: Engine) -> None:
    """Each gets their own pictures, some stop theirs, and every job ends."""
    seeds = range(6)
    expected = [pixels(shared.submit(replace(SMALL, seed=seed))) for seed in seeds]
    wrong: list[str] = []

    def person(number: int) -> None:
        for seed in seeds:
            job = engine.submit(replace(SMALL, seed=seed), owner=str(number))
            if (seed + number) % 3 == 0:
                job.cancel()
                if kinds(job)[-1] not in (Cancelled, Done):
                    wrong.append(f"{number}: stopped job {seed} failed")
            elif pixels(job) != expected[seed]:
                wrong.append(f"{number}: another picture for {seed}")

    with Engine(library, device="cpu") as engine:
        people = [threading.Thread(target=person, args=(number,)) for number in range(6)]
        for thread in people:
            thread.start()
        for thread in people:
            thread.join(60)
        assert not any(thread.is_alive() for thread in people)
    assert wrong == []


# Events.


def test_order_of_events(shared: Engine) -> None:
    batch = replace(SMALL, batch_size=2)
    job = shared.submit(batch)
    assert kinds(job) == [Queued, Started, Step, PictureDone, Step, PictureDone, Done]
    events = list(job.events())  # a second reader gets them all as well
    steps = [event for event in events if isinstance(event, Step)]
    assert [(s.image, s.step) for s in steps] == [(i, n) for i in range(2) for n in range(1, 6)]
    assert all((s.num_images, s.num_steps) == (2, 5) for s in steps)
    for s in steps:
        if s.preview is not None:
            assert s.preview.shape == (8, 8, 3) and s.preview.dtype == np.uint8
    assert steps[4].preview is not None
    pictures = [event for event in events if isinstance(event, PictureDone)]
    assert [picture.request for picture in pictures] == [single(batch, 0), single(batch, 1)]
    assert all(p.pixels.shape == (64, 64, 3) and p.pixels.dtype == np.uint8 for p in pictures)


@pytest.mark.parametrize(
    ("sampler", "spacing"),
    [
        *((name, "trailing") for name in SAMPLERS),
        ("ddim", "uniform"),
        ("heun", "quadratic"),
        ("plms", "karras"),
    ],
)
def test_steps_count_to_their_number(shared: Engine, sampler: str, spacing: str) -> None:
    job = shared.submit(replace(SMALL, steps=7, sampler=sampler, spacing=spacing))
    steps = [event for event in job.events() if isinstance(event, Step)]
    assert [s.step for s in steps] == list(range(1, steps[0].num_steps + 1))
    assert len(steps) == (8 if spacing == "uniform" else 7)
    moments = job.trajectory(0)
    assert [moment.step for moment in moments] == list(range(len(steps) + 1))
    assert [moment.t for moment in moments] == sorted((m.t for m in moments), reverse=True)


def test_a_job_stops_between_two_evaluations_of_one_step(
    shared: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    calls = 0
    output, submitted = LatentDiffusion.output, threading.Event()

    def stopping(
        self: LatentDiffusion, x: torch.Tensor, t: torch.Tensor, context: Cond, hints: Hints
    ) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:  # the first of the second step's two
            assert submitted.wait(20)
            jobs[0].cancel()
        return output(self, x, t, context, hints)

    monkeypatch.setattr(LatentDiffusion, "output", stopping)
    jobs.append(shared.submit(replace(SMALL, sampler="heun")))
    submitted.set()
    events = list(jobs[0].events())
    assert [event.step for event in events if isinstance(event, Step)] == [1]
    assert isinstance(events[-1], Cancelled)
    assert calls == 3


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        ({}, [2] * 10),
        ({"guidance_start": 0.2, "guidance_end": 0.7}, [1, 1, 2, 2, 2, 2, 2, 1, 1, 1]),
        ({"sampler": "heun", "steps": 4, "guidance_end": 0.5}, [2, 2, 2, 2, 1, 1, 1]),
        ({"guidance_start": 1.0}, [1] * 10),
        ({"guidance_scale": 1.0}, [1] * 10),
        ({"guidance_scale": 0.0, "guidance_end": 0.5}, [1] * 10),
    ],
)
def test_outside_of_guidance_the_network_is_not_asked_twice(
    shared: Engine, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], rows: list[int]
) -> None:
    asked: list[int] = []
    output = LatentDiffusion.output

    def counted(
        self: LatentDiffusion, x: torch.Tensor, t: torch.Tensor, context: Cond, hints: Hints
    ) -> torch.Tensor:
        asked.append(len(x))
        return output(self, x, t, context, hints)

    monkeypatch.setattr(LatentDiffusion, "output", counted)
    shared.submit(parse_request({**to_json(SMALL), "steps": 10, **change})).pictures()
    assert asked == rows


def test_a_guidance_scale_of_0_is_none_with_the_prompt(shared: Engine) -> None:
    plain, none = (replace(SMALL, guidance_scale=scale) for scale in (1.0, 0.0))
    for change in ({}, {"guidance_start": 0.3, "guidance_end": 0.6}, {"negative_prompt": "snow"}):
        pictures = [pixels(shared.submit(replace(one, **change))) for one in (plain, none)]
        assert pictures[0] == pictures[1]
    other = replace(none, prompt="snow over trees")
    assert pixels(shared.submit(other)) != pixels(shared.submit(none))


def test_seconds_left(shared: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shared.submit(replace(SMALL, steps=40, batch_size=2))
    left = [event.seconds_left for event in job.events() if isinstance(event, Step)]
    assert min(left) >= 0 and left[-1] < min(left[5:40])

    now = 100.0
    monkeypatch.setattr("ldm_core.engine.pace.time.monotonic", lambda: now)
    pace = Pace(decode_seconds=3.0)
    for seconds in (20.0, 2.0, 2.0):  # the first step is slow
        now += seconds
        pace.stepped(1)
    assert pace.seconds_left(steps=10, decodes=2) == 10 * 2.0 + 2 * 3.0
    now += 5.0
    pace.decoded(5.0)
    for _ in range(9):  # four steps in one call
        now += 4.0
        pace.stepped(4)
    assert pace.seconds_left(steps=10, decodes=1) == 10 * 1.0 + 5.0


def test_polling(engine: Engine) -> None:
    job = engine.submit(ENDLESS)
    wait_for(job, step(1))
    events = job.events(timeout=0.001)
    assert any(event is None for event, _ in zip(events, range(500)))
    job.cancel()


def test_trajectory(shared: Engine) -> None:
    job = shared.submit(replace(SMALL, batch_size=2))
    job.pictures()
    for i in range(2):
        moments = job.trajectory(i)
        assert [moment.step for moment in moments] == [0, 1, 2, 3, 4, 5]
        assert [moment.t for moment in moments] == [999, 799, 599, 399, 199, -1]
        assert all(moment.x.shape == (1, 4, 8, 8) and moment.x.dtype == torch.float16 for moment in moments)
        noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(SMALL.seed + i))
        assert torch.equal(moments[0].x, noise.half())


@pytest.mark.parametrize(
    ("numbers", "num_steps", "batch_size", "stride"),
    [
        (2**20, 128, 1, 1),  # 512 MB exactly: x and pred_x0 of two bytes each
        (2**20 + 1, 128, 1, 2),
        (2**20, 129, 1, 2),
        (2**20, 64, 2, 1),
        (2**20, 100, 4, 4),
        (2**22, 100, 1, 4),
    ],
)
def test_a_trajectory_takes_up_to_512_mb(numbers: int, num_steps: int, batch_size: int, stride: int) -> None:
    """Beyond that every second, third ... moment is kept, and always the finished latent."""
    record = Record(replace(SMALL, batch_size=batch_size), "")
    x = torch.zeros((), dtype=torch.float16).expand(numbers)  # takes no memory itself
    for image in range(batch_size):
        for number in range(num_steps + 1):
            record.keep(image, num_steps, Moment(number, 0.0, x, x))
    kept = [moment.step for moment in record.pictures[0].trajectory]
    assert kept == sorted({*range(0, num_steps + 1, stride), num_steps})
    taken = 2 * 2 * numbers * batch_size * (len(kept) - 1)
    assert taken <= 512 * 2**20


def test_the_context_is_computed_once_a_job(shared: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    condition = LatentDiffusion.condition

    def counted(self: LatentDiffusion, given: list[Inputs], size: tuple[int, int]) -> Cond:
        calls.append(tuple(one.prompt for one in given))
        return condition(self, given, size)

    monkeypatch.setattr(LatentDiffusion, "condition", counted)
    for change in ({"batch_size": 3}, {"guidance_scale": 1.0}, {"guidance_scale": 0.0}, {"prompt": " "}):
        shared.submit(replace(SMALL, negative_prompt="", **change)).pictures()
    assert calls == [(SMALL.prompt, ""), (SMALL.prompt,), (SMALL.prompt,), ("",)]


def test_a_finished_job_is_let_go(shared: Engine) -> None:
    job = shared.submit(SMALL)
    failed = shared.submit(replace(SMALL, model="broken"))
    assert kinds(job)[-1] is Done and kinds(failed)[-1] is Failed
    remembered = [weakref.ref(job), weakref.ref(failed)]
    del job, failed
    shared.submit(SMALL).pictures()
    gc.collect()
    assert [reference() for reference in remembered] == [None, None]
