"""Switching models: loading holds up nobody, and a model that does not load spoils only its own job."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ldm_core.engine.engine import MAX_RUNNING, Engine
from ldm_core.engine.events import Cancelled, Event, Started, Step
from ldm_core.engine.job import Job
from ldm_core.errors import ModelError, ModelFileError
from ldm_core.library.models import ModelLibrary
from ldm_core.library.tokens import Report
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import TextToImage
from tests import tiny

SMALL = TextToImage(prompt="a lake", steps=5, width=64, height=64)
LONG = replace(SMALL, steps=250, batch_size=16)


class SlowLibrary(ModelLibrary):
    """Loads `landscapes` at once and everything else when it is let."""

    let = threading.Event()

    def load(
        self, name: str, *, device: str, dtype: torch.dtype, report: Report = lambda _: None
    ) -> LatentDiffusion:
        if name != "landscapes":
            assert self.let.wait(60)
        return super().load(name, device=device, dtype=dtype, report=report)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    for name in ("landscapes", "slow", "damaged"):
        tiny.write_model(tmp_path, name=name)
    library = SlowLibrary([tmp_path])
    library.let = threading.Event()
    library.names()
    (tmp_path / "damaged" / "vocab.txt").write_text("a\nb\n")
    with Engine(library, device="cpu") as engine:
        engine.submit(SMALL).pictures()
        yield engine
        library.let.set()


def wait_for(job: Job, kind: type[Event], count: int = 1) -> None:
    """Until the job told so many events of a kind."""
    told = (event for event in job.events() if isinstance(event, kind))
    assert len([event for _, event in zip(range(count), told)]) == count


def let(engine: Engine) -> None:
    assert isinstance(engine.library, SlowLibrary)
    engine.library.let.set()


def test_a_running_job_goes_on_while_another_model_is_loaded(engine: Engine) -> None:
    running = engine.submit(LONG)
    waiting = engine.submit(replace(SMALL, model="slow"))
    wait_for(running, Step, 40)
    assert not waiting.ended
    also = engine.submit(SMALL)  # of a model that is there: it does not wait for the loader either
    assert len(also.pictures()) == 1 and not waiting.ended
    let(engine)
    assert len(waiting.pictures()) == 1
    running.cancel()


def test_stopping_and_closing_do_not_wait_for_a_model(engine: Engine) -> None:
    jobs = [engine.submit(replace(SMALL, model="slow", seed=seed)) for seed in range(MAX_RUNNING + 1)]
    wait_for(jobs[0], Started)
    began = time.perf_counter()
    jobs[0].cancel()
    assert isinstance(list(jobs[0].events())[-1], Cancelled)
    engine.close()
    assert all(isinstance(list(job.events())[-1], Cancelled) for job in jobs)
    assert time.perf_counter() - began < 5


def test_the_engine_rests_while_it_only_waits_for_a_model(engine: Engine) -> None:
    jobs = [engine.submit(replace(SMALL, model="slow", seed=seed)) for seed in range(MAX_RUNNING + 2)]
    wait_for(jobs[0], Started)
    time.sleep(0.2)
    began = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - began < 0.25
    let(engine)
    assert all(len(job.pictures()) == 1 for job in jobs)


def test_a_model_that_fails_to_load_is_one_sentence_at_its_job(engine: Engine) -> None:
    expected = engine.submit(SMALL).pictures()[0]
    let(engine)
    for _ in range(2):
        failed = engine.submit(replace(SMALL, model="damaged"))
        beside = engine.submit(SMALL)
        with pytest.raises(ModelError) as caught:
            failed.pictures()
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
        assert (beside.pictures()[0] == expected).all()


def test_a_file_that_vanishes_before_it_is_loaded(engine: Engine) -> None:
    path = engine.library.info("slow").path
    job = engine.submit(replace(SMALL, model="slow"))
    (path / "model.safetensors").unlink()
    let(engine)
    with pytest.raises(ModelFileError):
        job.pictures()
    assert len(engine.submit(SMALL).pictures()) == 1


def test_a_file_removed_in_use_is_missed_only_by_the_next(engine: Engine) -> None:
    running = engine.submit(replace(LONG, batch_size=1))
    wait_for(running, Step)
    (engine.library.info("landscapes").path / "model.safetensors").unlink()
    assert len(running.pictures()) == 1
    with pytest.raises(ModelError):
        engine.submit(SMALL).pictures()
