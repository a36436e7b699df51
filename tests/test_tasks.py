"""Each task through the engine, on tiny random models: what is kept, what changes, what is reproduced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.commands.generate import with_files
from app.keeping.metadata import encode_png, read_settings
from ldm_core.conditioners import (
    BoxMapSpec,
    ClassSpec,
    Conditioner,
    Inputs,
    KnownRegionSpec,
    LabelBitsSpec,
    LabelMapSpec,
    LayoutSpec,
    LowResolutionSpec,
    MaskedImageSpec,
)
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import PictureDone, Step, Tiles
from ldm_core.errors import RequestError
from ldm_core.formats import load_model
from ldm_core.library.models import ModelLibrary
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import (
    TASKS,
    ClassToImage,
    Inpaint,
    LayoutToImage,
    Remove,
    Request,
    Semantic,
    SuperResolution,
    TextToImage,
    parse_request,
    to_json,
    varied,
)
from ldm_core.request.raster import Raster, to_uri
from ldm_core.request.rules import LabelledBox
from ldm_core.spec import RefinerSpec
from ldm_core.tasks import table
from ldm_core.tasks.filling import known_cells
from ldm_core.tasks.noise import noise_of
from ldm_core.tasks.upscale import with_colours_of
from tests import tiny
from tests.tiny import initial_noise

Pixels = NDArray[np.uint8]
CLASSES = ("sky", "lake", "tree")
RNG = np.random.default_rng(0)
PICTURE = Raster(RNG.integers(0, 256, (75, 101, 3), np.uint8))  # of no multiple, and not square
SMALL = Raster(RNG.integers(0, 256, (27, 37, 4), np.uint8))
FEW = {"steps": 2}


def hole(width: int = 101, height: int = 75) -> Raster:
    mask = np.zeros((height, width), np.uint8)
    mask[20:50, 30:60] = 255
    return Raster(mask)


def labels(first: int, second: int) -> Raster:
    painted = np.full((75, 101), first, np.uint8)
    painted[40:] = second
    return Raster(painted)


def spec(*conditioners: Conditioner, channels: int = 0, **changes: object) -> ModelSpec:
    unet = replace(tiny.SPEC.unet, in_channels=4 + channels)
    if not any(one.way == "crossattn" for one in conditioners):
        unet = replace(unet, context_dim=0)
    return replace(tiny.SPEC, unet=unet, conditioners=conditioners, **changes)  # type: ignore[arg-type]


TEXT = tiny.SPEC.conditioners[0]
MODELS = {
    "text": tiny.SPEC,
    "ours": spec(
        TEXT, KnownRegionSpec(), LabelMapSpec(3, classes=CLASSES), BoxMapSpec(("sun", "moon")), channels=10
    ),
    "ours, refined": replace(
        spec(TEXT, KnownRegionSpec(), channels=5),
        refiner=RefinerSpec(replace(tiny.SPEC.unet, in_channels=9), 400),
    ),
    "masked": spec(MaskedImageSpec(), channels=5),
    "labels": spec(LabelMapSpec(3, channels=2, halvings=3), channels=2),
    "classes": spec(ClassSpec(1001, 32)),
    "prompts": replace(tiny.SPEC, class_prompts=(("Lake", "a lake"), ("Snow", "snow over the trees"))),
    "boxes": spec(LayoutSpec(32, 1, 64, 32)),
    "nothing": spec(),
    "upscaler": spec(LowResolutionSpec(), channels=3),
    "twice": spec(
        LowResolutionSpec(),
        channels=3,
        first_stage=replace(tiny.SPEC.first_stage, patch_size=1, resolution=256),
    ),
    "bits": replace(
        tiny.SPEC,
        unet=replace(tiny.SPEC.unet, in_channels=6, out_channels=6),
        conditioners=(TEXT, LabelBitsSpec(CLASSES, 1.0)),
    ),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("models")
    for name, one in MODELS.items():
        tiny.write_model(folder, name=name, spec=one)
    with Engine(ModelLibrary([folder]), device="cpu") as engine:
        yield engine


def test_each_kind_of_request_has_its_row() -> None:
    assert set(table.TASKS) == set(TASKS.values()) - {Remove}  # which no model makes
    assert all(row.request is kind and row.needs.startswith("a model ") for kind, row in table.TASKS.items())


def made(engine: Engine, request: Request) -> Pixels:
    (picture,) = engine.submit(request).pictures()
    return picture


REQUESTS: dict[str, tuple[str, dict[str, object]]] = {
    "text": ("text", {"task": "text-to-image", "prompt": "a lake", "width": 100, "height": 70}),
    "text, in two passes": (
        "text",
        {"task": "text-to-image", "prompt": "a", "width": 130, "height": 100, "second_pass": 0.5},
    ),
    "text, a variation of a variation": (
        "text",
        {"task": "text-to-image", "prompt": "a", "variation_of": [1, 2], "sampler": "euler_ancestral"},
    ),
    "unconditional": ("nothing", {"task": "unconditional", "width": 100, "height": 70}),
    "no prompt": ("text", {"task": "unconditional", "width": 64, "height": 70}),
    "class": ("classes", {"task": "class", "class_name": "goldfish", "width": 64, "height": 80}),
    "class that stands for a prompt": ("prompts", {"task": "class", "class_name": "lake"}),
    "between classes": ("classes", {"task": "class", "class_id": 3, "class_to": "goldfish", "blend": 0.3}),
    "no class": ("classes", {"task": "unconditional"}),
    "semantic, published": ("labels", {"task": "semantic", "label_map": labels(0, 1)}),
    "semantic, ours": ("ours", {"task": "semantic", "prompt": "a", "label_map": labels(0, 1)}),
    "semantic, digits": ("bits", {"task": "semantic", "prompt": "a", "label_map": labels(0, 255)}),
    "layout, ours": (
        "ours",
        {"task": "layout", "boxes": [{"class": "moon", "x": 0, "y": 0.1, "width": 0.5, "height": 0.4}]},
    ),
    "layout, published": (
        "boxes",
        {"task": "layout", "boxes": [{"class": 5, "x": 0, "y": 0.1, "width": 0.5, "height": 0.4}]},
    ),
    "image to image": ("text", {"task": "image-to-image", "image": PICTURE, "strength": 0.5}),
    "image to image, wider": (
        "text",
        {"task": "image-to-image", "image": PICTURE, "width": 120, "height": 64},
    ),
    "image to image, digits": ("bits", {"task": "image-to-image", "image": PICTURE}),
    "inpaint, any model": ("text", {"task": "inpaint", "image": PICTURE, "mask": hole()}),
    "inpaint, ours": ("ours", {"task": "inpaint", "image": PICTURE, "mask": hole(), "fill": "telea"}),
    "inpaint, seamless": (
        "ours, refined",
        {"task": "inpaint", "image": PICTURE, "mask": hole(), "paste": "gradient"},
    ),
    "inpaint, published": ("masked", {"task": "inpaint", "image": PICTURE, "mask": hole(), "feather": 0}),
    "inpaint, masked area": (
        "text",
        {"task": "inpaint", "image": PICTURE, "mask": hole(), "area": "masked", "margin": 9},
    ),
    "inpaint, digits": ("bits", {"task": "inpaint", "image": PICTURE, "mask": hole()}),
    "outpaint": ("ours", {"task": "outpaint", "image": PICTURE, "left": 20, "bottom": 31, "feather": 3}),
    "super-resolution": ("upscaler", {"task": "super-resolution", "image": SMALL, "scale": 4}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_picture_of_the_asked_size_that_its_png_makes_again(engine: Engine, name: str) -> None:
    model, fields = REQUESTS[name]
    request = parse_request({"model": model, **FEW, **fields})
    assert parse_request(json.loads(json.dumps(to_json(request)))) == request
    job = engine.submit(request)
    (event,) = [event for event in job.events() if isinstance(event, PictureDone)]
    assert event.pixels.shape[:2] == request.size[::-1]
    again = read_settings(encode_png(event.pixels, event.request)).request
    assert again == event.request
    assert np.array_equal(made(engine, again), event.pixels)


@pytest.mark.parametrize("name", [name for name in REQUESTS if name.startswith("inpaint")])
def test_outside_of_the_feathered_mask_every_pixel_stays(engine: Engine, name: str) -> None:
    model, fields = REQUESTS[name]
    request = parse_request({"model": model, **FEW, **fields})
    assert isinstance(request, Inpaint)
    picture = made(engine, request)
    near = np.zeros((75, 101), bool)
    feather = request.feather
    near[20 - feather : 50 + feather, 30 - feather : 60 + feather] = True
    assert np.array_equal(picture[~near], PICTURE.pixels[~near])
    inside = hole().pixels > 0
    assert (picture[inside] != PICTURE.pixels[inside]).mean() > 0.9


def test_what_is_known_is_kept_where_the_network_does_not_see_it(engine: Engine) -> None:
    _, fields = REQUESTS["inpaint, seamless"]
    looks = []
    for seed in (1, 2):
        job = engine.submit(parse_request({**FEW, **fields, "model": "text", "seed": seed}))
        list(job.events())
        looks.append(job.previews(0)[-1][1].astype(int))
    difference = np.abs(looks[0] - looks[1]).max(-1)
    assert difference[-1, -1] <= 1  # far from the hole
    assert difference.max() > 1


def test_a_refiner_is_told_of_a_hole_too(tmp_path: Path) -> None:
    tiny.write_model(tmp_path, name="refined", spec=MODELS["ours, refined"])
    model = load_model(tmp_path / "refined")
    assert isinstance(model, LatentDiffusion)
    x, t, mask = torch.randn(1, 4, 8, 8), torch.tensor([399]), torch.ones(1, 64, 64)
    mask[:, :, :32] = 0
    pictures = torch.rand(3, 64, 64), torch.rand(3, 64, 64)
    one, other = (
        model.output(x, t, model.condition([Inputs(image=picture, mask=mask)], (8, 8)))
        for picture in pictures
    )
    assert (one - other).abs().max() > 1e-4


def test_outpainting_keeps_the_picture_within(engine: Engine) -> None:
    model, fields = REQUESTS["outpaint"]
    picture = made(engine, parse_request({"model": model, **FEW, **fields}))
    assert np.array_equal(picture[: 75 - 4, 20 + 4 :], PICTURE.pixels[: 75 - 4, 4:])


@pytest.mark.parametrize(
    ("model", "one", "other"), [("classes", "goldfish", "tench"), ("prompts", "Lake", "Snow")]
)
def test_between_two_classes_lie_others(engine: Engine, model: str, one: str, other: str) -> None:
    def between(blend: float) -> Pixels:
        return made(engine, ClassToImage(model=model, class_name=one, class_to=other, blend=blend, steps=2))

    ends = [made(engine, ClassToImage(model=model, class_name=name, steps=2)) for name in (one, other)]
    assert np.array_equal(between(0), ends[0]) and np.abs(between(1).astype(int) - ends[1]).max() <= 1
    assert not any(np.array_equal(between(0.5), end) for end in ends)


@pytest.mark.parametrize("model", ["labels", "ours", "bits"])
def test_another_map_makes_another_picture(engine: Engine, model: str) -> None:
    one, other = (
        made(engine, Semantic(model=model, prompt="a", label_map=painted, steps=2))
        for painted in (labels(0, 1), labels(0, 2))
    )
    assert not np.array_equal(one, other)


def test_guidance_is_towards_boxes_as_well(engine: Engine) -> None:
    boxes = (LabelledBox("moon", 0, 0.1, 0.5, 0.4),)
    request = LayoutToImage(model="ours", boxes=boxes, guidance_scale=1, steps=2)
    assert not np.array_equal(made(engine, request), made(engine, replace(request, guidance_scale=4)))


def test_guidance_is_towards_the_label_map_alone_as_well(engine: Engine) -> None:
    fields = {"model": "bits", **FEW, "task": "semantic", "label_map": labels(0, 1)}
    free, guided = (made(engine, parse_request({**fields, "guidance_scale": scale})) for scale in (1, 6))
    assert not np.array_equal(free, guided)


def test_strength_decides_how_much_is_made(engine: Engine) -> None:
    fields = {"task": "image-to-image", "model": "text", "image": PICTURE, "steps": 10}
    job = engine.submit(parse_request({**fields, "strength": 0.3}))
    job.pictures()
    assert [moment.step for moment in job.trajectory(0)] == [0, 1, 2, 3]


def test_every_bit_of_a_seed_counts(engine: Engine) -> None:
    request = TextToImage(model="text", width=64, height=64, steps=1)
    jobs = [
        engine.submit(replace(request, seed=seed)) for seed in (7, 7 + 2**32, 7 + 2**52, 2**53 - 1, 2**64 - 1)
    ]
    pictures = [job.pictures()[0].tobytes() for job in jobs]
    assert len(set(pictures)) == len(pictures)
    assert torch.equal(jobs[0].trajectory(0)[0].x, initial_noise([7], (4, 8, 8)).half())


@pytest.mark.parametrize(("name", "size"), [("text", (9, 13)), ("super-resolution", (27, 37))])
def test_previews_show_the_picture_without_what_pads_it(
    engine: Engine, name: str, size: tuple[int, int]
) -> None:
    model, fields = REQUESTS[name]
    job = engine.submit(parse_request({"model": model, **FEW, **fields}))
    shown = [event.preview for event in job.events() if isinstance(event, Step) and event.preview is not None]
    assert shown and {preview.shape[:2] for preview in shown} == {size}
    assert {preview.shape[:2] for _, preview in job.previews(0)} == {size}


def test_the_second_pass_goes_on_from_the_first(engine: Engine) -> None:
    request = TextToImage(model="text", prompt="a", width=160, height=64, steps=4, second_pass=0.5)
    job = engine.submit(request)
    (whole,) = job.pictures()
    moments = job.trajectory(0)
    assert [moment.step for moment in moments] == [0, 1, 2, 3, 4, 5, 6]
    assert {moment.x.shape[-2:] for moment in moments[:4]} == {(8, 12)}  # about as many cells as 8 x 8
    assert {moment.x.shape[-2:] for moment in moments[4:]} == {(8, 20)}
    for step in (2, 4, 5):  # within the first pass, where the second begins, within it
        other = engine.branch(job, 0, step, replace(request, prompt="sunset", seed=1))
        (picture,) = other.pictures()
        assert not np.array_equal(picture, whole)
        (again,) = engine.submit(other.request).pictures()
        assert np.array_equal(again, picture)
        assert engine.look(other, 0, step).shape[-1] == 3


@pytest.mark.parametrize("name", ["semantic, digits", "semantic, published", "layout, ours", "class"])
def test_two_passes_follow_what_is_given(engine: Engine, name: str) -> None:
    model, fields = REQUESTS[name]
    wide = Raster(labels(0, 1).pixels[21:69, :80].repeat(2, 0).repeat(2, 1))
    size = {"label_map": wide} if name.startswith("semantic") else {"width": 160, "height": 96}
    request = parse_request({"model": model, **fields, **size, "steps": 4, "second_pass": 0.5})
    job = engine.submit(request)
    (whole,) = job.pictures()
    cells = [moment.x.shape[-2] * moment.x.shape[-1] for moment in job.trajectory(0)]
    assert whole.shape[:2] == (96, 160) and len(cells) == 7
    assert set(cells[:4]) == {cells[0]} and set(cells[4:]) == {cells[4]} and cells[0] < cells[4]
    for step in (2, 5):  # within the first pass, and within the second
        other = engine.branch(job, 0, step, replace(request, seed=9))
        (picture,) = other.pictures()
        assert not np.array_equal(picture, whole)
        assert np.array_equal(made(engine, other.request), picture)


def test_variations_stay_near(engine: Engine) -> None:
    base = TextToImage(model="text", prompt="a", width=64, height=64, steps=4, seed=3)
    other = varied(base, 9, 1)
    picture, same, near, far, varying, varied_again = (
        made(engine, request).astype(int)
        for request in (
            base,
            replace(other, variation_strength=0.0),
            replace(other, variation_strength=0.02),
            replace(base, seed=9),
            other,
            varied(other, 11, 1),
        )
    )
    assert (same == picture).all()
    # Measured with seeds 3 to 5, in float32 and bfloat16: 0.23 to 0.24 of the way to another seed's picture.
    assert 0 < np.abs(near - picture).mean() < np.abs(far - picture).mean() / 3
    assert 0 < np.abs(varied_again - varying).mean() < np.abs(far - picture).mean()


def noise_for(request: Request, seeds: int = 8) -> torch.Tensor:
    """(2, n) first and second noise of a request with several seeds, on 32 x 32 cells."""
    model = cast(LatentDiffusion, SimpleNamespace(spec=tiny.SPEC, device=torch.device("cpu")))
    draws = [noise_of(replace(request, seed=100 + i), model, (32, 32)) for i in range(seeds)]
    return torch.stack([torch.cat([draw().flatten() for draw in draws]) for _ in range(2)])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_variations_noise_has_the_variance_of_any_noise(share: float) -> None:
    """sqrt(1 - share) of the noise that it varies, sqrt(share) of its own: both standard normal."""
    base = TextToImage(model="text", prompt="a", seed=3)
    request = replace(base, variation_of=(3,), variation_strength=share)
    varied_noise, own = noise_for(request), noise_for(base)
    old = noise_for(replace(request, variation_strength=0.0))
    assert varied_noise.mean().abs() < 0.01  # of 65,536 numbers: a deviation of 0.004
    assert varied_noise.var().sub(1).abs() < 0.02
    assert (varied_noise * old).mean().item() == pytest.approx((1 - share) ** 0.5, abs=0.02)
    assert (varied_noise * own).mean().item() == pytest.approx(share**0.5, abs=0.02)


def test_a_variation_of_a_variation_has_it_too() -> None:
    request = TextToImage(model="text", prompt="a", variation_of=(1, 2, 5), variation_strength=0.3)
    assert noise_for(request).var().sub(1).abs() < 0.02


def test_cells_beside_a_hole_are_not_known() -> None:
    """Their content was seen by the first stage together with what is to be replaced."""
    hole = torch.zeros(1, 1, 64, 64)
    hole[..., 31, 40] = 1.0  # of the cell in row 3, column 5
    known = known_cells(hole, tiny.EVERYTHING, (8, 8))
    expected = torch.ones(8, 8)
    expected[2:5, 4:7] = 0.0
    assert known.shape == (1, 9, 8, 8)
    assert (known[0, :4] == expected).all()
    assert (known[0, 4:] == 0).all()  # nothing is known of the label map that is drawn as well
    hole = torch.zeros(1, 1, 64, 64)
    hole[..., 0, 0] = 1.0
    expected = torch.ones(8, 8)
    expected[:2, :2] = 0.0
    assert (known_cells(hole, tiny.EVERYTHING, (8, 8))[0, 0] == expected).all()


def test_super_resolution_keeps_transparency_and_chooses_its_model(engine: Engine) -> None:
    job = engine.submit(SuperResolution(image=SMALL, steps=2, scale=8))
    assert job.request.model == "upscaler"
    (picture,) = job.pictures()
    assert picture.shape == (216, 296, 4)
    flat = Raster(np.dstack([SMALL.pixels[..., :3], np.full((27, 37), 77, np.uint8)]))
    assert (made(engine, replace(job.request, image=flat, steps=1))[..., 3] == 77).all()


def test_enlarging_several_times_keeps_transparency_too(engine: Engine) -> None:
    small = np.full((9, 14, 4), (40, 40, 40, 77), np.uint8)
    small[:, 7:, :3] = 215
    request = SuperResolution(model="twice", image=Raster(small), steps=1, scale=8)
    job = engine.submit(request)
    steps = [(event.step, event.num_steps) for event in job.events() if isinstance(event, Step)]
    assert steps == [(step, 3) for step in (1, 2, 3)]
    (picture,) = job.pictures()
    assert picture.shape == (72, 112, 4) and (picture[..., 3] == 77).all()
    assert picture[:, :48, :3].mean() < 80 and picture[:, 64:, :3].mean() > 175
    assert np.array_equal(made(engine, request), picture)
    # Of the last pass every step can be looked at, and none gone on from.
    assert [moment.step for moment in job.trajectory(0)] == [2, 3]
    assert {seen.shape for _, seen in job.previews(0)} == {(36, 56, 3)}
    last = engine.look(job, 0, 3)
    assert np.abs(last.astype(int) - picture).max() <= 8 and last.shape == picture.shape
    with pytest.raises(RequestError, match="branch is 2; it has to be left out beyond 2 times the size"):
        engine.branch(job, 0, 2, replace(job.request_of(0), seed=5))
    with pytest.raises(RequestError, match="branch is 1; it has to be left out beyond 2 times the size"):
        engine.submit(parse_request({**to_json(request), "branch": {"step": 1, "of": {"seed": 5}}}))


def test_large_pictures_tell_of_their_tiles(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldm_core.engine.run.TILES_SECONDS", 0.0)
    monkeypatch.setattr("ldm_core.network.tiling.fits", lambda stage, size: False)
    job = engine.submit(SuperResolution(model="upscaler", image=SMALL, steps=2))
    events = list(job.events())
    tiles = [event for event in events if isinstance(event, Tiles)]
    for step in (0, 1, 2):  # of each step, then of the decoding
        shares = [event.share for event in tiles if event.step == step]
        assert len(shares) > 5 and shares == sorted(shares) and 0 < shares[0] < shares[-1] <= 1
    assert all(event.num_steps == 2 and 0 <= event.seconds_left < 60 for event in tiles)
    assert [event.step for event in events if isinstance(event, Step)] == [1, 2]


def test_memory_that_runs_out_while_decoding_is_answered_by_tiles(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = parse_request({"task": "text-to-image", "model": "text", "width": 768, "height": 64, **FEW})
    decode = LatentDiffusion.decode

    def small_memory(self: LatentDiffusion, z: torch.Tensor) -> torch.Tensor:
        if z.shape[-1] > 64:
            raise torch.OutOfMemoryError("out of memory")
        return decode(self, z)

    with Engine(engine.library, device="cpu", dtype="float32") as exact:
        expected = made(exact, request)
        monkeypatch.setattr(LatentDiffusion, "decode", small_memory)
        got = made(exact, request)
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).max() <= 2


WRONG: list[tuple[dict[str, object], str]] = [
    ({"task": "inpaint", "mask": to_uri(hole())}, "image is missing; it has to be a picture as a data: URI"),
    ({"task": "inpaint", "image": "picture.png", "mask": hole()}, "image is 'picture.png'; it has to be"),
    (
        {"task": "inpaint", "image": "data:image/png;base64,AAAA", "mask": hole()},
        "image: The picture is no picture",
    ),
    ({"task": "inpaint", "image": PICTURE, "mask": hole(60, 60)}, "mask is of 60 x 60 pixels; it has to be"),
    ({"task": "inpaint", "image": PICTURE, "mask": PICTURE}, "mask is a raster"),
    ({"task": "super-resolution", "image": PICTURE, "scale": 3}, "scale is 3; it has to be 2, 4 or 8"),
    ({"task": "class"}, "class_name is missing"),
    ({"task": "class", "class_name": "a", "class_id": 3}, "class_name is given beside class_id"),
    ({"task": "layout", "boxes": [{"class": "sun"}]}, "boxes is a list; it has to be a list of up to 100"),
    ({"task": "image-to-image", "image": PICTURE, "mask": hole()}, "mask is a raster of 101 x 75 pixels"),
]


@pytest.mark.parametrize(("fields", "sentence"), WRONG, ids=[sentence[:30] for _, sentence in WRONG])
def test_a_wrong_value_is_a_sentence_that_names_the_field(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(fields)
    assert str(caught.value).startswith(sentence) and str(caught.value).endswith(".")


UNSUITED: list[tuple[dict[str, object], str]] = [
    ({"task": "class", "class_name": "dragon", "model": "classes"}, "class_name is 'dragon'"),
    ({"task": "class", "class_id": 1001, "model": "classes"}, "class_id is 1001"),
    ({"task": "class", "class_name": "Lake", "class_to": "Sea", "model": "prompts"}, "class_to is 'Sea'"),
    ({"task": "semantic", "label_map": labels(0, 3), "model": "ours"}, "label_map is 'a map with class 3'"),
    ({"task": "super-resolution", "image": SMALL, "model": "text"}, "model is 'text'"),
    ({"task": "inpaint", "image": PICTURE, "mask": hole(), "model": "upscaler"}, "model is 'upscaler'"),
]


@pytest.mark.parametrize(("fields", "sentence"), UNSUITED, ids=[sentence for _, sentence in UNSUITED])
def test_what_does_not_suit_the_model_is_refused_at_once(
    engine: Engine, fields: dict[str, object], sentence: str
) -> None:
    with pytest.raises(RequestError) as caught:
        engine.submit(parse_request(fields))
    assert str(caught.value).startswith(sentence)


def test_paths_are_read_beside_the_requests_file_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encode_png(PICTURE.pixels, parse_request({"task": "text-to-image"})))
    fields = {"task": "image-to-image", "image": "in.png"}
    assert parse_request(with_files(fields, tmp_path)) == parse_request({**fields, "image": PICTURE})
    with pytest.raises(RequestError, match=r"image: there is no file out\.png beside the request"):
        with_files({**fields, "image": "out.png"}, tmp_path)
    with pytest.raises(RequestError, match=r"image is 'in\.png'"):
        parse_request(fields)


def test_one_input_is_stored_once() -> None:
    plain = Inpaint(image=PICTURE, mask=hole())
    size = len(encode_png(PICTURE.pixels, plain))
    assert read_settings(encode_png(PICTURE.pixels, plain)).request == plain
    assert encode_png(PICTURE.pixels, plain).count(to_uri(PICTURE).encode()) == 1 and size


def test_an_enlarged_picture_has_the_colours_of_the_small_one() -> None:
    rng = np.random.default_rng(0)
    small = np.repeat(np.repeat(rng.integers(40, 216, (4, 4, 3)), 8, 0), 8, 1).astype(np.uint8)
    tint = np.array([30, -20, 10])
    large = (cv2.resize(small, (128, 128)) + tint).clip(0, 255).astype(np.uint8)
    before, after = (
        np.abs(cv2.resize(p, (32, 32), interpolation=cv2.INTER_AREA).astype(int) - small).mean()
        for p in (large, with_colours_of(small, large))
    )
    assert after < before / 4
