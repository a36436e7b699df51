"""The engine: same request, same bytes, whatever else goes on; and every job ends with one clear event."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ldm_core import engine as engine_module
from ldm_core.conditioners import Condition, Given
from ldm_core.engine import Engine
from ldm_core.errors import (
    AtelierError,
    EngineError,
    ModelNotFound,
    NotFinite,
    OutOfMemory,
    QueueFull,
    RequestError,
)
from ldm_core.events import Cancelled, Done, Event, Failed, Picture, Queued, Started, Step
from ldm_core.job import Job, Pace
from ldm_core.model import LatentDiffusion
from ldm_core.models import ModelLibrary
from ldm_core.preview import PreviewMap
from ldm_core.raster import Raster
from ldm_core.request import SAMPLERS, TextToImage, parse_request, single, to_json
from ldm_core.tokens import Told
from tests import tiny

SMALL = TextToImage(prompt="a lake at sunset", width=64, height=64, steps=5, seed=7)
PIXEL = Raster(np.zeros((1, 1, 3), np.uint8))
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
    done = sum(isinstance(event, Step) for event in _so_far(second))
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


# Stopping.


def test_cancelling_stops_within_a_step(engine: Engine, canary: bytes) -> None:
    job = engine.submit(ENDLESS)
    wait_for(job, step(3))
    job.cancel()
    told = sum(isinstance(event, Step) for event in _so_far(job))
    assert kinds(job)[-1] is Cancelled
    assert sum(isinstance(event, Step) for event in job.events()) <= told + 1
    job.cancel()  # a second time, and after the end: nothing
    assert sum(isinstance(event, Cancelled) for event in job.events()) == 1
    with pytest.raises(EngineError, match="stopped"):
        job.pictures()
    assert pixels(engine.submit(SMALL)) == canary


def test_cancelling_while_loading_and_decoding(
    engine: Engine, canary: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    decode = LatentDiffusion.decode

    def decode_and_cancel(self: LatentDiffusion, z: torch.Tensor) -> torch.Tensor:
        for job in jobs:
            job.cancel()
        return decode(self, z)

    load = engine.library.load

    def load_and_cancel(name: str, *, device: str, dtype: torch.dtype, told: Told) -> LatentDiffusion:
        for job in jobs:
            job.cancel()
        return load(name, device=device, dtype=dtype, told=told)

    pixels(engine.submit(SMALL))  # so that the preview is fitted
    with monkeypatch.context() as patch:
        patch.setattr(LatentDiffusion, "decode", decode_and_cancel)
        jobs.append(engine.submit(SMALL))
        assert kinds(jobs[0]) == [Queued, Started, Step, Cancelled]
    with monkeypatch.context() as patch:
        patch.setattr(engine.library, "load", load_and_cancel)
        patch.setattr(engine.library, "loaded", lambda name, **_: None)
        jobs[:] = [engine.submit(SMALL)]
        assert kinds(jobs[0]) == [Queued, Started, Cancelled]
    assert pixels(engine.submit(SMALL)) == canary


def test_closing_ends_all_jobs(library: ModelLibrary) -> None:
    engine = Engine(library, device="cpu")
    jobs = [engine.submit(replace(ENDLESS, seed=i)) for i in range(engine_module.MAX_RUNNING + 2)]
    wait_for(jobs[0], step(1))
    began = time.perf_counter()
    engine.close()
    assert time.perf_counter() - began < 5
    assert all(kinds(job)[-1] is Cancelled for job in jobs)
    with pytest.raises(EngineError, match="closed"):
        engine.submit(SMALL)
    engine.close()


# Faults.


def test_nan_is_an_error_not_a_black_picture(shared: Engine, canary: bytes) -> None:
    job = shared.submit(replace(SMALL, model="broken"))
    with pytest.raises(NotFinite, match="step 1 of 5"):
        job.pictures()
    assert not any(isinstance(event, Picture) for event in job.events())
    assert pixels(shared.submit(SMALL)) == canary


def _fail_after(calls: int, error: Exception, original: Callable[..., object]) -> Callable[..., object]:
    count = 0

    def method(*args: object, **kwargs: object) -> object:
        nonlocal count
        count += 1
        if count > calls:
            raise error
        return original(*args, **kwargs)

    return method


FAULTS = {
    "fault": (ValueError("secret /home/someone"), EngineError),
    "memory": (MemoryError(), OutOfMemory),
    "cpu": (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), OutOfMemory),
    "gpu": (torch.OutOfMemoryError("CUDA out of memory."), OutOfMemory),
    "lost": (torch.AcceleratorError("CUDA error: an illegal memory access"), EngineError),
}
PLACES = {
    "first step": (LatentDiffusion, "output", 0),
    "third step": (LatentDiffusion, "output", 2),
    "text": (LatentDiffusion, "condition", 0),
    "decoder": (LatentDiffusion, "decoding", 0),
    "preview": (PreviewMap, "__call__", 0),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", PLACES)
def test_a_fault_ends_its_job_alone(
    shared: Engine, canary: bytes, monkeypatch: pytest.MonkeyPatch, place: str, fault: str
) -> None:
    owner, method, calls = PLACES[place]
    error, expected = FAULTS[fault]
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, _fail_after(calls, error, getattr(owner, method)))
        job = shared.submit(SMALL)
        with pytest.raises(AtelierError) as caught:
            job.pictures()
    assert type(caught.value) is expected
    assert "secret" not in str(caught.value) and str(caught.value).endswith(".")
    assert kinds(job)[-1] is Failed
    if expected is OutOfMemory:
        assert "64 x 64" in str(caught.value) and "smaller" in str(caught.value)
    assert pixels(shared.submit(SMALL)) == canary


def test_a_fault_of_one_job_in_a_shared_call_spares_the_others(
    library: ModelLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = LatentDiffusion.output
    poison = 123

    def faulty(self: LatentDiffusion, x: torch.Tensor, t: torch.Tensor, condition: Condition) -> torch.Tensor:
        if any(self.poisoned(row) for row in x):  # type: ignore[operator]
            raise ValueError("no")
        return output(self, x, t, condition)

    bad = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(poison))[0]
    monkeypatch.setattr(LatentDiffusion, "output", faulty)
    monkeypatch.setattr(LatentDiffusion, "poisoned", lambda self, row: torch.equal(row, bad), raising=False)
    with Engine(library, device="cpu", max_batch=4) as engine:
        good = [engine.submit(replace(SMALL, steps=30, seed=i)) for i in range(2)]
        wait_for(good[0], step(1))
        wrong = engine.submit(replace(SMALL, seed=poison))
        assert kinds(wrong)[-1] is Failed
        assert all(kinds(job)[-1] is Done for job in good)


def test_memory_too_short_for_all_at_once_is_answered_in_parts(
    shared: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = shared.submit(SMALL).pictures()[0]
    output = LatentDiffusion.output

    def one_row(
        self: LatentDiffusion, x: torch.Tensor, t: torch.Tensor, condition: Condition
    ) -> torch.Tensor:
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return output(self, x, t, condition)

    monkeypatch.setattr(LatentDiffusion, "output", one_row)
    got = shared.submit(SMALL).pictures()[0]
    assert np.abs(expected.astype(int) - got.astype(int)).max() <= 16  # bfloat16 rounds differently


def test_wrong_requests_are_refused_at_once(shared: Engine) -> None:
    began = time.perf_counter()
    with pytest.raises(RequestError, match="model is 'landscapes'; it has to be a model for super-resol"):
        shared.submit(parse_request({"task": "super-resolution", "model": "landscapes", "image": PIXEL}))
    with pytest.raises(ModelNotFound, match=r"There is no model '../x'. Models: broken, landscapes, other"):
        shared.submit(replace(SMALL, model="../x"))
    assert time.perf_counter() - began < 1


# Events.


def test_order_of_events(shared: Engine) -> None:
    batch = replace(SMALL, batch_size=2)
    job = shared.submit(batch)
    assert kinds(job) == [Queued, Started, Step, Picture, Step, Picture, Done]
    events = list(job.events())  # a second reader gets them all as well
    steps = [event for event in events if isinstance(event, Step)]
    assert [(s.image, s.step) for s in steps] == [(i, n) for i in range(2) for n in range(1, 6)]
    assert all((s.num_images, s.num_steps) == (2, 5) for s in steps)
    for s in steps:
        if s.preview is not None:
            assert s.preview.shape == (8, 8, 3) and s.preview.dtype == np.uint8
    assert steps[4].preview is not None
    pictures = [event for event in events if isinstance(event, Picture)]
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
        self: LatentDiffusion, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor
    ) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:  # the first of the second step's two
            assert submitted.wait(20)
            jobs[0].cancel()
        return output(self, x, t, context)

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
        ({"guidance_scale": 0.0, "guidance_end": 0.5}, [2] * 5 + [1] * 5),
    ],
)
def test_outside_of_guidance_the_network_is_not_asked_twice(
    shared: Engine, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], rows: list[int]
) -> None:
    asked: list[int] = []
    output = LatentDiffusion.output

    def counted(
        self: LatentDiffusion, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor
    ) -> torch.Tensor:
        asked.append(len(x))
        return output(self, x, t, context)

    monkeypatch.setattr(LatentDiffusion, "output", counted)
    shared.submit(parse_request({**to_json(SMALL), "steps": 10, **change})).pictures()
    assert asked == rows


def test_seconds_left(shared: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shared.submit(replace(SMALL, steps=40, batch_size=2))
    left = [event.seconds_left for event in job.events() if isinstance(event, Step)]
    assert min(left) >= 0 and left[-1] < min(left[5:40])

    now = 100.0
    monkeypatch.setattr("ldm_core.job.time.monotonic", lambda: now)
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


def test_the_context_is_computed_once_a_job(shared: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    condition = LatentDiffusion.condition

    def counted(self: LatentDiffusion, given: list[Given], size: tuple[int, int]) -> Condition:
        calls.append(tuple(one.prompt for one in given))
        return condition(self, given, size)

    monkeypatch.setattr(LatentDiffusion, "condition", counted)
    for change in ({"batch_size": 3}, {"guidance_scale": 1.0}, {"guidance_scale": 0.0}, {"prompt": " "}):
        shared.submit(replace(SMALL, negative_prompt="", **change)).pictures()
    assert calls == [(SMALL.prompt, ""), (SMALL.prompt,), ("",), ("",)]


def test_preloading(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = threading.Semaphore(0)
    decode = LatentDiffusion.decode

    def counted(self: LatentDiffusion, z: torch.Tensor) -> torch.Tensor:
        decoded.release()
        return decode(self, z)

    monkeypatch.setattr(LatentDiffusion, "decode", counted)
    with Engine(library, device="cpu") as engine:
        engine.preload("no such model")
        engine.preload("landscapes")
        for _ in ("the preview's fit", "a first picture"):
            assert decoded.acquire(timeout=20)
        assert len(engine.submit(SMALL).pictures()) == 1
        assert decoded.acquire(timeout=0) and not decoded.acquire(timeout=0)


def test_a_finished_job_is_let_go(shared: Engine) -> None:
    job = shared.submit(SMALL)
    failed = shared.submit(replace(SMALL, model="broken"))
    assert kinds(job)[-1] is Done and kinds(failed)[-1] is Failed
    remembered = [weakref.ref(job), weakref.ref(failed)]
    del job, failed
    shared.submit(SMALL).pictures()
    gc.collect()
    assert [reference() for reference in remembered] == [None, None]


def _so_far(job: Job) -> list[Event]:
    events = []
    for event in job.events(timeout=0.0):
        if event is None:
            break
        events.append(event)
    return events
