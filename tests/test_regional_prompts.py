"""Prompts of regions: attention coupling beside a plain reference, masks, batches, what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldm_core.conditioners import BoxMapSpec, Cond, KnownRegionSpec, LabelMapSpec
from ldm_core.engine.engine import Engine
from ldm_core.errors import RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.nn.attention import SpatialTransformer
from ldm_core.nn.coupling import Coupling
from ldm_core.nn.unet import UNet
from ldm_core.request import Request, parse_request, to_json
from ldm_core.request.raster import Raster
from ldm_core.tasks.geometry import Geometry, Window
from ldm_core.tasks.regions import shares_of
from tests import tiny
from tests.diffusers_pipelines import saved
from tests.tiny import initial_noise

Pixels = NDArray[np.uint8]
SIZE, STEPS, SCALE = 64, 4, 4.0
CLASSES = ("sky", "lake", "tree")
NATIVE = replace(
    tiny.SPEC,
    unet=replace(tiny.SPEC.unet, in_channels=14),
    conditioners=(
        *tiny.SPEC.conditioners,
        KnownRegionSpec(),
        LabelMapSpec(3, classes=CLASSES),
        BoxMapSpec(("sun", "moon")),
    ),
)
CLIP = ("sd1", "sdxl")
SKY, LAKE = 0, 1
LEFT = np.zeros((SIZE, SIZE), np.uint8)
LEFT[:, : SIZE // 2] = 255
HALVES = Raster(np.where(LEFT > 0, SKY, LAKE).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder, name="text")
    tiny.write_model(folder, name="native", spec=NATIVE)
    tiny.write_model(folder, name="upscaler", spec=tiny.UPSCALER)
    return folder


@pytest.fixture(scope="module")
def pipelines(folder: Path) -> dict[str, Any]:
    return {name: saved(name, folder)[1] for name in CLIP}


@pytest.fixture(scope="module")
def library(folder: Path, pipelines: dict[str, Any]) -> ModelLibrary:
    return ModelLibrary([folder])


@pytest.fixture(scope="module")
def engine(library: ModelLibrary) -> Iterator[Engine]:
    with Engine(library, device="cpu", dtype="float32") as engine:
        yield engine


def asked(model: str, **changes: object) -> Request:
    usual = {"model": model, "task": "text-to-image", "prompt": "a lake", "steps": STEPS, "seed": 3}
    sized = {"width": SIZE, "height": SIZE} if changes.get("task") != "semantic" else {}
    more = {"guidance_scale": SCALE, "spacing": "uniform"}
    return parse_request({**usual, **sized, **more, **changes})


def region(prompt: str, mask: Pixels = LEFT, **more: object) -> dict[str, object]:
    return {"prompt": prompt, "mask": Raster(mask), **more}


def picture(engine: Engine, request: Request) -> Pixels:
    (pixels,) = engine.submit(request).pictures()
    return pixels


def far(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


# Beside a plain reference -----------------------------------------------------------------------------------


class Reference:
    """diffusers' cross-attention by the formula, in the half of a batch that is guided towards."""

    def __init__(self, contexts: Tensor, masks: NDArray[np.float64]) -> None:
        self.contexts, self.masks = contexts, masks  # (k, n, d), (k, h, w) of the latent: they sum to 1

    def __call__(self, attn: Any, x: Tensor, encoder_hidden_states: Tensor, **_: Any) -> Tensor:
        side = int(x.shape[1] ** 0.5)
        cell = self.masks.shape[1] // side
        rows = []
        for sample, context in zip(x, encoder_hidden_states, strict=True):
            if len(rows) == 0:
                rows.append(self.one(attn, sample, context))
                continue
            mixed = torch.zeros_like(sample)
            for mask, own in zip(self.masks, self.contexts, strict=True):
                share = mask.reshape(side, cell, side, cell).mean((1, 3)).reshape(-1, 1)
                mixed = mixed + torch.from_numpy(share).float() * self.one(attn, sample, own)
            rows.append(mixed)
        return torch.stack(rows)

    @staticmethod
    def one(attn: Any, sample: Tensor, context: Tensor) -> Tensor:
        q, k, v = attn.to_q(sample), attn.to_k(context), attn.to_v(context)
        heads = []
        for qh, kh, vh in zip(*(part.chunk(attn.heads, dim=-1) for part in (q, k, v)), strict=True):
            heads.append(torch.softmax(qh @ kh.T / qh.shape[-1] ** 0.5, dim=-1) @ vh)
        return attn.to_out[0](torch.cat(heads, dim=-1))


@torch.inference_mode()
def theirs(pipeline: Any, prompts: list[str], masks: NDArray[np.float64]) -> Pixels:
    """diffusers' picture, the first of the prompts being the picture's own."""
    is_xl = hasattr(pipeline, "text_encoder_2")

    def encoded(prompt: str) -> Any:
        call = {"prompt": prompt, "device": "cpu", "num_images_per_prompt": 1}
        return pipeline.encode_prompt(**call, do_classifier_free_guidance=False)

    contexts = torch.cat([encoded(prompt)[0] for prompt in prompts])
    kept = pipeline.unet.attn_processors
    coupled = Reference(contexts, masks)
    pipeline.unet.set_attn_processor({n: coupled if ".attn2." in n else p for n, p in kept.items()})
    cells = SIZE // 2
    call: dict[str, Any] = {"latents": initial_noise([3], (4, cells, cells)), "height": SIZE, "width": SIZE}
    call |= {"num_inference_steps": STEPS, "guidance_scale": SCALE, "output_type": "np"}
    call |= {"prompt": prompts[0], "negative_prompt": "a" if is_xl else ""}
    try:
        image = pipeline(**call).images[0]
    finally:
        pipeline.unet.set_attn_processor(kept)
    return np.rint(255 * image).astype(np.uint8)


@pytest.mark.parametrize("name", CLIP)
def test_a_whole_picture_is_that_of_the_formula(engine: Engine, pipelines: dict[str, Any], name: str) -> None:
    middle = np.zeros((SIZE, SIZE), np.uint8)
    middle[13:51, 20:63] = 255  # of no whole cells
    m = np.stack([LEFT, middle]) / 255.0
    b, w = 0.3, (1.0, 2.0)
    total = b + (1 - b) * (1 - m.max(0) + w[0] * m[0] + w[1] * m[1])
    shares = np.stack([(1 - b) * w[0] * m[0] / total, (1 - b) * w[1] * m[1] / total])
    shares = np.concatenate([1 - shares.sum(0, keepdims=True), shares])
    cells = shares.reshape(3, SIZE // 2, 2, SIZE // 2, 2).mean((2, 4))
    regions = [region("an old mill"), region("red sky", middle, weight=2)]
    request = asked(
        name, regions=regions, base_share=b, negative_prompt="a" if name == "sdxl" else "", clip_skip=0
    )
    ours = picture(engine, request)
    assert far(ours, theirs(pipelines[name], ["a lake", "an old mill", "red sky"], cells)) <= 1
    assert far(ours, picture(engine, replace(request, regions=None))) > 8


@pytest.mark.parametrize("name", ["text", *CLIP])
def test_regions_with_the_pictures_own_prompt_change_nothing(engine: Engine, name: str) -> None:
    request = asked(name, regions=[region("a lake"), region("a lake", 255 - LEFT)])
    assert far(picture(engine, request), picture(engine, replace(request, regions=None))) <= 1


@pytest.mark.parametrize("name", ["text", "sd1"])
def test_a_base_share_of_1_is_the_picture_without_regions(engine: Engine, name: str) -> None:
    request = asked(name, regions=[region("sky")], base_share=1)
    assert far(picture(engine, request), picture(engine, replace(request, regions=None))) <= 1


@torch.inference_mode()
def test_a_region_counts_in_its_own_place_alone() -> None:
    transformer = SpatialTransformer(32, 8, heads=2, depth=1)
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    x, own, other = torch.randn(1, 32, 8, 8), torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    shares = torch.zeros(1, 16, 16)
    shares[:, 4:8, :8] = 1  # of a latent twice as fine
    changed = (transformer(x, own, Coupling(other, shares, (1,))) - transformer(x, own)).abs().amax((0, 1))
    there = torch.zeros(8, 8, dtype=torch.bool)
    there[2:4, :4] = True
    assert bool((changed[there] > 1e-3).all()) and float(changed[~there].max()) < 1e-5
    whole = transformer(x, own, Coupling(other, torch.ones(1, 16, 16), (1,)))
    assert torch.allclose(whole, transformer(x, other), atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("scale_shift", [False, True])
def test_what_a_context_says_as_a_whole_counts_in_its_place_too(scale_shift: bool) -> None:
    spec = replace(tiny.SPEC.unet, pooled_context=True, use_scale_shift_norm=scale_shift)
    network = UNet(spec)
    for name, parameter in network.named_parameters():
        std = 0.1 if name.endswith("weight") else 0.0
        torch.nn.init.normal_(parameter, std=std, generator=torch.Generator().manual_seed(len(name)))
    x, t = torch.randn(2, 4, 8, 8), torch.tensor([500.0, 20.0])
    own, other = torch.randn(2, 5, 32), torch.randn(1, 5, 32)
    whole = Coupling(other, torch.ones(1, 8, 8), (0, 1))
    coupled = network(x, t, own, coupling=whole)
    assert torch.allclose(coupled, network(x, t, torch.cat([own[:1], other])), atol=1e-4)
    assert not torch.allclose(coupled[1], network(x, t, own)[1], atol=1e-2)


# Beside other jobs ------------------------------------------------------------------------------------------


def test_the_same_bytes_beside_other_jobs(engine: Engine) -> None:
    coupled = asked("text", regions=[region("sunset"), region("snow", 255 - LEFT)], batch_size=2)
    plain = asked("text", seed=5)
    alone = [
        picture.tobytes() for request in (coupled, plain) for picture in engine.submit(request).pictures()
    ]
    jobs = [engine.submit(request) for request in (coupled, plain, asked("text", regions=[region("noon")]))]
    assert [picture.tobytes() for job in jobs[:2] for picture in job.pictures()] == alone


def test_jobs_with_and_without_regions_share_a_call(library: ModelLibrary) -> None:
    requests = [
        asked("text", regions=[region("sunset"), region("snow", 255 - LEFT)]),
        asked("text", seed=5),
        asked("text", regions=[region("noon")], guidance_scale=1, seed=6),
    ]
    found = []
    for most in (1, 4):
        with Engine(library, device="cpu", dtype="float32", max_batch=most) as engine:
            jobs = [engine.submit(request) for request in requests]
            found.append([job.pictures()[0] for job in jobs])
    assert max(itertools.starmap(far, zip(*found, strict=True))) <= 1


def test_some_of_a_batch_keep_their_regions() -> None:
    shares = torch.arange(4.0).view(4, 1, 1).expand(4, 2, 2)
    cond = Cond(torch.zeros(3, 2, 5), coupling=Coupling(shares[:, :, :1], shares, (1, 0, 3)))
    rows = torch.tensor([False, True, True])
    some = cond[rows].coupling
    assert some is not None and some.counts == (0, 3) and some.shares[:, 0, 0].tolist() == [1, 2, 3]
    assert cond[1:2].coupling is None and cond[:1].coupling is not None
    both = Cond.cat([cond[1:2], cond]).coupling
    assert both is not None and both.counts == (0, 1, 0, 3) and both.shares.shape == (4, 2, 2)
    tile = cond.tile((slice(0, 1), slice(0, 2))).coupling
    assert tile is not None and tile.shares.shape == (4, 1, 2)


# Where they are ---------------------------------------------------------------------------------------------


def shares(request: Request, window: Window | None = None, size: tuple[int, int] | None = None) -> Tensor:
    found = shares_of(request, NATIVE, Geometry.of(size or request.size, NATIVE), window)
    assert found is not None
    return found


def test_painted_classes_have_their_share_and_the_prompt_the_rest() -> None:
    request = asked(
        "native",
        task="semantic",
        label_map=HALVES,
        regions=[{"prompt": "red", "class": "lake"}],
        base_share=0.25,
    )
    found = shares(request)
    assert found.shape == (1, 8, 8)
    assert torch.equal(found[0, :, :4], torch.zeros(8, 4)) and torch.allclose(
        found[0, :, 4:], torch.tensor(0.75)
    )


BOX = {"class": "sun", "x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0}
INNER = {"class": "moon", "x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5}


def test_of_boxes_the_smaller_lies_on_top() -> None:
    regions = [{"prompt": "inner", "box": 0}, {"prompt": "outer", "box": 1}]
    request = asked("native", task="layout", boxes=[INNER, BOX], regions=regions, base_share=0)
    inner, outer = shares(request)
    assert torch.equal(inner + outer, torch.ones(8, 8))
    assert torch.equal(inner[2:6, 2:6], torch.ones(4, 4)) and inner.sum() == 16


def test_a_box_without_a_prompt_keeps_what_is_below_away() -> None:
    request = asked(
        "native", task="layout", boxes=[INNER, BOX], regions=[{"prompt": "outer", "box": 1}], base_share=0
    )
    (outer,) = shares(request)
    assert outer.sum() == 48 and outer[3, 3] == 0


def test_masks_share_by_their_weights_and_their_greys() -> None:
    grey = np.full((SIZE, SIZE), 51, np.uint8)  # a fifth
    request = asked("text", regions=[region("a", grey), region("b", weight=3)], base_share=0)
    one, other = shares(request)
    assert torch.allclose(one[:, 4:], torch.tensor(0.2)) and torch.equal(other[:, 4:], torch.zeros(8, 4))
    assert torch.allclose(one[:, :4], torch.tensor(0.2 / 3.2)) and torch.allclose(
        other[:, :4], torch.tensor(3 / 3.2)
    )


def test_of_a_part_of_the_picture_the_part_of_the_mask_counts() -> None:
    (found,) = shares(asked("text", regions=[region("a")], base_share=0), Window(16, 0, 32, 32), (64, 64))
    assert torch.equal(found[:, :3], torch.ones(8, 3)) and torch.equal(found[:, 5:], torch.zeros(8, 3))


def test_shares_sum_to_1_at_every_size_of_a_feature_map() -> None:
    values = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(1)).softmax(0)
    for height, width in ((16, 24), (8, 12), (4, 6), (2, 3)):
        there = Coupling(torch.zeros(3, 1, 1), values, (3,)).at(height, width).shares
        assert there.shape == (3, height, width) and torch.allclose(there.sum(0), torch.ones(height, width))


# What they say ----------------------------------------------------------------------------------------------


def test_they_have_the_grammar_of_the_prompt(engine: Engine) -> None:
    """Weights, BREAK with longer chunks, and schedules change the picture; each makes the same one again."""
    texts = ["sky", "(sky:1.4)", "sky BREAK an old mill", "[sky:mill:0.5]"]
    pictures = [picture(engine, asked("sd1", regions=[region(text)])) for text in texts]
    assert len({made.tobytes() for made in pictures}) == len(texts)
    again = picture(engine, asked("sd1", regions=[region(texts[-1])]))
    assert np.array_equal(again, pictures[-1])


def test_guidance_is_towards_regions_where_nothing_else_is_said(engine: Engine) -> None:
    request = asked("sd1", prompt="", regions=[region("sky")])
    assert far(picture(engine, request), picture(engine, replace(request, guidance_scale=1.0))) > 8


def test_further_parts_of_and_count_as_ever(engine: Engine) -> None:
    request = asked("sd1", prompt="a lake AND snow :0.5", regions=[region("a lake")])
    assert far(picture(engine, request), picture(engine, replace(request, regions=None))) <= 1


@pytest.mark.parametrize("task", ["image-to-image", "inpaint", "outpaint", "semantic", "layout"])
@pytest.mark.parametrize("model", ["text", "native"])
def test_all_that_is_drawn_by_a_prompt_has_them(engine: Engine, model: str, task: str) -> None:
    image = Raster(np.full((SIZE, SIZE, 3), 90, np.uint8))
    inputs: dict[str, dict[str, object]] = {
        "image-to-image": {"image": image},
        "inpaint": {"image": image, "mask": Raster(LEFT), "area": "masked"},
        "outpaint": {"image": image, "left": 32},
        "semantic": {"label_map": HALVES},
        "layout": {"boxes": [INNER, BOX], "width": SIZE, "height": SIZE},
    }
    places: dict[str, dict[str, object]] = {"semantic": {"class": SKY}, "layout": {"box": 1}}
    usual = {"model": model, "task": task, "prompt": "a lake", "steps": 2, **inputs[task]}
    place = places.get(task, {"mask": Raster(LEFT)})
    one, other = (
        picture(engine, parse_request({**usual, "regions": [{"prompt": text, **place}]}))
        for text in ("snow", "sunset over trees")
    )
    assert not np.array_equal(one, other)


def test_a_request_is_the_same_from_its_json() -> None:
    request = asked("text", regions=[region("a", weight=2), {"prompt": "b", "mask": Raster(255 - LEFT)}])
    assert parse_request(to_json(request)) == request
    branch = {"step": 2, "of": {"regions": None}}
    changed = parse_request({**to_json(request), "branch": branch})
    assert changed.branch is not None and changed.branch.of.regions is None
    assert parse_request(to_json(changed)) == changed


# What is refused, and what is told --------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, object], str]] = [
    ({"regions": [{"prompt": "a"}]}, "regions is a list; it has to be a list of 1 to 32 regions"),
    ({"regions": []}, "regions is a list; it has to be a list of 1 to 32 regions"),
    ({"regions": [{"prompt": " ", "box": 0}]}, "regions is a list"),
    ({"regions": [{"prompt": "a", "box": 0, "class": 1}]}, "regions is a list"),
    ({"regions": [region("a", weight=0)]}, "regions is a list"),
    ({"regions": [region("a", np.zeros((8, 2049), np.uint8))]}, "regions is a list"),
    ({"regions": [region("a"), region("b")]}, "regions is a list"),
    ({"regions": [{"prompt": "a", "box": 0}]}, "regions is for the box 1; it has to be without boxes"),
    (
        {"regions": [{"prompt": "a", "class": "sky"}]},
        "regions is for the region “sky”; it has to be for boxes or masks: there is no label map.",
    ),
    (
        {"task": "layout", "boxes": [BOX], "regions": [{"prompt": "a", "box": 1}]},
        "regions is for the box 2; it has to be for one of the 1 boxes.",
    ),
    ({"task": "unconditional", "regions": [region("a")]}, "regions is there; it has to be left out"),
    (
        {"model": "sd1", "regions": [region("a AND b")]},
        "The prompt of the region of a mask cannot be read: AND makes several conditions of the whole",
    ),
    (
        {"model": "sd1", "regions": [region("[a:b AND c:0.5]")]},
        "The prompt of the region of a mask cannot be",
    ),
    (
        {"task": "semantic", "label_map": HALVES},
        "Tiny reads no label maps by itself: give at least one part a prompt of its own.",
    ),
    (
        {"task": "layout", "boxes": [BOX]},
        "Tiny reads no boxes by itself: give at least one part a prompt of its own.",
    ),
    (
        {"task": "semantic", "label_map": HALVES, "regions": [{"prompt": "a", "class": "hill-top"}]},
        "regions is 'hill-top'; it has to be a class that the model knows, such as 'person'",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_is_refused_with_a_sentence(
    engine: Engine, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(RequestError) as caught:
        fields = {"model": "text", "task": "text-to-image", **changes}
        engine.submit(parse_request(fields))
    assert str(caught.value).startswith(sentence), str(caught.value)


def test_regions_that_hardly_count_are_told(library: ModelLibrary) -> None:
    dot = np.zeros((SIZE, SIZE), np.uint8)
    dot[3:6, 3:6] = 255
    told = library.request_notes(asked("text", regions=[region("a lake", dot)]))
    assert told == (
        "All of the region of a mask is smaller than a cell of the latent, 8 x 8 pixels, so its prompt "
        "counts for little."
    )
    regions = [{"prompt": "a lake", "class": "sky"}, {"prompt": "a trolley", "class": "tree"}]
    told = library.request_notes(asked("native", task="semantic", label_map=HALVES, regions=regions))
    assert "“trolley”" in told and told.endswith(
        "There is nothing of the region “tree”, so its prompt has no effect."
    )


def test_what_a_model_reads_by_itself_it_still_reads(engine: Engine) -> None:
    other = Raster(np.where(LEFT > 0, LAKE, SKY).astype(np.uint8))
    regions = [{"prompt": "a lake", "class": "sky"}]
    one, two = (
        picture(engine, asked("native", task="semantic", label_map=labels, regions=regions))
        for labels in (HALVES, other)
    )
    assert not np.array_equal(one, two)


def test_a_class_has_one_prompt_however_it_is_written(engine: Engine) -> None:
    """By name and by id: their shares would add up, and a form could show one of them only."""
    regions = [{"class": "sky", "prompt": "a"}, {"class": SKY, "prompt": "b"}]
    request = parse_request({"task": "semantic", "model": "native", "label_map": HALVES, "regions": regions})
    with pytest.raises(RequestError, match="'sky' has two prompts"):
        engine.submit(request)


def test_a_change_of_a_coupling_is_of_all_its_tensors() -> None:
    coupling = Coupling(torch.zeros(1, 2, 5), torch.zeros(1, 2, 2), (1,), torch.zeros(1, 7))
    changed = coupling.map(lambda part: part + 1)
    assert changed.embeddings is not None and changed.counts == (1,)
    assert all(bool((part == 1).all()) for part in (changed.contexts, changed.shares, changed.embeddings))
    assert replace(coupling, embeddings=None).map(torch.clone).embeddings is None
