"""Diffusers' folders through the engine's whole path, beside diffusers' own pipelines: requests to pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from ldm_core.engine.engine import Engine
from ldm_core.library.models import ModelLibrary
from ldm_core.network.images import from_pixels
from ldm_core.request import Request, SuperResolution, TextToImage
from ldm_core.request.raster import Raster
from ldm_core.tasks.upscale import with_colours_of
from tests.diffusers_pipelines import saved
from tests.tiny import initial_noise

Pixels = NDArray[np.uint8]
PROMPT, NEGATIVE, SIZE, CELLS, STEPS, SCALE = "an old lake", "a", 64, 32, 4, 4.0
NAMES = ("sd1", "sd2-v", "sdxl", "sdxl-refiner", "ldm-text", "x4-upscaler")
MARGIN = 4  # cells around what is enlarged
SMALL = np.random.default_rng(0).integers(0, 256, (SIZE // 2, SIZE // 2, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def pipelines(folder: Path) -> dict[str, DiffusionPipeline]:
    return {name: saved(name, folder)[1] for name in NAMES}


@pytest.fixture(scope="module")
def engine(folder: Path, pipelines: dict[str, DiffusionPipeline]) -> Iterator[Engine]:
    with Engine(ModelLibrary([folder]), device="cpu", dtype="float32") as engine:
        yield engine


def asked(name: str) -> Request:
    fields: dict[str, Any] = {"model": name, "prompt": PROMPT, "negative_prompt": NEGATIVE, "steps": STEPS}
    fields |= {"guidance_scale": SCALE, "seed": 3, "spacing": "uniform"}
    if name == "x4-upscaler":
        return SuperResolution(**fields, image=Raster(SMALL), scale=2)
    return TextToImage(**fields, width=SIZE, height=SIZE)


@torch.inference_mode()
def theirs(name: str, pipeline: Any) -> Pixels:
    """What diffusers' pipeline makes of the same request."""
    cells = CELLS + 2 * MARGIN if name == "x4-upscaler" else CELLS
    latents = initial_noise([3], (4, cells, cells))
    call: dict[str, Any] = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "guidance_scale": SCALE}
    call |= {"num_inference_steps": STEPS, "output_type": "np"}
    if name == "x4-upscaler":  # with the engine's noise upon the small picture, and its margins
        noise = torch.Generator().manual_seed(0)
        small = np.pad(SMALL, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="symmetric")
        low_res = (from_pixels(small)[None] + 1) / 2
        call |= {"image": low_res, "latents": latents, "generator": noise}
    elif name == "sdxl-refiner":  # which goes on from latents, here at nearly all of the noise
        size = (SIZE, SIZE)
        call |= {"image": latents, "denoising_start": 0.001, "target_size": size, "original_size": size}
    elif name == "ldm-text":  # which knows no negative prompt
        del call["negative_prompt"]
        call |= {"latents": latents, "height": 8 * CELLS, "width": 8 * CELLS}
    else:
        call |= {"latents": latents, "height": SIZE, "width": SIZE}
    picture = np.rint(255 * pipeline(**call).images[0]).astype(np.uint8)
    if name != "x4-upscaler":
        return picture
    within = slice(2 * MARGIN, -2 * MARGIN)  # it enlarges twice
    return with_colours_of(SMALL, picture[within, within])


@pytest.mark.parametrize("name", NAMES)
def test_a_request_makes_the_picture_that_diffusers_makes(
    engine: Engine, pipelines: dict[str, DiffusionPipeline], name: str
) -> None:
    request = asked(name)
    if name == "ldm-text":
        request = replace(request, negative_prompt="")
    (picture,) = engine.submit(request).pictures()
    expected = theirs(name, pipelines[name])
    assert np.abs(picture.astype(int) - expected).max() <= 1  # of 255, where it is rounded otherwise
    assert expected.std() > 2
    # Guidance, and what it goes away from, count.
    for changes in ({"guidance_scale": 1.0}, {"negative_prompt": "lake"}, {"prompt": "lake"}):
        (other,) = engine.submit(replace(request, **changes)).pictures()
        assert np.abs(picture.astype(int) - other).max() > 1, changes


def test_pictures_of_a_batch_that_enlarges_are_made_alike_alone(engine: Engine) -> None:
    request = replace(asked("x4-upscaler"), batch_size=2)
    both = engine.submit(request).pictures()
    (second,) = engine.submit(replace(request, batch_size=1, seed=4)).pictures()
    assert np.array_equal(both[1], second) and not np.array_equal(both[0], second)
