"""Trainings of diffusion models: what they are given, memory, folders, masks, wrong configurations."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.nn import functional as F

from ldm_core.conditioners import Inputs
from ldm_core.errors import ConfigError, FileError
from ldm_core.formats import load_model
from ldm_core.formats.config import read_config
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request.raster import NOTHING
from ldm_core.training import cli, data
from ldm_core.training.degrade import degrade
from ldm_core.training.diffusion import DiffusionSettings, DiffusionTraining
from ldm_core.training.first_stage import FirstStageSettings
from ldm_core.training.loop import LoopSettings
from ldm_core.training.masks import random_mask
from ldm_core.training.scene_trainer import SceneNetworkSettings
from ldm_core.training.sources import FolderSource, VariedSource, cached
from tests.test_training import LOOP
from tests.training_kinds import BOXES, CLASSES, KINDS, config, task

pytest_plugins = ["tests.training_kinds"]
CONFIGS = Path(__file__).resolve().parents[1] / "assets" / "configs"


def test_a_checkpoint_of_one_network_beside_the_unet_goes_on(
    first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    training = task(config("text", first_stage), tmp_path, cache)
    training.update(0, 1e-3)
    state = copy.deepcopy(training.state_dict())
    after = training.update(1, 1e-3)
    (tmp_path / "again").mkdir()
    again = task(config("text", first_stage), tmp_path / "again", cache)
    for part in ("model", "average"):
        named = state[part].items()  # type: ignore[attr-defined]
        state[part] = {n.replace("networks.cond_stage_model.", "conditioner."): t for n, t in named}
    assert any(name.startswith("conditioner.") for name in state["model"])  # type: ignore[attr-defined]
    again.load_state_dict(state)
    assert again.update(1, 1e-3) == after


@pytest.mark.parametrize(
    ("kind", "dropout"), [("several", {"known_region": 1.0}), ("drawn label map", {"label_map": 0.2})]
)
def test_a_label_map_decides_the_picture(
    kind: str, dropout: dict[str, float], first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    """The model is asked for two maps, each the other upside down: its noise estimate has to follow them."""
    training = task(config(kind, first_stage, dropout=dropout), tmp_path, cache)
    for step in range(120):
        training.update(step, 2e-3)
    training.export(tmp_path / "out")
    model = load_model(tmp_path / "out")
    assert isinstance(model, LatentDiffusion)
    scenes = [data.render("train", i, 64) for i in range(16)]
    z = model.encode(data.to_tensor(np.stack([s.image for s in scenes])))
    # Where the model draws a label map as well, that part is noise alone.
    noise = torch.randn(16, model.spec.latent_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    z = torch.cat([z, torch.zeros(16, noise.shape[1] - 4, 8, 8)], dim=1)
    t = torch.full((16,), 600)
    alpha, sigma = model.schedule.alpha_sigma(t)

    def error(upside_down: bool) -> float:
        maps = [torch.from_numpy(s.labels[::-1].copy() if upside_down else s.labels) for s in scenes]
        condition = model.condition([Inputs(label_map=labels) for labels in maps], (8, 8))
        difference = model.eps(alpha * z + sigma * noise, t, condition) - noise
        return float(difference[:, :4].pow(2).mean())

    assert error(upside_down=False) < 0.95 * error(upside_down=True)


@pytest.mark.parametrize(("kind", "dropped"), [("several", "boxes"), ("drawn label map", "prompt")])
def test_errors_count_by_what_is_given(
    kind: str, dropped: str, first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    """The same first step gives another loss where there is a hole or a label map, and there alone."""

    def loss(dropout: dict[str, float], focus: bool) -> float:
        folder = tmp_path / f"{len(dropout)} {focus}"
        folder.mkdir()
        training = task(config(kind, first_stage, dropout=dropout, focus=focus), folder, cache)
        return training.update(0, 0.0)["loss"]

    given, nothing = {dropped: 1.0}, dict.fromkeys(KINDS[kind][2], 1.0)
    assert loss(given, focus=True) != loss(given, focus=False)
    assert loss(nothing, focus=True) == loss(nothing, focus=False)


def test_holes_that_are_kept_say_what_is_known_beside_them(
    first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    training = task(config("several", first_stage, holes=2), tmp_path, cache)
    assert np.isfinite(training.update(0, 1e-3)["loss"])
    assert isinstance(training, DiffusionTraining)
    (one,) = training.batches.sets
    assert one.known is not None and one.known.shape == (16, 2, 5, 8, 8)
    z, share = one.known[:, :, :4].float(), one.known[:, :, 4:]
    assert not torch.equal(share[:, 0], share[:, 1])  # two holes
    far = F.max_pool2d(1 - share.flatten(0, 1).float(), 5, stride=1, padding=2).unflatten(0, (16, 2)) == 0
    error = (z - one.latents[:, None].float()).abs()
    assert error[far.expand_as(z)].mean() < 0.3 * error[(share == 0).expand_as(z)].mean()
    kept = list(cache.glob("known-2-*"))
    again = task(config("several", first_stage, holes=2), tmp_path, cache)
    assert len(kept) == 1 and kept == list(cache.glob("known-2-*"))
    assert again.update(0, 1e-3) == task(config("several", first_stage, holes=2), tmp_path, cache).update(
        0, 1e-3
    )


def test_two_experts_share_the_timesteps(first_stage: Path, tmp_path: Path, cache: Path) -> None:
    def trained(name: str, described: dict[str, Any]) -> LatentDiffusion:
        (tmp_path / name).mkdir()
        training = task(described, tmp_path / name, cache)
        losses = [training.update(step, 2e-3)["loss"] for step in range(30)]
        assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
        training.export(tmp_path / name / "out")
        model = load_model(tmp_path / name / "out")
        assert isinstance(model, LatentDiffusion)
        return model

    early = config("drawn label map", first_stage, timesteps=[400, 1000])
    alone = trained("early", early)
    late = config(
        "drawn label map",
        first_stage,
        timesteps=[0, 400],
        trains="refiner",
        initial=str(tmp_path / "early" / "out"),
    )
    late["model"]["params"]["refiner"] = {
        "below": 400,
        "unet_config": copy.deepcopy(late["model"]["params"]["unet_config"]),
    }
    both = trained("late", late)

    x, t = torch.randn(2, 9, 8, 8), torch.tensor([399, 400])
    told = both.condition([Inputs(prompt="a lake")] * 2, (8, 8))
    out = both.output(x, t, told)
    assert both.model.refiner is not None and told.context is not None
    refined = both.model.refiner(x[:1], t[:1], told.context[:1])
    torch.testing.assert_close(out[:1], refined.detach(), rtol=1e-4, atol=1e-5)
    # Neither the first expert nor the text transformer that they share has changed.
    first = alone.output(x, t, alone.condition([Inputs(prompt="a lake")] * 2, (8, 8)))
    torch.testing.assert_close(out[1], first[1], rtol=1e-4, atol=1e-5)
    assert (out[0] - first[0]).abs().max() > 1e-2


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_files_in_assets_say_all_that_a_training_needs(path: Path) -> None:
    config = yaml.safe_load(path.read_text("utf-8"))
    kind = {"diffusion": DiffusionSettings, "first-stage": FirstStageSettings}.get(
        config["kind"], SceneNetworkSettings
    )
    settings = cli.settings_from(kind, config["training"], "training")
    loop = cli.settings_from(LoopSettings, config["loop"], "loop")
    assert loop.rate(0) > 0 and loop.steps > loop.warmup
    if "model" not in config:
        return
    spec = read_config(path).spec
    assert isinstance(settings, DiffusionSettings) == isinstance(spec, ModelSpec)
    if isinstance(settings, DiffusionSettings) and isinstance(spec, ModelSpec) and spec.refiner:
        assert settings.trains == "refiner" and settings.timesteps == (0, spec.refiner.below)


def test_a_refiner_needs_the_model_that_it_refines(first_stage: Path, tmp_path: Path, cache: Path) -> None:
    late = config("text", first_stage, timesteps=[0, 400], trains="refiner")
    unet = late["model"]["params"]["unet_config"]
    late["model"]["params"]["refiner"] = {"below": 400, "unet_config": copy.deepcopy(unet)}
    with pytest.raises(ConfigError, match="initial"):
        task(late, tmp_path, cache)


@pytest.mark.parametrize("settings", [{"accumulate": 2}, {"checkpointing": True}])
def test_saving_memory_changes_nothing(
    settings: dict[str, object], first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    def losses(name: str, **changed: object) -> list[float]:
        (tmp_path / name).mkdir()
        training = task(config("text", first_stage, **changed), tmp_path / name, cache)
        return [training.update(step, 1e-3)["loss"] for step in range(3)]

    # bfloat16 rounds differently in batches of another size.
    np.testing.assert_allclose(losses("saving", **settings), losses("plain"), rtol=5e-3)


def test_two_processes_give_the_loss_of_one_with_the_double_batch(
    first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    def run(name: str, processes: int, batch_size: int) -> float:
        described = config("text", first_stage, batch_size=batch_size) | {
            "loop": LOOP | {"steps": 3, "log_every": 3}
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(described), "utf-8")
        command = [
            "-c", "import sys; from ldm_core.training.cli import main; main(sys.argv[1:])",
        ] if processes == 1 else [
            "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--master-port=29611",
            "-m", "ldm_core.training",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, *command, str(path), "--out", str(tmp_path / name), "--cache", str(cache),
             "--device", "cpu", "--threads", "1"],
            capture_output=True, text=True, check=False, timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        assert (tmp_path / name / "model.safetensors").is_file()
        return float(re.findall(r"loss=([0-9.]+)", done.stderr)[-1])

    assert run("two", 2, 4) == pytest.approx(run("one", 1, 8), rel=5e-3)


def test_dropout_of_what_a_model_cannot_do_without_is_refused(
    first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(ConfigError, match="low_res"):
        task(config("low resolution", first_stage, dropout={"low_res": 0.1}), tmp_path, cache)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A person's folder: two scenes of other sizes, one with everything and one with nothing."""
    own = tmp_path / "own"
    own.mkdir()
    scene = data.render("unseen", 5, 96)
    Image.fromarray(scene.image).resize((160, 96)).save(own / "first.jpg")
    Image.fromarray(scene.labels).save(own / "first.labels.png")
    (own / "first.txt").write_text("an own lake\nwater\n", "utf-8")
    Image.fromarray(scene.image).save(own / "second.png")
    box = {"class": "house", "x": 0.4, "y": 0.5, "width": 0.2, "height": 0.25}
    told = {"file_name": "first.jpg", "class_id": 7, "boxes": [box]}
    (own / "metadata.jsonl").write_text(json.dumps(told) + "\n", "utf-8")
    return own


def test_a_folder_is_read_with_what_lies_beside_its_pictures(folder: Path, tmp_path: Path) -> None:
    source = FolderSource.read(folder, 64, tuple(BOXES))
    arrays = cached(source, tmp_path / "cache", 1)
    assert arrays.images.shape == (2, 64, 64, 3)
    assert (arrays.labels[0] < len(CLASSES)).all()
    assert (arrays.labels[1] == NOTHING).all()
    # Of 160 x 96 pixels the central 96 x 96 are left: x grows by 160 / 96 around the centre.
    np.testing.assert_allclose(arrays.boxes[0, 0], [3, 1 / 3, 0.5, 2 / 3, 0.75], atol=1e-6)
    assert (arrays.boxes[1] == -1).all()
    rng = np.random.default_rng(0)
    assert {source.caption(0, rng, full=False) for _ in range(20)} == {"an own lake", "water"}
    assert source.caption(1, rng, full=False) == ""
    assert source.class_id(0) == 7
    assert set(source.vocabulary()) == {"an", "own", "lake", "water"}


def test_a_model_is_trained_on_a_folder(folder: Path, first_stage: Path, tmp_path: Path, cache: Path) -> None:
    training = task(config("text", first_stage, data=[], folder=str(folder), size=64), tmp_path, cache)
    losses = [training.update(step, 2e-3)["loss"] for step in range(40)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.jsonl", b"{nonsense", "metadata.jsonl, line 1"),
        ("metadata.jsonl", b'{"file_name": "first.jpg", "boxes": [{"class": "sun"}]}', "first.jpg is wrong"),
        ("first.jpg", b"no picture", "first.jpg is no picture that can be opened"),
    ],
)
def test_a_damaged_folder_is_named(
    name: str, content: bytes, message: str, folder: Path, tmp_path: Path
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(FileError, match=message):
        cached(FolderSource.read(folder, 64), tmp_path / "cache", 1)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no picture"):
        FolderSource.read(tmp_path, 64)


def test_masks_are_of_many_shapes_and_leave_something() -> None:
    rng = np.random.default_rng(0)
    masks = np.stack([random_mask(rng, 64, 96) for _ in range(200)])
    shares = masks.mean((1, 2))
    assert set(np.unique(masks)) == {0, 1}
    assert shares.min() > 0.002 and shares.max() < 0.95
    assert shares.std() > 0.1


def test_degradation_makes_a_smaller_and_worse_picture() -> None:
    scene = data.render("unseen", 3, 128).image
    rng = np.random.default_rng(0)
    small = np.stack([degrade(scene, 4, rng) for _ in range(20)])
    assert small.shape == (20, 32, 32, 3)
    exact = scene.reshape(32, 4, 32, 4, 3).mean((1, 3))
    errors = np.abs(small - exact).mean((1, 2, 3))
    assert errors.max() > 2 * errors.min()  # never twice the same
    assert errors.max() < 25  # of 255: still the same picture


def test_varied_crops_are_of_scenes_and_half_of_them_untouched() -> None:
    source = VariedSource("train", 32, 24)
    rows = [source.row(i) for i in range(len(source))]
    untouched = 0
    for i, (image, labels, boxes) in enumerate(rows):
        assert image.shape == (32, 32, 3) and image.dtype == np.uint8
        assert (labels == NOTHING).all() and (boxes[:, 0] == -1).all()
        windows = np.lib.stride_tricks.sliding_window_view(data.render("train", i, 64).image, (32, 32, 3))
        untouched += bool((windows == image).all((-3, -2, -1)).any())
    assert 6 <= untouched <= 18
    again = source.row(3)[0]
    assert (again == rows[3][0]).all()


def test_words_keep_their_places(first_stage: Path, tmp_path: Path, cache: Path) -> None:
    """A training that goes on has the vocabulary it began with; another model's words keep their ids."""
    one, two, before = (tmp_path / name for name in ("one", "two", "before"))
    for folder in (one, two, before):
        folder.mkdir()
    task(config("text", first_stage), one, cache).export(before)
    begun = one / "out" / "vocab.txt"
    words = begun.read_text("utf-8").splitlines()
    begun.write_text("\n".join([*words[:100], "zeppelin"]) + "\n", "utf-8")
    task(config("text", first_stage), one, cache)
    assert begun.read_text("utf-8").splitlines() == [*words[:100], "zeppelin"]

    other = [*words[:4], *reversed(words[4:]), "zeppelin"]
    (before / "vocab.txt").write_text("\n".join(other[:-50]) + "\n", "utf-8")
    task(config("text", first_stage, initial=str(before)), two, cache)
    after = (two / "out" / "vocab.txt").read_text("utf-8").splitlines()
    assert after[: len(other) - 50] == other[:-50] and sorted(after) == sorted(words)
