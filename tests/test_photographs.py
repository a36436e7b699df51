"""Photographs with holes through inpainting, with models in the shape of the published ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ldm_core.engine.engine import Engine
from ldm_core.library.models import ModelLibrary
from ldm_core.request import Inpaint
from ldm_core.request.raster import Raster
from tests.golden import write_checkpoint
from tests.stable_diffusion import SD1, SD1_INPAINT, write

pytestmark = pytest.mark.slow

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "quiet", "street")
FEATHER = 4


@pytest.fixture(scope="module")
def engine(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The paper's own two with the golden weights, and two of Stable Diffusion, f = 8."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("inpainting_big", "txt2img_1p4B"):
        case = shared / "golden" / "small" / name
        (folder / name).mkdir()
        write_checkpoint(case, folder / name / "model.safetensors", ())
        shutil.copy(case / "config.yaml", folder / name)
    (folder / "txt2img_1p4B" / "vocab.txt").write_text("\n".join(WORDS))
    for name, spec in (("sd1-inpainting", SD1_INPAINT), ("sd1", SD1)):
        first_stage = replace(spec.first_stage, channel_mult=(1, 1, 1, 1))
        write(folder / name, replace(spec, first_stage=first_stage))
    with Engine(ModelLibrary([folder]), device="cpu", dtype="float32") as engine:
        yield engine


@pytest.mark.parametrize("photograph", ["inpaint_bench2", "inpaint_overture"])
@pytest.mark.parametrize("model", ["inpainting_big", "sd1-inpainting", "sd1", "txt2img_1p4B"])
@pytest.mark.parametrize(("area", "fill"), [("whole", "noise"), ("masked", "telea")])
def test_only_the_hole_is_drawn(
    model: str, photograph: str, area: str, fill: str, engine: Engine, shared: Path
) -> None:
    images = shared / "data" / "images"
    picture = np.asarray(Image.open(images / f"{photograph}.png").convert("RGB"))
    mask = np.asarray(Image.open(images / f"{photograph}_mask.png").convert("L"))
    spec = engine.library.info(model).spec
    request = Inpaint(
        model=model,
        image=Raster(picture),
        mask=Raster(mask),
        prompt="a quiet street" if spec.takes_prompts else "",
        area=area,
        fill=fill,
        feather=FEATHER,
        steps=2,
        seed=3,
    )
    (made,) = engine.submit(request).pictures()
    assert made.shape == picture.shape
    side = 2 * FEATHER + 3
    near = cv2.dilate(mask, np.ones((side, side), np.uint8)) > 0
    assert 0.001 < near.mean() < 0.9
    assert np.array_equal(made[~near], picture[~near])
    assert (made[mask == 255] != picture[mask == 255]).any(-1).mean() > 0.9
