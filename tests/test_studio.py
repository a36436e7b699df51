"""Between pages and engine: honest waiting, stopping, and pictures that outlive a full disk."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.keeping.library import OWNER, Library
from app.studio.frames import Ended, Finished, Frame, Live
from app.studio.jobs import Studio
from app.studio.people import Page, Person
from app.studio.queue import Item
from app.studio.run import Run
from app.studio.running import GUEST_RUNS, GUEST_WAITS
from app.studio.timelines import Timelines
from ldm_core.conditioners import LowResolutionSpec
from ldm_core.errors import EngineError, ModelNotFound, RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.request import Branch, ClassToImage, Remove, SuperResolution, TextToImage
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


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(studio: Studio, person: Person, item: Item) -> Run:
    """Waits for the end of a job."""
    until(lambda: (run := person.run(item.id)) is not None and run.ended is not None)
    run = person.run(item.id)
    assert run is not None
    return run


def page_of(studio: Studio, name: str = OWNER) -> Page:
    return studio.page(name, "a page")


def finished(frames: list[Frame]) -> list[Finished]:
    return [frame for frame in frames if isinstance(frame, Finished)]


def test_of_a_picture_enlarged_several_times_the_last_steps_can_be_seen(studio: Studio) -> None:
    person = studio.person("large")
    image = Raster(np.zeros((16, 24, 3), np.uint8))
    item = studio.jobs.add(person, [SuperResolution(model="twice", image=image, steps=2, scale=8)])
    (picture,) = ended(studio, person, item).pictures
    assert picture.steps is not None and picture.steps.total == 6
    assert [step for step, _ in studio.timelines.previews(picture.steps.key, "large")] == [4, 5, 6]
    step, jpeg = studio.timelines.look(picture.steps.key, "large", 1)
    with Image.open(io.BytesIO(jpeg)) as seen:
        assert (step, seen.size) == (4, (192, 128))
    item = studio.jobs.branch(person, picture.steps.key, 5, replace(picture.request, seed=8))
    last = ended(studio, person, item).ended
    assert last is not None and last.failed
    assert "has to be left out beyond 2 times the size" in last.text


def test_a_job_from_start_to_end(studio: Studio) -> None:
    frames = list(studio.paint(TextToImage(prompt="a lake", width=64, height=64, steps=3, batch_size=2)))
    assert [frame.request.seed for frame in finished(frames)] == [0, 1]
    assert all(frame.path is not None and frame.path.is_file() for frame in finished(frames))
    live = [frame for frame in frames if isinstance(frame, Live)]
    assert [frame.done for frame in live] == sorted(frame.done for frame in live)
    assert "left" in live[0].text
    assert isinstance(frames[-1], Ended)
    assert frames[-1].finished and not frames[-1].failed


def test_a_stopped_job_shows_how_far_it_came_and_nothing_more(studio: Studio) -> None:
    page = page_of(studio, "stopper")
    item = studio.jobs.add(page.person, [replace(SMALL, steps=250)])
    until(lambda: page.run is not None and page.run.preview is not None)
    assert page.picture is None
    time.sleep(0.3)  # several steps are done, of which the newest would be shown
    assert studio.jobs.stop(page)
    run = ended(studio, page.person, item)
    assert run.text == "Stopped" and not run.paused
    assert page.selection().run is run and page.picture is None
    time.sleep(0.3)
    assert run.text == "Stopped"
    assert not studio.jobs.stop(page)


def test_before_the_engine_is_up_it_says_so(models: ModelLibrary) -> None:
    asleep = Studio(models, None)
    page = page_of(asleep)
    item = asleep.jobs.add(page.person, [SMALL])
    until(lambda: page.run is not None and page.run.text == "Loading the model…")
    asleep.jobs.stop(page)
    assert ended(asleep, page.person, item).text == "Stopped"


def test_each_press_adds_a_job_and_they_are_made_in_order(studio: Studio) -> None:
    person = studio.person("presser")
    items = [studio.jobs.add(person, [replace(SMALL, seed=seed)]) for seed in range(4)]
    ended(studio, person, items[-1])
    assert [picture.request.seed for picture in person.pictures()] == [3, 2, 1, 0]
    assert [picture.batch for picture in person.pictures()] == [item.id for item in items[::-1]]


def test_strangers_neither_see_nor_reach_each_others(studio: Studio) -> None:
    mine, yours = page_of(studio, "mine"), page_of(studio, "yours")
    item = studio.jobs.add(mine.person, [replace(SMALL, steps=250, width=256)])
    until(lambda: mine.run is not None and mine.run.steps is not None)
    assert mine.run is not None and mine.run.steps is not None
    assert yours.run is None and yours.selection().run is None and not yours.person.pictures()
    assert not yours.choose(item.id)
    studio.jobs.cancel(yours.person, item.id)
    studio.jobs.stop(yours)
    studio.jobs.pause(yours)
    studio.jobs.cancel_all(yours.person)
    studio.jobs.again(yours.person, item.id)
    assert mine.run is not None and mine.run.job is not None and not mine.run.job.cancelled
    key = mine.run.steps.key
    for stolen in (
        lambda: studio.timelines.previews(key, "yours"),
        lambda: studio.timelines.look(key, "yours", 1),
        lambda: studio.timelines.animation(key, "yours"),
        lambda: studio.jobs.branch(yours.person, key, 1, SMALL),
    ):
        with pytest.raises(EngineError, match="no longer at hand"):
            stolen()
    assert not studio.jobs.queue.items("yours")
    studio.jobs.stop(mine)
    assert ended(studio, mine.person, item).text == "Stopped"
    assert studio.page("yours", "a page") is not studio.page("mine", "a page")


def test_a_page_follows_what_is_made_unless_it_looks_at_something_older(studio: Studio) -> None:
    page, other = studio.page("looker", "one"), studio.page("looker", "two")
    person = page.person
    first = ended(studio, person, studio.jobs.add(person, [SMALL])).pictures[0]
    ended(studio, person, studio.jobs.add(person, [replace(SMALL, seed=2)]))
    assert other.choose(first.id)
    item = studio.jobs.add(person, [replace(SMALL, seed=3, steps=100)])
    page.follow()
    until(lambda: page.run is not None)
    assert page.picture is None and page.selection().run is page.run
    assert other.picture is first and other.selection().run is None
    last = ended(studio, person, item).pictures[-1]
    assert page.picture is last and other.picture is first
    assert other.choose(last.id)  # the newest: so it follows again
    ended(studio, person, studio.jobs.add(person, [replace(SMALL, seed=4)]))
    assert other.picture is not last and other.picture is page.picture


def test_generate_until_i_stop(studio: Studio) -> None:
    page = page_of(studio, "endless")
    person = page.person
    studio.jobs.repeat(person, endless=True)
    studio.jobs.add(person, [SMALL])
    until(lambda: len(person.pictures()) >= 3)
    studio.jobs.stop(page)
    until(lambda: person.runner is None)
    seeds = [picture.request.seed for picture in person.pictures()]
    assert len(set(seeds)) == len(seeds) and not person.endless


def test_a_paused_queue_begins_nothing_new(studio: Studio) -> None:
    person = studio.person("pauser")
    studio.jobs.pause_queue(person, paused=True)
    item = studio.jobs.add(person, [SMALL])
    time.sleep(0.3)
    assert person.latest is None
    studio.jobs.pause_queue(person, paused=False)
    assert ended(studio, person, item).pictures


def test_what_a_guest_leaves_behind_ends_after_a_while(studio: Studio) -> None:
    page = studio.page("guest", "one")
    turn = page.attach()
    long = studio.jobs.add(page.person, [replace(SMALL, steps=250, width=256)])
    waiting = studio.jobs.add(page.person, [replace(SMALL, steps=250, width=256)])
    until(lambda: page.run is not None and page.run.job is not None)
    studio.tidy(time.monotonic() + 1e6)  # while the page is open nothing ends
    page.leave(turn)
    studio.tidy(time.monotonic() + GUEST_RUNS - 10)
    assert page.run is not None and not page.run.stop.is_set()
    studio.jobs.pause_queue(page.person, paused=True)
    studio.tidy(time.monotonic() + GUEST_RUNS + 10)
    assert ended(studio, page.person, long).text == "Stopped"
    assert studio.jobs.queue.find("guest", waiting.id)
    until(lambda: page.person.runner is None)
    studio.tidy(time.monotonic() + GUEST_WAITS + 10)
    assert not studio.jobs.queue.waiting("guest")
    assert studio.person("guest") is not page.person


def test_a_picture_that_cannot_be_saved_is_still_shown(
    models: ModelLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = Studio(models, Library(tmp_path / "file"))
    blocked.warm_up()
    assert "cannot be saved" in str(list(blocked.paint(SMALL))[-1])
    monkeypatch.setattr(Library, "require_room", lambda _: None)  # as if the disk filled meanwhile
    (picture,) = finished(list(blocked.paint(SMALL)))
    blocked.close()
    assert picture.path is None
    assert "could not be saved" in picture.problem
    assert picture.png.startswith(b"\x89PNG")


def test_what_goes_wrong_is_a_sentence(studio: Studio) -> None:
    broken = TextToImage(model="broken", width=64, height=64, steps=2)
    for request in (broken, TextToImage(model="none")):
        *_, last = studio.paint(request)
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
    assert studio.prompt_notes("landscapes", "a zeppelin over the lake") == sentence
    assert studio.prompt_notes("landscapes", "the lake", "zeppelin") == sentence
    assert studio.prompt_notes("landscapes", "the lake", "") == ""
    assert studio.prompt_notes("none", "a zeppelin") == ""


def test_clip_skip_of_a_model_without_clip_is_said(studio: Studio) -> None:
    said = "Clip skip has no effect: this model does not read by CLIP."
    assert studio.prompt_notes("landscapes", "", clip_skip=2) == said
    assert studio.models.request_notes(replace(SMALL, clip_skip=2)) == said
    assert studio.models.request_notes(SMALL) == ""


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
    assert [step for step, _ in kept.previews(key, "of 8")] == list(range(21))
    kept.forget("of 8")
    for gone, owner in ((key, "of 8"), (f"{held[0].id}:1", held[0].owner), ("nonsense", ""), ("x:²", "")):
        with pytest.raises(EngineError, match=r"no longer at hand; make it again"):
            kept.look(gone, owner, 3)


def test_a_branch_is_the_next_job_and_takes_the_place_of_its_own_picture(studio: Studio) -> None:
    person = studio.person("five")
    (first,) = ended(studio, person, studio.jobs.add(person, [SMALL])).pictures
    assert first.steps is not None
    long = studio.jobs.add(person, [replace(SMALL, steps=250, width=256)])
    later = studio.jobs.add(person, [replace(SMALL, seed=9)])
    until(lambda: (run := person.run(long.id)) is not None and run.steps is not None and run.steps.done > 3)
    run = person.run(long.id)
    assert run is not None and run.steps is not None
    changed = replace(SMALL, prompt="snow", width=128, steps=9)  # of these the prompt alone counts
    item = studio.jobs.branch(person, first.steps.key, 2, changed)
    time.sleep(0.1)
    assert not run.stop.is_set()  # of another picture: that one is finished first
    other = studio.jobs.branch(person, run.steps.key, 2, replace(SMALL, seed=3))
    assert ended(studio, person, long).text == "Stopped"
    studio.jobs.cancel(person, other.id)
    (branch,) = ended(studio, person, item).pictures
    assert branch.request == replace(SMALL, prompt="snow", branch=Branch(2, SMALL))
    ended(studio, person, later)
    begun = [one for one in person._runs if one in (item.id, later.id)]
    assert begun == [item.id, later.id]
    with pytest.raises(RequestError, match="task is 'class'; it has to be as before the branch"):
        studio.jobs.branch(person, first.steps.key, 2, ClassToImage(class_id=0))


def test_stop_ends_all_of_several(studio: Studio) -> None:
    page = page_of(studio, "several")
    requests = [replace(SMALL, seed=seed, steps=60) for seed in range(3)]
    item = studio.jobs.add(page.person, requests)
    until(lambda: page.run is not None and page.run.text.startswith("2 of 3"))
    studio.jobs.stop(page)
    run = ended(studio, page.person, item)
    assert run.text == "Stopped" and len(run.pictures) == 1


def test_a_removal_is_made_once_while_others_go_on_until_i_stop(studio: Studio) -> None:
    """Made again it would be the same picture, over and over."""
    page = page_of(studio, "endless remover")
    person = page.person
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    image = Raster(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    removal = Remove(image=image, mask=Raster(mask), fill="telea")
    studio.jobs.repeat(person, endless=True)
    studio.jobs.add(person, [SMALL])
    until(lambda: len(person.pictures()) >= 2)
    studio.jobs.add(person, [removal])
    until(lambda: any(picture.request.task == "remove" for picture in person.pictures()))
    before = len(person.pictures())
    until(lambda: len(person.pictures()) >= before + 2)
    studio.jobs.stop(page)
    until(lambda: person.runner is None)
    assert [picture.request.task for picture in person.pictures()].count("remove") == 1


def test_a_removal_that_is_stopped_saves_nothing(studio: Studio) -> None:
    mask = np.full((16, 16), 255, np.uint8)
    mask[0] = 0
    image = Raster(np.zeros((16, 16, 3), np.uint8))
    run = Run("stopped", (Remove(image=image, mask=Raster(mask), fill="telea"),))
    run.cancel()
    frames = list(studio.frames(run, "stopper"))
    assert isinstance(frames[-1], Ended) and frames[-1].text == "Stopped"
    assert not any(isinstance(frame, Finished) for frame in frames)
