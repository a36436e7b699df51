"""Where memory is short, or numbers too small, a picture is made in another way, and made again so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.keeping.metadata import encode_png, read_settings
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import Again, Failed, PictureDone, Step
from ldm_core.engine.job import Job
from ldm_core.errors import NotFinite, OutOfMemory, RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.nn.text import TextTransformer
from ldm_core.request import FLOAT32, ImageToImage, Request, TextToImage, parse_request, single, to_json
from ldm_core.request.raster import Raster
from tests.engine_jobs import SMALL, canary, library, pixels, shared, step, wait_for

__all__ = ["canary", "library", "shared"]  # fixtures

OUT = torch.OutOfMemoryError("CUDA out of memory.")
GIVEN = Raster(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
FROM_PICTURE = ImageToImage(model="landscapes", prompt="snow", steps=6, seed=3, strength=0.8, image=GIVEN)

IN_TWO = replace(SMALL, width=128, height=128, second_pass=0.5)


@pytest.fixture(autouse=True)
def unharmed(shared: Engine, canary: bytes) -> Iterator[None]:
    """After each fault the usual picture is made in the usual way."""
    yield
    assert pixels(shared.submit(SMALL)) == canary


def made(job: Job) -> tuple[bytes, Request, list[object]]:
    """A job's one picture, what made it, and what was told."""
    told = list(job.events())
    (done,) = (event for event in told if isinstance(event, PictureDone))
    return done.pixels.tobytes(), done.request, list(told)


def several(at_least: int) -> Callable[[torch.Tensor], bool]:
    return lambda x: len(x) >= at_least


def short_of_memory(
    patch: pytest.MonkeyPatch, owner: type, method: str, too_large: Callable[[torch.Tensor], bool]
) -> None:
    """Lets a method's calls fail whose first tensor is too large."""
    original = getattr(owner, method)

    def limited(self: object, x: torch.Tensor, *rest: object) -> object:
        if too_large(x):
            raise OUT
        return original(self, x, *rest)

    patch.setattr(owner, method, limited)


def wide(x: torch.Tensor) -> bool:
    return x.shape[-1] >= 64  # pixels of the whole picture; tiles have fewer


SHORT = {
    "inputs, of texts": (SMALL, TextTransformer, "forward", several(2), ("inputs",)),
    "inputs, of a picture": (FROM_PICTURE, FirstStage, "latent", several(1), ("inputs",)),
    "inputs, of a second pass": (IN_TWO, FirstStage, "latent", several(1), ("inputs",)),
    "steps": (SMALL, LatentDiffusion, "output", several(2), ("steps",)),
    "decoding": (SMALL, LatentDiffusion, "decode", several(1), ("decoding",)),
    "decoding, of a first pass": (IN_TWO, LatentDiffusion, "decode", several(1), ("decoding",)),
}


@pytest.mark.parametrize("case", SHORT)
def test_memory_too_short_is_answered_by_a_plan_that_makes_the_picture_again(
    shared: Engine, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    request, owner, method, too_large, plan = SHORT[case]
    usual, by, _ = made(shared.submit(request))
    assert by.plan is None and "plan" not in to_json(by)
    with monkeypatch.context() as patch:
        short_of_memory(patch, owner, method, too_large)
        got, by, told = made(shared.submit(request))
    assert by == replace(request, plan=plan)
    assert any(isinstance(event, Again) for event in told) == (case != "decoding"), "a latent is kept"
    apart = np.abs(np.frombuffer(got, np.uint8).astype(int) - np.frombuffer(usual, np.uint8)).max()
    assert apart <= 16  # up to rounding, of bfloat16 where there is that
    # With memory enough the plan makes the same picture, from its file.
    height, width = request.size[::-1]
    file = encode_png(np.frombuffer(got, np.uint8).reshape(height, width, 3), by, None)
    assert made(shared.submit(read_settings(file).request))[0] == got
    assert any("small pieces" in note for note in by.notes())


def test_memory_too_short_for_each_part_is_answered_part_by_part(
    shared: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for request, owner, method, too_large, _ in SHORT.values():
            if request is SMALL:
                short_of_memory(patch, owner, method, too_large)
        got, by, _ = made(shared.submit(SMALL))
    assert by.plan == ("inputs", "steps", "decoding")
    assert made(shared.submit(by))[0] == got


def test_memory_too_short_for_any_plan_is_a_sentence(shared: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for _, owner, method, _, _ in SHORT.values():
        with monkeypatch.context() as patch:
            short_of_memory(patch, owner, method, several(0))
            patch.setattr("ldm_core.network.tiling.decoding", lambda *_: iter_fails())
            patch.setattr("ldm_core.network.tiling.encode", lambda *_: fails())
            job = shared.submit(FROM_PICTURE)
            with pytest.raises(OutOfMemory, match="64 x 64"):
                job.pictures()


def fails() -> object:
    raise OUT


def iter_fails() -> Iterator[float]:
    raise OUT
    yield 0.0


def test_steps_of_a_batch_begin_anew_and_what_is_finished_stays(
    library: ModelLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out in the second picture of three."""
    calls = 0

    def later(x: torch.Tensor) -> bool:
        nonlocal calls
        calls += 1
        return len(x) > 1 and calls > SMALL.steps + 2

    with Engine(library, device="cpu", max_batch=1) as engine:
        short_of_memory(monkeypatch, LatentDiffusion, "output", later)
        job = engine.submit(replace(SMALL, batch_size=3))
        told = list(job.events())
        done = [event for event in told if isinstance(event, PictureDone)]
        assert [one.request.plan for one in done] == [None, ("steps",), ("steps",)]
        assert [one.request.seed for one in done] == [7, 8, 9]
        steps = [event.step for event in told if isinstance(event, Step) and event.image == 1]
        assert steps == [1, 2, 1, 2, 3, 4, 5]
        assert [moment.step for moment in job.trajectory(1)] == list(range(6)), "each step is kept once"
        monkeypatch.undo()
        for one in done:
            assert made(engine.submit(one.request))[0] == one.pixels.tobytes()


def test_a_branch_is_made_again_from_its_own_beginning(
    shared: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shared.submit(SMALL)
    before.pictures()
    with monkeypatch.context() as patch:
        short_of_memory(patch, LatentDiffusion, "output", several(2))
        got, by, _ = made(shared.branch(before, 0, 2, replace(SMALL, prompt="snow")))
    assert by.plan == ("steps",) and by.branch is not None and by.branch.of.plan is None
    again = parse_request(json.loads(json.dumps(to_json(by))))
    assert again == by
    assert made(shared.submit(again))[0] == got
    with monkeypatch.context() as patch:
        short_of_memory(patch, LatentDiffusion, "output", several(2))
        whole = made(shared.submit(replace(by, plan=None)))[1]
    assert whole.branch is not None and whole.branch.of.plan == whole.plan == ("steps",)


@pytest.mark.parametrize("first", [0, 2])
def test_a_picture_that_was_changed_on_its_way_keeps_its_composition(
    library: ModelLibrary, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Memory runs out after the change, in a job that begins from noise or at a branch."""
    request = replace(SMALL, steps=16, batch_size=2)
    with Engine(library, device="cpu", max_batch=1) as engine:
        before = engine.submit(SMALL if first == 0 else single(request, 0))
        before.pictures()
        job = (
            engine.branch(before, 0, first, replace(request, prompt="trees"))
            if first
            else engine.submit(request)
        )
        wait_for(job, step(first + 2))
        job.pause()
        pixels(engine.submit(SMALL))  # by then its step under way is done
        stood = job.trajectory(0)
        short_of_memory(monkeypatch, LatentDiffusion, "output", several(2))
        job.resume(replace(request, prompt="snow over trees"))
        told = list(job.events())
        done = [event.request for event in told if isinstance(event, PictureDone)]
        assert sum(isinstance(event, Again) for event in told) == 1
        assert [moment.step for moment in job.trajectory(0)] == list(range(17))
        assert [moment.step for moment in job.trajectory(1)] == list(range(17))
        monkeypatch.undo()
        branch, second = done[0].branch, done[1].branch
        assert branch is not None and branch.step == len(stood) > first and done[0].plan == ("steps",)
        assert branch.of.plan == ("steps",) and branch.of.prompt == ("trees" if first else SMALL.prompt)
        if first:
            assert branch.of.branch is not None and branch.of.branch.of.plan is None, "made in the usual way"
            assert second is not None and second.step == first
        else:
            assert branch.of.branch is second is None
        for event in told:
            if isinstance(event, PictureDone):
                assert made(engine.submit(event.request))[0] == event.pixels.tobytes()


def test_a_model_too_large_for_memory_is_not_loaded_twice(
    library: ModelLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(library, device="cpu") as engine:
        monkeypatch.setattr(ModelLibrary, "load", lambda *_, **__: fails())
        told = list(engine.submit(replace(SMALL, model="v-from-nothing")).events())
        monkeypatch.undo()
    assert not any(isinstance(event, Again) for event in told)
    assert isinstance(told[-1], Failed) and isinstance(told[-1].error, OutOfMemory)


def weak(patch: pytest.MonkeyPatch, method: str) -> None:
    """Lets a network give NaN unless it runs in float32."""
    original = getattr(LatentDiffusion, method)

    def overflows(self: LatentDiffusion, *given: object) -> torch.Tensor:
        found: torch.Tensor = original(self, *given)
        return found if self.dtype == torch.float32 else found * torch.nan

    patch.setattr(LatentDiffusion, method, overflows)


@pytest.mark.parametrize("method", ["output", "decode"])
def test_nan_is_answered_by_float32_once(
    library: ModelLibrary, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """In half precision, which a CPU has but slowly: few steps."""
    request = TextToImage(prompt="snow", width=64, height=64, steps=2, seed=4)
    with Engine(library, device="cpu", dtype="float16") as engine:
        usual, by, _ = made(engine.submit(request))
        assert by.plan is None
        with monkeypatch.context() as patch:
            weak(patch, method)
            got, by, told = made(engine.submit(request))
        assert by.plan == (FLOAT32,) and "float32" in by.notes()[0]
        assert [event.text for event in told if isinstance(event, Again)]
        assert got != usual and made(engine.submit(by))[0] == got
        assert made(engine.submit(request))[0] == usual
        job = engine.submit(replace(request, model="broken"))  # in float32 too
        with pytest.raises(NotFinite, match="damaged"):
            job.pictures()
        assert sum(isinstance(event, Again) for event in job.events()) == 1
    with Engine(library, device="cpu", dtype="float32") as engine:
        assert made(engine.submit(request))[0] == got


def test_nan_in_float32_is_not_tried_again(shared: Engine) -> None:
    if shared.device.dtype != torch.float32:
        pytest.skip("this computer's pictures are not made in float32")
    told = list(shared.submit(replace(SMALL, model="broken")).events())
    assert not any(isinstance(event, Again) for event in told) and isinstance(told[-1], Failed)


def test_a_plan_is_read_in_its_order_and_nothing_else() -> None:
    by = parse_request({**to_json(SMALL), "plan": ["decoding", FLOAT32, "decoding"]})
    assert by.plan == (FLOAT32, "decoding") and parse_request(to_json(by)) == by
    for wrong in ([], ["all"], "float32", [["float32"]], 3, [None], {"float32": 1}):
        with pytest.raises(RequestError, match="plan"):
            parse_request({**to_json(SMALL), "plan": wrong})


def test_a_moment_is_seen_where_memory_is_short(shared: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shared.submit(SMALL)
    job.pictures()
    usual = shared.look(job, 0, 3)
    short_of_memory(monkeypatch, LatentDiffusion, "decode", several(1))
    assert np.abs(shared.look(job, 0, 3).astype(int) - usual).max() <= 16
