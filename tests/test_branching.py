"""Looking back, branching and pausing: what was made stays, and the picture's PNG makes the whole again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.keeping.metadata import encode_png, read_settings
from ldm_core.conditioners import LabelBitsSpec
from ldm_core.engine import engine as engine_module
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import Done, Paused, PictureDone, Resumed, Step
from ldm_core.engine.job import Job
from ldm_core.errors import EngineError, RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.request import (
    BRANCHINGS,
    SAMPLERS,
    Branch,
    Inpaint,
    Request,
    Semantic,
    TextToImage,
    parse_request,
    single,
    to_json,
)
from ldm_core.request.raster import Raster
from tests import tiny

Pixels = NDArray[np.uint8]
SMALL = TextToImage(prompt="a lake at sunset", width=64, height=64, steps=6, seed=7)
LONG = replace(SMALL, steps=250)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder)
    bits = replace(
        tiny.SPEC,
        unet=replace(tiny.SPEC.unet, in_channels=6, out_channels=6),
        conditioners=(*tiny.SPEC.conditioners, LabelBitsSpec(("sky", "lake", "tree"), 1.0)),
    )
    tiny.write_model(folder, name="bits", spec=bits)
    with Engine(ModelLibrary([folder]), device="cpu") as engine:
        yield engine


def made(engine: Engine, request: Request) -> Pixels:
    (picture,) = engine.submit(request).pictures()
    return picture


def pictures(job: Job) -> list[PictureDone]:
    return [event for event in job.events() if isinstance(event, PictureDone)]


def saved(picture: PictureDone) -> Request:
    """The request that the picture's PNG holds."""
    return read_settings(encode_png(picture.pixels, picture.request)).request


def wait_for_step(job: Job, number: int) -> None:
    for event in job.events(timeout=20):
        assert event is not None, "the step did not come"
        if isinstance(event, Step) and event.step >= number:
            return


# Looking back.


def test_a_look_at_the_last_moment_is_the_picture(engine: Engine) -> None:
    job = engine.submit(SMALL)
    (picture,) = job.pictures()
    difference = np.abs(engine.look(job, 0, 6).astype(int) - picture)
    assert difference.max() <= 8  # the latent is kept in half precision, the decoder may be in bfloat16
    assert np.abs(engine.look(job, 0, 1).astype(int) - picture).mean() > 2


def test_a_look_while_jobs_run_does_not_disturb_them(engine: Engine) -> None:
    alone = made(engine, replace(LONG, steps=40))
    other, job = engine.submit(LONG), engine.submit(replace(LONG, steps=40))
    wait_for_step(job, 3)
    assert engine.look(job, 0, 2).shape == (64, 64, 3)
    assert np.array_equal(job.pictures()[0], alone)
    other.cancel()


def test_previews_of_every_step(engine: Engine) -> None:
    job = engine.submit(SMALL)
    steps = {event.step: event for event in job.events() if isinstance(event, Step)}
    previews = dict(job.previews(0))
    assert list(previews) == [0, 1, 2, 3, 4, 5, 6]
    assert all(preview.shape == (8, 8, 3) for preview in previews.values())
    assert steps[6].preview is not None
    assert np.abs(previews[6].astype(int) - steps[6].preview).max() <= 1


@pytest.mark.parametrize("step", [-1, 7, 100])
def test_a_moment_that_was_not_kept_is_a_sentence(engine: Engine, step: int) -> None:
    job = engine.submit(SMALL)
    job.pictures()
    for attempt in (lambda: engine.look(job, 0, step), lambda: engine.look(job, 1, 2)):
        with pytest.raises(EngineError, match=r"was not kept; choose one of: .*\.$"):
            attempt()


def test_closing_answers_those_who_look(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder)
    engine = Engine(ModelLibrary([folder]), device="cpu")
    job = engine.submit(SMALL)
    job.pictures()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.look(job, 0, 3)


# Branching.

CHANGES: dict[str, dict[str, object]] = {
    "seed": {"seed": 99},
    "prompt": {"prompt": "snow over trees"},
    "guidance": {"guidance_scale": 9.0},
    "sampler": {"sampler": "heun"},
}


@pytest.mark.parametrize(
    ("sampler", "change"), [*((sampler, "seed") for sampler in SAMPLERS), *(("plms", one) for one in CHANGES)]
)
def test_a_branch_has_the_same_steps_before_and_its_png_makes_it_again(
    engine: Engine, sampler: str, change: str
) -> None:
    job = engine.submit(replace(SMALL, sampler=sampler))
    (first,) = pictures(job)
    request = parse_request({**to_json(first.request), **CHANGES[change]})
    branch = engine.branch(job, 0, 3, request)
    (picture,) = pictures(branch)
    old, new = job.trajectory(0), branch.trajectory(0)
    assert [moment.step for moment in new] == [0, 1, 2, 3, 4, 5, 6]
    assert all(torch.equal(a.x, b.x) for a, b in zip(old[:3], new[:3]))
    assert [event.step for event in branch.events() if isinstance(event, Step)] == [4, 5, 6]
    if change != "sampler" or sampler != "heun":
        assert not np.array_equal(picture.pixels, first.pixels)
    again = engine.submit(saved(picture))
    assert again.request == picture.request
    (same,) = again.pictures()
    assert np.array_equal(same, picture.pixels)
    for one, other in zip(again.trajectory(0), new, strict=True):
        assert torch.equal(one.x, other.x)


def test_an_unchanged_branch_of_a_deterministic_sampler_is_the_same_picture(engine: Engine) -> None:
    job = engine.submit(SMALL)
    (first,) = pictures(job)
    (again,) = engine.branch(job, 0, 3, first.request).pictures()
    # It begins where the picture was kept in half precision, which bfloat16 networks round otherwise.
    assert np.abs(again.astype(int) - first.pixels).mean() < 2


def test_the_later_the_branch_the_nearer_the_picture(engine: Engine) -> None:
    job = engine.submit(replace(SMALL, steps=20))
    (first,) = pictures(job)
    other = replace(first.request, seed=99)
    distances = [
        np.abs(engine.branch(job, 0, step, other).pictures()[0].astype(int) - first.pixels).mean()
        for step in (1, 10, 19)
    ]
    assert distances == sorted(distances, reverse=True) and distances[-1] > 0


def test_each_branch_has_noise_of_its_own(engine: Engine) -> None:
    job = engine.submit(SMALL)
    job.pictures()
    (one, other, start) = (
        engine.branch(job, 0, step, replace(SMALL, sampler="euler_ancestral", seed=9)) for step in (2, 3, 0)
    )
    noise = [
        fresh.trajectory(0)[step].x - 2**-0.5 * job.trajectory(0)[step].x
        for fresh, step in ((one, 2), (other, 3))
        if fresh.pictures()
    ]
    start.pictures()
    noise.append(start.trajectory(0)[0].x)
    for i, a in enumerate(noise):
        for b in noise[i + 1 :]:
            assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).float())[0, 1].abs() < 0.4


def test_a_batch_of_branches_is_a_row_of_variations(engine: Engine) -> None:
    job = engine.submit(SMALL)
    (first,) = pictures(job)
    branch = engine.branch(job, 0, 3, replace(first.request, batch_size=3, seed=50))
    made_here = pictures(branch)
    assert len({picture.pixels.tobytes() for picture in made_here}) == 3
    assert [picture.request.seed for picture in made_here] == [50, 51, 52]
    for picture in made_here:
        assert np.array_equal(made(engine, saved(picture)), picture.pixels)


def test_a_branch_of_a_branch_and_one_from_before_it(engine: Engine) -> None:
    first = engine.submit(SMALL)
    first.pictures()
    second = engine.branch(first, 0, 2, replace(SMALL, prompt="snow"))
    second.pictures()
    third = engine.branch(second, 0, 4, replace(SMALL, seed=3))
    (picture,) = pictures(third)
    assert [moment.step for moment in third.trajectory(0)] == [0, 1, 2, 3, 4, 5, 6]
    before = picture.request.branch
    assert before is not None and before.step == 4 and before.of.prompt == "snow"
    assert np.array_equal(made(engine, saved(picture)), picture.pixels)
    early = engine.branch(second, 0, 1, replace(SMALL, seed=3))
    assert early.request.branch == Branch(1, single(SMALL, 0))
    (picture,) = pictures(early)
    assert np.array_equal(made(engine, saved(picture)), picture.pixels)


def test_a_branch_at_the_start_is_a_request_of_its_own(engine: Engine) -> None:
    job = engine.submit(SMALL)
    branch = engine.branch(job, 0, 0, replace(SMALL, seed=8))
    assert branch.request == replace(SMALL, seed=8)
    assert np.array_equal(branch.pictures()[0], made(engine, replace(SMALL, seed=8)))


def painted(first: int, second: int) -> Raster:
    labels = np.full((70, 90), first, np.uint8)
    labels[35:] = second
    return Raster(labels)


def test_a_label_map_may_change_at_a_branch(engine: Engine) -> None:
    request = Semantic(model="bits", prompt="a", label_map=painted(0, 1), steps=6)
    job = engine.submit(request)
    (first,) = pictures(job)
    (picture,) = pictures(engine.branch(job, 0, 2, replace(request, label_map=painted(0, 2))))
    assert not np.array_equal(first.pixels, picture.pixels)
    assert np.array_equal(made(engine, saved(picture)), picture.pixels)


def test_a_mask_may_change_at_a_branch(engine: Engine) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    masks = np.zeros((2, 70, 90), np.uint8)
    masks[0, 10:40, 10:40] = 255
    masks[1, 30:60, 40:80] = 255
    request = Inpaint(
        model="landscapes", image=Raster(pixels), mask=Raster(masks[0]), steps=6, feather=0, prompt="a"
    )
    job = engine.submit(request)
    job.pictures()
    (picture,) = pictures(engine.branch(job, 0, 2, replace(request, mask=Raster(masks[1]))))
    assert np.array_equal(picture.pixels[masks[1] == 0], pixels[masks[1] == 0])
    assert np.array_equal(made(engine, saved(picture)), picture.pixels)
    cut = replace(request, area="masked")
    with pytest.raises(RequestError, match=r"^mask is a raster of 90 x 70 pixels; it has to be as before"):
        engine.branch(engine.submit(cut), 0, 2, replace(cut, mask=Raster(masks[1])))


def test_what_a_branch_may_not_change_is_refused(engine: Engine) -> None:
    job = engine.submit(SMALL)
    job.pictures()
    for change, sentence in (
        ({"steps": 7}, "steps is 7; it has to be as before the branch, 6."),
        ({"width": 128}, "width is 128; it has to be as before the branch, 64."),
        ({"model": "bits"}, "model is 'bits'; it has to be as before the branch, 'landscapes'."),
        ({"spacing": "karras"}, "spacing is 'karras'; it has to be as before the branch, 'trailing'."),
    ):
        with pytest.raises(RequestError) as caught:
            engine.branch(job, 0, 3, parse_request({**to_json(SMALL), **change}))
        assert str(caught.value) == sentence
    with pytest.raises(RequestError, match=r"^branch is 'at step 6'; it has to be at one from 1 to 5\.$"):
        engine.branch(job, 0, 6, SMALL)


# The request.


def test_a_branch_in_json() -> None:
    branch = replace(SMALL, prompt="snow", branch=Branch(3, SMALL))
    obj = to_json(branch)
    assert obj["branch"] == {"step": 3, "of": {"prompt": "a lake at sunset"}}
    assert parse_request(json.loads(json.dumps(obj))) == branch
    again = replace(SMALL, seed=9, branch=Branch(4, branch))
    assert parse_request(json.loads(json.dumps(to_json(again)))) == again
    of_a_class = {
        "task": "class",
        "class_name": "a",
        "branch": {"step": 1, "of": {"class_id": 3, "class_name": ""}},
    }
    assert parse_request(to_json(parse_request(of_a_class))) == parse_request(of_a_class)


def test_wrong_branches_are_sentences() -> None:
    for branch, sentence in (
        (3, "branch is 3; it has to be a branch: an object with step"),
        ({"step": 3}, "branch is an object; it has to be a branch"),
        ({"step": 0, "of": {}}, "branch is an object; it has to be a branch"),
        ({"step": 3, "of": {"steps": 0}}, "steps is 0; it has to be a whole number from 1"),
        ({"step": 3, "of": {"steps": 9}}, "steps is 6; it has to be as before the branch, 9"),
        ({"step": 3, "of": {"width": 96}}, "width is 64; it has to be as before the branch, 96"),
        ({"step": 3, "of": {"batch_size": 2}}, "branch is at step 3; it has to be one of a single picture"),
        ({"step": 3, "of": {"colour": 2}}, "colour is 2; it has to be left out"),
        (
            {"step": 3, "of": {"branch": {"step": 4, "of": {}}}},
            "branch is at step 3; it has to be one",
        ),
    ):
        with pytest.raises(RequestError) as caught:
            parse_request({**to_json(SMALL), "branch": branch})
        assert str(caught.value).startswith(sentence) and str(caught.value).endswith(".")
    for depth in (BRANCHINGS + 1, 10_000):
        nested: dict[str, object] = {}
        for _ in range(depth):
            nested = {"branch": {"step": 3, "of": nested}}
        began = time.perf_counter()
        with pytest.raises(RequestError, match=rf"one of at most {BRANCHINGS}\.$"):
            parse_request({**to_json(SMALL), **nested})
        assert time.perf_counter() - began < 2


# Pausing.


def test_a_paused_job_has_no_turns_and_goes_on_as_if_nothing_was(engine: Engine) -> None:
    request = replace(SMALL, steps=60, sampler="dpmpp_2m_sde")
    alone = made(engine, request)
    job = engine.submit(request)
    wait_for_step(job, 3)
    job.pause()
    made(engine, SMALL)  # others go on; by then its step under way is done
    stood = len(job.trajectory(0))
    made(engine, SMALL)
    assert job.paused and not job.ended and len(job.trajectory(0)) == stood < 60
    job.resume()
    assert np.array_equal(job.pictures()[0], alone)
    kinds = [type(event) for event in job.events()]
    assert kinds.count(Paused) == kinds.count(Resumed) == 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_job_that_goes_on_by_another_prompt(engine: Engine, sampler: str) -> None:
    request = replace(SMALL, steps=16, sampler=sampler, batch_size=2)
    job = engine.submit(request)
    wait_for_step(job, 3)
    job.pause()
    made(engine, SMALL)
    stood = job.trajectory(0)
    job.resume(replace(request, prompt="snow over trees"))
    both = pictures(job)
    first = both[0].request
    assert first.branch is not None and first.branch.of == single(request, 0)
    assert first.branch.step == len(stood) and first.prompt == "snow over trees"
    assert [moment.step for moment in job.trajectory(0)] == list(range(17))
    assert all(torch.equal(a.x, b.x) for a, b in zip(stood, job.trajectory(0)))
    assert both[1].request == single(replace(request, prompt="snow over trees"), 1)
    for picture in both:
        assert np.array_equal(made(engine, saved(picture)), picture.pixels)


def test_a_label_map_painted_during_the_pause(engine: Engine) -> None:
    request = Semantic(model="bits", prompt="a", label_map=painted(0, 1), steps=30)
    job = engine.submit(request)
    wait_for_step(job, 2)
    job.pause()
    job.resume(replace(request, label_map=painted(0, 2)))
    (picture,) = pictures(job)
    assert picture.request.branch is not None
    assert np.array_equal(made(engine, saved(picture)), picture.pixels)


def test_a_picture_that_is_made_again_can_be_changed_on_its_way(engine: Engine) -> None:
    request = replace(LONG, steps=60, branch=Branch(40, replace(LONG, steps=60, prompt="snow")))
    job = engine.submit(request)
    wait_for_step(job, 5)
    job.pause()
    job.resume(replace(request, prompt="trees"))
    (picture,) = pictures(job)
    branch = picture.request.branch
    assert branch is not None and branch.step < 40 and branch.of.prompt == "snow"
    assert np.array_equal(made(engine, saved(picture)), picture.pixels)


def test_paused_jobs_leave_their_places_to_others_and_can_be_stopped(engine: Engine) -> None:
    paused = [engine.submit(replace(LONG, seed=seed)) for seed in range(engine_module.MAX_RUNNING)]
    for job in paused:
        job.pause()
    assert made(engine, SMALL).shape == (64, 64, 3)
    for job in paused:
        job.cancel()
        assert not any(isinstance(event, Done) for event in job.events())


def test_pausing_before_the_start_and_resuming_with_another_request(engine: Engine) -> None:
    blockers = [engine.submit(replace(LONG, seed=seed)) for seed in range(engine_module.MAX_RUNNING)]
    job = engine.submit(SMALL)
    job.pause()
    job.resume(replace(SMALL, prompt="snow"))
    for blocker in blockers:
        blocker.cancel()
    (picture,) = pictures(job)
    assert picture.request == replace(SMALL, prompt="snow")
    assert np.array_equal(made(engine, picture.request), picture.pixels)
    job.pause()
    job.resume()  # after the end: nothing
    assert not any(isinstance(event, Resumed) for event in list(job.events())[-2:])


def test_what_a_paused_job_may_not_change_is_refused(engine: Engine) -> None:
    job = engine.submit(LONG)
    wait_for_step(job, 2)
    job.pause()
    with pytest.raises(RequestError, match="steps is 9; it has to be as before the branch, 250"):
        job.resume(replace(LONG, steps=9))
    assert job.paused
    job.cancel()


def test_pausing_and_resuming_in_a_storm(engine: Engine) -> None:
    request = replace(SMALL, steps=40)
    alone = made(engine, request)
    job = engine.submit(request)
    ended = threading.Event()

    def storm() -> None:
        while not ended.is_set():
            job.pause()
            job.resume()
            time.sleep(0.002)

    thread = threading.Thread(target=storm)
    thread.start()
    (picture,) = job.pictures()
    ended.set()
    thread.join(20)
    assert np.array_equal(picture, alone)
