"""Controls: residuals in the UNet, ControlNets beside diffusers' own, and requests with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.keeping.metadata import encode_png, read_settings
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import PictureDone
from ldm_core.errors import RequestError, WeightsError
from ldm_core.formats.control_files import read_control
from ldm_core.formats.identify import identify
from ldm_core.library.models import ModelLibrary
from ldm_core.nn.residuals import Residuals
from ldm_core.nn.unet import UNet
from ldm_core.request import (
    AdapterUse,
    ControlUse,
    ImageToImage,
    Inpaint,
    Request,
    TextToImage,
    parse_request,
    to_json,
)
from ldm_core.request.raster import Raster
from tests import tiny
from tests.adapters import controlnet, kohya, pairs, published
from tests.diffusers_pipelines import clip_tokenizer, conditional_unet, ddim, tower

SIZE, CELLS, STEPS, SCALE, SEED = 64, 8, 4, 4.0, 3
SD = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
HINTS = [np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), np.uint8) for i in range(2)]


def vae() -> diffusers.AutoencoderKL:
    """Eight pixels to a cell, as the hints of ControlNets have."""
    found = diffusers.AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
    )
    with torch.no_grad():
        found.quant_conv.weight[4:] = 0
        found.quant_conv.bias[4:] = -30
    return found


@pytest.fixture(scope="module")
def pipeline() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = diffusers.StableDiffusionPipeline(
            vae=vae(), unet=conditional_unet(), text_encoder=tower(), tokenizer=clip_tokenizer(),
            scheduler=ddim(), **SD,
        )  # fmt: skip
    for part in (made.vae, made.unet, made.text_encoder):
        part.eval()
    return made


@pytest.fixture(scope="module")
def controls(pipeline: Any) -> list[diffusers.ControlNetModel]:
    return [controlnet(pipeline, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def library(
    pipeline: Any, controls: list[diffusers.ControlNetModel], tmp_path_factory: pytest.TempPathFactory
) -> ModelLibrary:
    folder = tmp_path_factory.mktemp("models")
    pipeline.save_pretrained(folder / "sd1")
    library = ModelLibrary([folder])
    unet = library.load("sd1", device="cpu", dtype=torch.float32).model.diffusion_model
    edges = published(controls[0], unet.state_dict())
    save_file({n: t.contiguous().clone() for n, t in edges.items()}, folder / "edges.safetensors")
    save_file(
        {n: t.contiguous().clone() for n, t in controls[1].state_dict().items()}, folder / "depth.safetensors"
    )
    save_file(kohya(pairs(pipeline)), folder / "style.safetensors")
    library.scan()
    return library


@pytest.fixture(scope="module")
def engine(library: ModelLibrary) -> Iterator[Engine]:
    with Engine(library, device="cpu", dtype="float32", max_batch=4) as engine:
        yield engine


PLAIN = TextToImage(
    model="sd1", prompt="an old lake", width=SIZE, height=SIZE, steps=STEPS, seed=SEED, guidance_scale=SCALE,
    spacing="uniform",
)  # fmt: skip
EDGES = ControlUse("edges", Raster(HINTS[0]), 0.7)
DEPTH = ControlUse("depth", Raster(HINTS[1]), 1.2, end=0.5)


def picture(engine: Engine, request: Request) -> np.ndarray:
    (pixels,) = engine.submit(request).pictures()
    return pixels


@torch.inference_mode()
def theirs(pipeline: Any, controls: list[diffusers.ControlNetModel], uses: list[ControlUse]) -> np.ndarray:
    parts = {name: getattr(pipeline, name) for name in ("vae", "unet", "text_encoder", "tokenizer")}
    made = diffusers.StableDiffusionControlNetPipeline(**parts, scheduler=ddim(), controlnet=controls, **SD)
    made.set_progress_bar_config(disable=True)
    image = made(
        prompt="an old lake", guidance_scale=SCALE, num_inference_steps=STEPS, output_type="np",
        latents=torch.randn((1, 4, CELLS, CELLS), generator=torch.Generator().manual_seed(SEED)),
        image=[torch.from_numpy(use.image.pixels.copy()).permute(2, 0, 1)[None] / 255 for use in uses],
        controlnet_conditioning_scale=[use.strength for use in uses],
        control_guidance_start=[use.start for use in uses],
        control_guidance_end=[use.end for use in uses],
    ).images[0]  # fmt: skip
    return np.rint(255 * image).astype(int)


def test_without_residuals_nothing_changes_and_zeros_change_nothing() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet(tiny.SPEC.unet).eval()
        x, context = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 32)
        for parameter in unet.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    t = torch.tensor([5.0, 700.0])

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=torch.Generator().manual_seed(1))

    shapes: list[Tensor] = []
    handles = [
        b.register_forward_hook(lambda *told: shapes.append(told[2]))
        for b in (*unet.input_blocks, unet.middle_block)
    ]
    with torch.inference_mode():
        plain = unet(x, t, context)
        *inputs, middle = (torch.zeros_like(one) for one in shapes)
        for handle in handles:
            handle.remove()
        nothing = Residuals(tuple(inputs), middle, tuple(inputs))
        assert torch.equal(unet(x, t, context, None, nothing), plain)
        assert torch.equal(unet(x, t, context, None, Residuals()), plain)
        last = (*[None] * (len(inputs) - 1), noise(inputs[-1]))
        changed = [
            unet(x, t, context, None, one)
            for one in (
                Residuals(last),
                Residuals(middle=noise(middle)),
                Residuals(inputs=last),
                Residuals(last, noise(middle)),
            )
        ]
        # Of the second picture alone.
        half = Residuals(last, noise(middle)) * torch.tensor([0.0, 1.0])
        assert torch.equal(unet(x, t, context, None, half)[0], plain[0])
    assert all((one - plain).abs().max() > 1e-3 for one in changed)
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(changed) for b in changed[:i])


@pytest.mark.parametrize("number", [0, 1])
def test_residuals_are_those_of_diffusers(
    library: ModelLibrary, controls: list[diffusers.ControlNetModel], number: int
) -> None:
    model = library.load("sd1", device="cpu", dtype=torch.float32)
    name = ("edges", "depth")[number]
    control = read_control(library.entry(name).path, name, model.spec.unet, "cpu", torch.float32)
    generator = torch.Generator().manual_seed(0)
    x, context = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 16, 64, generator=generator)
    t, hint = torch.tensor([3.0, 801.0]), torch.rand(2, 3, 64, 64, generator=generator)
    with torch.inference_mode():
        ours = control.residuals(x, t, context, None, control.guide(hint))
        down, middle = controls[number](x, t, context, hint, return_dict=False)
    for one, other in zip((*ours.skips, ours.middle), (*down, middle), strict=True):
        assert one is not None and other.std() > 1e-3
        assert (one - other).abs().max() < 1e-5 * max(1.0, other.abs().max().item())


@pytest.mark.parametrize("uses", [[EDGES], [EDGES, DEPTH]])
def test_a_request_with_controls_makes_the_picture_that_diffusers_makes(
    engine: Engine, pipeline: Any, controls: list[diffusers.ControlNetModel], uses: list[ControlUse]
) -> None:
    ours = picture(engine, replace(PLAIN, controls=tuple(uses))).astype(int)
    assert np.abs(ours - theirs(pipeline, controls[: len(uses)], uses)).max() <= 1
    assert np.abs(ours - picture(engine, PLAIN)).max() > 1
    assert np.abs(ours - theirs(pipeline, controls[:1], [replace(EDGES, strength=0.2)])).max() > 1


def test_jobs_with_and_without_controls_take_turns_and_do_not_disturb_one_another(engine: Engine) -> None:
    requests = [
        PLAIN,
        replace(PLAIN, controls=(EDGES,)),
        replace(PLAIN, controls=(replace(EDGES, image=Raster(HINTS[1])),)),
        replace(PLAIN, controls=(EDGES, DEPTH), adapters=(AdapterUse("style", 0.5),)),
    ]
    alone = [picture(engine, request) for request in requests]
    assert len({pixels.tobytes() for pixels in alone}) == len(alone)
    jobs = [engine.submit(request) for request in requests]
    for job, expected in zip(jobs, alone, strict=True):
        (pixels,) = job.pictures()
        assert np.abs(pixels.astype(int) - expected).max() <= 1  # two of them share a call


def test_a_picture_with_controls_is_made_again_from_its_file(engine: Engine) -> None:
    request = replace(PLAIN, controls=(EDGES, DEPTH))
    assert parse_request(json.loads(json.dumps(to_json(request)))) == request
    job = engine.submit(request)
    (made,) = [event for event in job.events() if isinstance(event, PictureDone)]
    again = read_settings(encode_png(made.pixels, made.request)).request
    assert again == request and np.array_equal(picture(engine, again), made.pixels)


def test_hints_lie_over_the_whole_picture_whatever_is_drawn_of_it(engine: Engine) -> None:
    source = Raster(HINTS[1])
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:32, :32] = 255
    common: dict[str, Any] = {"model": "sd1", "steps": 3, "guidance_scale": 1.0}
    beyond = HINTS[0].copy()
    beyond[48:, 48:] = 0
    for kind, extra in (
        (ImageToImage, {"image": source, "height": 96}),
        (Inpaint, {"image": source, "mask": Raster(mask), "area": "masked", "margin": 4, "feather": 0}),
    ):
        request = kind(**common, **extra)
        hinted = picture(engine, replace(request, controls=(EDGES,)))
        assert not np.array_equal(hinted, picture(engine, request))
        other = picture(engine, replace(request, controls=(replace(EDGES, image=Raster(beyond)),)))
        assert np.array_equal(hinted, other) == (kind is Inpaint)  # what lies outside of the part is not seen


def test_what_does_not_suit_is_refused_in_a_sentence(
    library: ModelLibrary, engine: Engine, tmp_path: Path
) -> None:
    known = identify(library.entry("edges").path)
    assert (known.kind, known.problem) == ("ControlNet", "") and library.extensions("ControlNet") == (
        "depth",
        "edges",
    )
    with pytest.raises(RequestError, match=r"controls is 'style'.*depth, edges"):
        engine.submit(replace(PLAIN, controls=(ControlUse("style", Raster(HINTS[0])),)))
    image = to_json(replace(PLAIN, controls=(EDGES,)))["controls"][0]["image"]  # type: ignore[index]
    for wrong in (
        [],
        [{"name": "edges"}],
        [{"name": "edges", "image": image, "start": 0.5, "end": 0.2}],
        [{"name": "edges", "image": "x"}],
    ):
        with pytest.raises(RequestError, match="controls is"):
            parse_request({"task": "text-to-image", "controls": wrong})
    with pytest.raises(RequestError, match="controls is there"):
        parse_request(
            {"task": "super-resolution", "image": image, "controls": [{"name": "a", "image": image}]}
        )
    other = replace(library.info("sd1").spec.unet, context_dim=128)
    with pytest.raises(WeightsError, match="edges was made for a model of another family"):
        read_control(library.entry("edges").path, "edges", other, "cpu", torch.float32)
    save_file(
        {"zero_convs.0.0.weight": torch.ones(1), "difference": torch.ones(1)}, tmp_path / "d.safetensors"
    )
    assert "differences" in identify(tmp_path / "d.safetensors").problem
