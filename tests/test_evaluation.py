"""The evaluation of each task, with networks that know nothing: figures are there and mean what they say."""

from __future__ import annotations

import json
import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from ldm_core import scenes
from ldm_core.conditioners import Inputs
from ldm_core.diffusion.guidance import Guidance
from ldm_core.engine.sample import sample
from ldm_core.errors import AtelierError, ModelFileError, RequestError
from ldm_core.evaluation import cli, objects
from ldm_core.evaluation.compare import Judges
from ldm_core.evaluation.evaluate import EVALUATIONS
from ldm_core.evaluation.inception import read_inception
from ldm_core.evaluation.unseen import Settings, unseen_scenes
from ldm_core.formats import load_model
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.training.scene_network import SceneNetwork
from tests import tiny
from tests.test_training import first_stage_config, train
from tests.training_kinds import config, task

SETTINGS = Settings(count=8, size=64, steps=2, guidance_scale=2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that takes every condition of ours, and one for super-resolution."""
    folder = tmp_path_factory.mktemp("models")
    first_stage = train(first_stage_config(1), folder, folder / "cache", "first-stage")
    for kind in ("several", "low resolution", "class", "unconditional"):
        (folder / kind).mkdir()
        task(config(kind, first_stage), folder / kind, folder / "cache").export(folder / kind / "out")
    torch.manual_seed(0)
    weights = {name: t.contiguous() for name, t in SceneNetwork().state_dict().items()}
    save_file(weights, folder / "judge.safetensors")
    return folder


def loaded(path: Path) -> LatentDiffusion:
    model = load_model(path)
    assert isinstance(model, LatentDiffusion)
    return model


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [
        (
            "several",
            "text-to-image",
            {
                "judge_on_scenes_mean",
                "shown_mean",
                "shown_building",
                "scene_recall",
                "found",
                "judge_on_scenes_found_tree",
                "invented",
                "sharpness_1",
                "sharpness_4",
                "variety",
            },
        ),
        ("several", "semantic", {"judge_on_scenes_miou", "miou", "found_tree", "sharpness_1"}),
        ("several", "layout", {"judge_on_scenes_box_recall", "box_recall", "found_tree", "sharpness_1"}),
        (
            "several",
            "inpaint",
            {
                "preferred_to_telea",
                "seam",
                "border_error",
                "ssim",
                "psnr_db",
                "scene_frechet_distance",
                "other_objects_preferred_to_telea",
                "other_details_preferred_to_telea",
            },
        ),
        ("low resolution", "super-resolution", {"psnr_db", "psnr_of_bicubic_db"}),
        ("class", "class", {"scene_frechet_distance", "scene_recall"}),
        ("unconditional", "unconditional", {"scene_frechet_distance", "scene_precision"}),
    ],
)
def test_each_task_has_its_figures(kind: str, name: str, wanted: set[str], folder: Path) -> None:
    judges = Judges(SceneNetwork().eval())
    report = EVALUATIONS[name](loaded(folder / kind / "out"), judges, SETTINGS)
    assert wanted <= set(report.figures)
    assert all(np.isfinite(value) for value in report.figures.values())
    assert report.sheet.dtype == np.uint8
    assert report.sheet.shape[1] == 8 * 64


class Inception:
    """In place of torch-fidelity's: a picture's mean colours as its features."""

    def __init__(self, name: str, features: list[str], feature_extractor_weights_path: Path) -> None:
        assert features == ["2048"]
        # It was written by ourselves from what was read safely, so its pickle is harmless.
        self.scale = torch.load(feature_extractor_weights_path, weights_only=True)["fc.weight"]

    def __call__(self, pictures: torch.Tensor) -> tuple[torch.Tensor]:
        assert pictures.dtype == torch.uint8 and pictures.shape[1:] == (3, 64, 64)
        return (pictures.float().mean((2, 3)) * self.scale,)


def test_the_fid_is_measured_where_its_network_is_given(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({"fc.weight": torch.ones(3)}, tmp_path / "inception.pth")
    module = "torch_fidelity.feature_extractor_inceptionv3"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(AtelierError, match="torch-fidelity, which is not installed"):
        read_inception(tmp_path / "inception.pth")
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(FeatureExtractorInceptionV3=Inception))
    features = read_inception(tmp_path / "inception.pth")
    judges = Judges(SceneNetwork().eval(), inception=features)
    report = EVALUATIONS["unconditional"](loaded(folder / "unconditional" / "out"), judges, SETTINGS)
    assert np.isfinite(report.figures["fid"]) and report.figures["fid"] > 1
    save_file({"other": torch.ones(3)}, tmp_path / "inception.pth")
    with pytest.raises(ModelFileError, match="does not hold the weights of Inception"):
        read_inception(tmp_path / "inception.pth")


def test_the_command_writes_figures_and_sheets(folder: Path, tmp_path: Path) -> None:
    options = ["--count", "8", "--size", "64", "--steps", "2", "--judge", str(folder / "judge.safetensors")]
    cli.main([str(folder / "several" / "out"), "--out", str(tmp_path), "--task", "layout", *options])
    figures = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert set(figures) == {"layout"}
    assert 0 <= figures["layout"]["box_recall"] <= 1
    assert Image.open(tmp_path / "out-layout.png").width == 8 * 64
    with pytest.raises(RequestError, match=r"one that this model is measured at: .*layout"):
        cli.main([str(folder / "several" / "out"), "--task", "super-resolution", *options])


def test_things_are_found_where_they_were_asked_for() -> None:
    rendered = unseen_scenes(replace(SETTINGS, count=24, size=128, look="poster"))
    labels = np.stack([scene.labels for scene in rendered])
    classes = len(scenes.CLASSES)
    empty = np.zeros_like(labels)
    for found in (objects.by_prompt, objects.by_map, objects.by_box):
        shares = objects.shares_found(rendered, labels, found, classes)
        assert {"found_tree", "found_house", "found_sun"} <= set(shares)
        assert ("found_palm" in shares) == (found is not objects.by_box)  # a palm's box says tree
        assert min(shares.values()) > 0.9
        assert objects.shares_found(rendered, empty, found, classes)["found"] == 0
        # A judge that knows fewer classes is not asked about the others.
        assert "found_palm" not in objects.shares_found(rendered, labels, found, 14)
    moved = np.roll(labels, 64, axis=2)  # elsewhere in the picture
    assert objects.shares_found(rendered, moved, objects.by_prompt, classes)["found"] > 0.9
    assert objects.shares_found(rendered, moved, objects.by_box, classes)["found_house"] < 0.2
    assert objects.invented(rendered, labels, classes) == 0
    assert objects.invented(rendered, labels[::-1], classes) > 0.05


def test_seeds_choose_the_scenes(folder: Path, tmp_path: Path) -> None:
    one, other = (unseen_scenes(replace(SETTINGS, count=2, first=first)) for first in (0, 1))
    assert np.array_equal(one[1].image, other[0].image)
    options = [
        "--size",
        "64",
        "--steps",
        "1",
        "--judge",
        str(folder / "judge.safetensors"),
        "--look",
        "poster",
    ]
    model = str(folder / "unconditional" / "out")
    cli.main([model, "--out", str(tmp_path), "--seeds", "3:6", *options])
    figures = json.loads((tmp_path / "out.json").read_text("utf-8"))["unconditional"]
    assert (figures["pictures"], figures["first"]) == (3, 3)
    for wrong in ("3", "6:3", "a:b"):
        with pytest.raises(SystemExit):
            cli.main([model, "--seeds", wrong, *options])


def test_a_model_draws_as_its_description_says(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "class" / "out", tmp_path / "own")
    config = yaml.safe_load((tmp_path / "own" / "config.yaml").read_text("utf-8"))
    config["atelier"] = {"steps": 3, "guidance_scale": 1.5, "guidance_end": 0.5}
    (tmp_path / "own" / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    options = ["--count", "8", "--size", "64", "--judge", str(folder / "judge.safetensors")]
    cli.main([str(tmp_path / "own"), "--out", str(tmp_path), "--guidance-scale", "2", *options])
    figures = json.loads((tmp_path / "own.json").read_text("utf-8"))["class"]
    assert (figures["steps"], figures["guidance_scale"], figures["guidance_end"]) == (3, 2, 0.5)


def test_guidance_ends_where_it_is_said(tmp_path: Path) -> None:
    model = loaded(tiny.write_model(tmp_path))

    def drawn(scale: float, end: float) -> torch.Tensor:
        given, size = [Inputs(prompt="a lake at sunset")], tiny.SPEC.first_stage.resolution
        guidance = Guidance(scale, end=end)
        return sample(model, given, height=size, width=size, steps=4, guidance=guidance, seeds=[0])

    assert torch.equal(drawn(3.0, 0.0), drawn(1.0, 1.0))
    partly = drawn(3.0, 0.5)
    assert not torch.equal(partly, drawn(3.0, 1.0)) and not torch.equal(partly, drawn(1.0, 1.0))


@pytest.mark.parametrize(
    "change", [{"count": 0}, {"count": 1}, {"size": 0}, {"steps": 0}, {"guidance_end": 2.0}, {"steps": 10**9}]
)
def test_numbers_out_of_range_are_refused(change: dict[str, float]) -> None:
    (name,) = change
    with pytest.raises(RequestError, match=f"{name}.*from"):
        replace(SETTINGS, **change)  # type: ignore[arg-type]
