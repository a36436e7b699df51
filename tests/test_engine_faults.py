"""Stopping and faults: a job ends with one clear event, and nothing else suffers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from ldm_core.conditioners import Cond
from ldm_core.conditioners.hint import Hints
from ldm_core.engine import engine as engine_module
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import Cancelled, Done, Failed, PictureDone, Queued, Started, Step
from ldm_core.engine.job import Job
from ldm_core.errors import (
    AtelierError,
    EngineError,
    ModelNotFound,
    NotFinite,
    OutOfMemory,
    RequestError,
)
from ldm_core.library.models import ModelLibrary
from ldm_core.library.tokens import Report
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.network.preview import PreviewMap
from ldm_core.request import parse_request
from ldm_core.request.raster import Raster
from tests.engine_jobs import (
    ENDLESS,
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

PIXEL = Raster(np.zeros((1, 1, 3), np.uint8))


# Stopping.


def test_cancelling_stops_within_a_step(engine: Engine, canary: bytes) -> None:
    job = engine.submit(ENDLESS)
    wait_for(job, step(3))
    job.cancel()
    told = sum(isinstance(event, Step) for event in so_far(job))
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

    def load_and_cancel(name: str, *, device: str, dtype: torch.dtype, report: Report) -> LatentDiffusion:
        for job in jobs:
            job.cancel()
        return load(name, device=device, dtype=dtype, report=report)

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
    assert not any(isinstance(event, PictureDone) for event in job.events())
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

    def faulty(
        self: LatentDiffusion, x: torch.Tensor, t: torch.Tensor, cond: Cond, hints: Hints
    ) -> torch.Tensor:
        if any(self.poisoned(row) for row in x):  # type: ignore[operator]
            raise ValueError("no")
        return output(self, x, t, cond, hints)

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
        self: LatentDiffusion, x: torch.Tensor, t: torch.Tensor, cond: Cond, hints: Hints
    ) -> torch.Tensor:
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return output(self, x, t, cond, hints)

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
