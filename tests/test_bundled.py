"""The models that the program ships: they load, keep what they promise, and follow their prompts."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.tabs.text_to_image import PROMPT
from ldm_core import scenes
from ldm_core.bundled import BUNDLED_MODELS
from ldm_core.conditioners.tokenizer import Tokenizer
from ldm_core.engine.engine import Engine
from ldm_core.evaluation.cli import JUDGE
from ldm_core.evaluation.evaluate import evaluate_first_stage
from ldm_core.evaluation.judging import accuracies, judge_pictures
from ldm_core.evaluation.metrics import box_found
from ldm_core.evaluation.unseen import Settings, images, unseen_scenes
from ldm_core.formats import load_model
from ldm_core.library.models import ModelLibrary
from ldm_core.network import tiling
from ldm_core.network.images import to_pixels
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.network.preview import PreviewMap
from ldm_core.nn.autoencoder import AutoencoderKL
from ldm_core.request import ClassToImage, LayoutToImage, SuperResolution, TextToImage
from ldm_core.request.raster import Raster
from ldm_core.request.rules import LabelledBox
from ldm_core.training import data
from ldm_core.training.scene_trainer import load_scene_network

FIRST_STAGE = BUNDLED_MODELS / "first-stage-kl-f8"
PROMPTS = {
    ("time", "sunset"): "sunset over a lake, pine trees",
    ("time", "night"): "a moonlit night over the sea",
    ("time", "day"): "snowy mountains at noon in winter",
    ("season", "autumn"): "oak trees at noon, in autumn",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(ModelLibrary()) as engine:
        yield engine


@pytest.fixture(scope="module")
def pictures(engine: Engine) -> dict[tuple[str, str], NDArray[np.uint8]]:
    jobs = {
        wanted: engine.submit(TextToImage(prompt=prompt, steps=20, seed=1, batch_size=2))
        for wanted, prompt in PROMPTS.items()
    }
    return {wanted: np.stack(job.pictures()) for wanted, job in jobs.items()}


def test_all_models_together_are_small_and_have_cards() -> None:
    weights = list(BUNDLED_MODELS.glob("*/model.safetensors"))
    assert sum(path.stat().st_size for path in weights) < 120e6
    for path in weights:
        card = (path.parent / "README.md").read_text("utf-8")
        assert all(word in card for word in ("Data", "Training", "Measured", "Limits", "Licence"))


def test_the_first_stage_keeps_unseen_scenes() -> None:
    model = load_model(FIRST_STAGE)
    assert isinstance(model, AutoencoderKL)
    assert (
        evaluate_first_stage(model, Settings(8, 256, 1, 1.0)).figures["psnr_db"] > 28.5
    )  # 30 on average over many more


def test_the_model_shares_the_first_stage() -> None:
    whole, alone = load_model(BUNDLED_MODELS / "landscapes"), load_model(FIRST_STAGE)
    assert isinstance(alone, AutoencoderKL)
    inside = whole.first_stage_model.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(tensor, inside[name]) for name, tensor in alone.state_dict().items())


def test_pictures_show_what_their_prompts_name(
    pictures: dict[tuple[str, str], NDArray[np.uint8]],
) -> None:
    judge = load_scene_network(JUDGE)
    right = [
        seen == value
        for (name, value), made in pictures.items()
        for seen in judge_pictures(judge, made).attributes[name]
    ]
    assert np.mean(right) >= 0.75


def test_boxes_hold_their_class_more_often_than_not(engine: Engine) -> None:
    rendered = unseen_scenes(Settings(6, 256, 1, 1.0))
    jobs = [
        engine.submit(
            LayoutToImage(
                prompt=scenes.describe(scene.attributes),
                boxes=tuple(LabelledBox(b.label, b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0) for b in scene.boxes),
                guidance_scale=4.0,
                steps=15,
            )
        )
        for scene in rendered
    ]
    seen = judge_pictures(load_scene_network(JUDGE), np.concatenate([job.pictures() for job in jobs]))
    held = [
        box_found((box.x0, box.y0, box.x1, box.y1), labels == scenes.CLASSES.index(box.label))
        for scene, labels in zip(rendered, seen.labels, strict=True)
        for box in scene.boxes
    ]
    print(f"{np.mean(held):.2f} of {len(held)} boxes")
    assert np.mean(held) > 0.5


def test_a_class_stands_for_a_prompt_of_known_words(engine: Engine) -> None:
    classes = engine.library.info("landscapes").spec.class_prompts
    model = engine.library.load("landscapes", device="cpu", dtype=torch.float32)
    assert len(classes) >= 12 and isinstance(model.tokenizer, Tokenizer)
    assert [words for _, prompt in classes if (words := model.tokenizer.unknown_words(prompt))] == []
    name, prompt = classes[0]
    of_class, of_prompt = (
        engine.submit(request).pictures()[0]
        for request in (
            ClassToImage(class_name=name, steps=3, seed=4),
            TextToImage(prompt=prompt, steps=3, seed=4),
        )
    )
    assert np.array_equal(of_class, of_prompt)


def test_prompts_and_seeds_make_different_pictures(
    pictures: dict[tuple[str, str], NDArray[np.uint8]],
) -> None:
    means = [made[0].astype(float).mean(axis=(0, 1)) for made in pictures.values()]
    for i, a in enumerate(means):
        for b in means[i + 1 :]:
            assert np.abs(a - b).max() > 8  # of 255, in the average colour already
    for made in pictures.values():
        assert np.abs(made[0].astype(float) - made[1]).mean() > 8


def test_pictures_are_not_flat(pictures: dict[tuple[str, str], NDArray[np.uint8]]) -> None:
    assert all(made.std(axis=(1, 2)).max() > 15 for made in pictures.values())


def test_the_judge_knows_unseen_scenes() -> None:
    judge = load_scene_network(JUDGE)
    rendered = unseen_scenes(Settings(48, 256, 1, 1.0))
    wanted = [scene.attributes for scene in rendered]
    assert accuracies(judge_pictures(judge, images(rendered)), wanted)["mean"] > 0.95


def test_previews_look_like_the_picture(engine: Engine) -> None:
    model = engine.library.load("landscapes", device="cpu", dtype=torch.float32)
    preview = PreviewMap.fit(model.decode, model.spec.first_stage.embed_dim)
    correlations = []
    for i in range(4):
        scene = data.render("unseen", i, 256).image
        small = preview(model.encode(data.to_tensor(scene[None]))[0]).astype(float)
        wanted = scene.reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
        correlations.append(np.corrcoef(small.ravel(), wanted.ravel())[0, 1])
    assert min(correlations) > 0.8


def test_an_enlarged_picture_is_not_tinted_at_its_edges(engine: Engine) -> None:
    """Measured: 1.9 levels beside the bicubic enlargement, 3.5 where the edges' cells have no neighbours."""
    scene = data.render("unseen", 3, 256).image
    small = cv2.resize(scene, (64, 64), interpolation=cv2.INTER_AREA)
    job = engine.submit(SuperResolution(model="super-resolution", image=Raster(small), steps=6, seed=1))
    (large,) = job.pictures()
    added = large.astype(float) - cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC)
    added[4:-4, 4:-4] = np.nan
    assert np.nanmean(np.abs(added)) < 2.6
    # The preview shows the picture, not what lies around it.
    preview = job.previews(0)[-1][1].astype(float)
    off, moved = (np.abs(np.roll(preview, by, (0, 1)) - small).mean() for by in (0, 4))
    assert preview.shape == small.shape and off < 0.8 * moved


def test_the_model_knows_every_word_of_its_classes_and_of_the_pages_example() -> None:
    model = load_model(BUNDLED_MODELS / "landscapes")
    assert isinstance(model, LatentDiffusion) and model.tokenizer is not None
    prompts = [prompt for _, prompt in model.spec.class_prompts]
    assert len(prompts) > 10
    for text in (*prompts, PROMPT):
        assert model.tokenizer.unknown_words(text) == (), text
    assert model.tokenizer.unknown_words("a dragon over a lake") == ("dragon",)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1024, 384), (512, 1024)])
@torch.inference_mode()
def test_large_pictures_are_the_same_decoded_in_tiles(engine: Engine, width: int, height: int) -> None:
    job = engine.submit(TextToImage(prompt="a lake at noon", width=width, height=height, steps=4))
    (picture,) = job.pictures()
    assert picture.shape == (height, width, 3) and picture.std() > 15
    model = engine.library.load("landscapes", device="cpu", dtype=torch.float32)
    stage = model.first_stage_model
    z = job.trajectory(0)[-1].x.float()[:, : stage.spec.embed_dim] / model.scale_factor
    whole = to_pixels(stage.decode(z)[0]).astype(int)
    in_tiles = tiling.run(tiling.decoding(stage, z, 256)).astype(int)
    difference = np.abs(whole - in_tiles)
    print(f"{width} x {height}: at most {difference.max()} of 255, {difference.mean():.4f} on average")
    assert difference.max() <= 2
