"""Between pages and engine: honest waiting, stopping, and pictures that outlive a full disk."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.keeping.library import Library
from app.studio.frames import Ended, Finished, Frame, Live, Waiting
from app.studio.jobs import Studio
from app.studio.timelines import Timelines
from ldm_core.conditioners import LowResolutionSpec
from ldm_core.errors import EngineError, ModelNotFound, RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.request import Branch, ClassToImage, SuperResolution, TextToImage
from ldm_core.request.raster import Raster
from tests.tiny import SPEC, write_broken_model, write_model

TWICE = replace(  # enlarges two times
    SPEC,
    first_stage=replace(SPEC.first_stage, patch_size=1, in_channels=3, z_channels=3, embed_dim=3),
    unet=replace(SPEC.unet, in_channels=6, out_channels=3, context_dim=0),
    conditioners=(LowResolutionSpec(),),
)
SMALL = TextToImage(prompt="a lake", width=64, height=64, steps=3, seed=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    write_broken_model(folder)
    write_model(folder, name="twice", spec=TWICE)
    return ModelLibrary([folder])


@pytest.fixture(scope="module")
def studio(models: ModelLibrary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    started = Studio(models, Library(tmp_path_factory.mktemp("outputs")))
    started.warm_up()
    assert started.problem == ""
    yield started
    started.close()


def finished(frames: list[Frame]) -> list[Finished]:
    return [frame for frame in frames if isinstance(frame, Finished)]


def test_of_a_picture_enlarged_several_times_the_last_steps_can_be_seen(studio: Studio) -> None:
    image = Raster(np.zeros((16, 24, 3), np.uint8))
    frames = list(studio.paint("large", SuperResolution(model="twice", image=image, steps=2, scale=8)))
    (picture,) = finished(frames)
    assert picture.steps is not None and picture.steps.total == 6
    assert [step for step, _ in studio.timelines.previews(picture.steps.key)] == [4, 5, 6]
    step, jpeg = studio.timelines.look(picture.steps.key, 1)
    with Image.open(io.BytesIO(jpeg)) as seen:
        assert (step, seen.size) == (4, (192, 128))
    *_, last = studio.branch("large", picture.steps.key, 5, replace(picture.request, seed=8))
    assert isinstance(last, Ended) and last.failed
    assert "has to be left out beyond 2 times the size" in last.text


def test_a_job_from_start_to_end(studio: Studio) -> None:
    frames = list(
        studio.paint("one", TextToImage(prompt="a lake", width=64, height=64, steps=3, batch_size=2))
    )
    assert [frame.request.seed for frame in finished(frames)] == [0, 1]
    assert all(frame.path is not None and frame.path.is_file() for frame in finished(frames))
    live = [frame for frame in frames if isinstance(frame, Live)]
    assert [frame.done for frame in live] == sorted(frame.done for frame in live)
    assert "left" in live[0].text
    assert isinstance(frames[-1], Ended)
    assert not frames[-1].failed
    assert not studio.session("one").running


def test_after_the_end_of_a_stopped_job_nothing_is_told(studio: Studio) -> None:
    frames = studio.paint("stopped", replace(SMALL, steps=250))
    next(frame for frame in frames if isinstance(frame, Live))
    time.sleep(0.3)  # several steps are done, of which the newest would be shown
    studio.stop("stopped")
    ended = next(frame for frame in frames if isinstance(frame, Ended))
    assert ended.text == "Stopped"
    time.sleep(0.3)
    assert list(frames) == []


def test_before_the_engine_is_up_it_says_so(models: ModelLibrary) -> None:
    asleep = Studio(models, None)
    frames = asleep.paint("one", SMALL)
    assert next(frames) == Waiting("Loading the model…")
    threading.Timer(0.2, asleep.stop, ["one"]).start()
    assert list(frames) == [Ended("Stopped")]


def test_one_job_a_session(studio: Studio) -> None:
    first = studio.paint("two", SMALL)
    next(first)
    assert list(studio.paint("two", SMALL)) == []
    first.close()  # type: ignore[attr-defined]
    assert finished(list(studio.paint("two", SMALL)))


def test_sessions_see_their_own_pictures_only(studio: Studio) -> None:
    list(studio.paint("mine", SMALL))
    assert len(studio.session("mine").pictures) == 1
    assert not studio.session("yours").pictures
    studio.leave("mine")
    assert not studio.session("mine").pictures


def test_a_picture_that_cannot_be_saved_is_still_shown(models: ModelLibrary, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = Studio(models, Library(tmp_path / "file"))
    blocked.warm_up()
    (picture,) = finished(list(blocked.paint("one", SMALL)))
    blocked.close()
    assert picture.path is None
    assert "could not be saved" in picture.problem
    assert picture.png.startswith(b"\x89PNG")


def test_what_goes_wrong_is_a_sentence(studio: Studio) -> None:
    broken = TextToImage(model="broken", width=64, height=64, steps=2)
    for request in (broken, TextToImage(model="none")):
        *_, last = studio.paint("three", request)
        assert isinstance(last, Ended)
        assert last.failed
        assert last.text.endswith(".")
    with pytest.raises(EngineError):
        studio.make(broken)


def test_without_any_model(tmp_path: Path) -> None:
    empty = Studio(ModelLibrary([tmp_path]), None)
    empty.warm_up()
    with pytest.raises((ModelNotFound, EngineError), match="no model"):
        empty.make(SMALL)
    empty.close()


def test_words_that_the_model_never_learnt(studio: Studio) -> None:
    sentence = "This model never learnt “zeppelin”."
    assert studio.told_of("landscapes", "a zeppelin over the lake") == sentence
    assert studio.told_of("landscapes", "the lake", "zeppelin") == sentence
    assert studio.told_of("landscapes", "the lake", "") == ""
    assert studio.told_of("none", "a zeppelin") == ""


def test_the_steps_of_the_newest_pictures_are_kept(studio: Studio) -> None:
    engine = studio.engine()
    kept = Timelines(lambda: engine, budget=200_000)
    jobs = [engine.submit(replace(SMALL, steps=20, seed=seed), owner=f"of {seed}") for seed in range(9)]
    for job in jobs:
        job.pictures()
        kept.keep(job)
    held = [job for job in jobs if job.id in kept._jobs]
    assert held == jobs[-len(held) :] and 1 < len(held) < 9
    key = f"{jobs[-1].id}:0"
    assert [step for step, _ in kept.previews(key)] == list(range(21))
    kept.forget("of 8")
    for gone in (key, f"{held[0].id}:1", "nonsense", f"{held[0].id}:²"):
        with pytest.raises(EngineError, match=r"no longer at hand; make it again"):
            kept.look(gone, 3)


def test_only_the_newest_branch_of_a_session_runs(studio: Studio) -> None:
    frames = list(studio.paint("five", SMALL))
    (first,) = finished(frames)
    assert first.steps is not None
    long = studio.paint("five", replace(SMALL, steps=250, width=256))
    next(frame for frame in long if isinstance(frame, Live))
    changed = replace(SMALL, prompt="snow", width=128, steps=9)  # of these the prompt alone counts
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, long)
        (branch,) = finished(list(studio.branch("five", first.steps.key, 2, changed)))
        assert not finished(rest.result(20))
    assert branch.request == replace(SMALL, prompt="snow", branch=Branch(2, SMALL))
    with pytest.raises(RequestError, match="task is 'class'; it has to be as before the branch"):
        studio.branch("five", first.steps.key, 2, ClassToImage(class_id=0))
