"""Every task on the bundled models: a picture's PNG makes the same pixels again, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.commands import cli
from app.keeping.metadata import read_settings
from ldm_core.bundled import BUNDLED_MODELS
from ldm_core.library.class_names import class_names, picture_classes
from ldm_core.library.models import ModelLibrary
from ldm_core.request import TASKS

SKY, WATER = (class_names("scenes").index(name) for name in ("sky", "water"))
SIDE = 128
BOX = {"class": "house", "x": 0.2, "y": 0.5, "width": 0.3, "height": 0.3}


def fields_of(task: str) -> dict[str, object]:
    match task:
        case "image-to-image":
            return {"image": "image.png"}
        case "inpaint" | "remove":
            return {"image": "image.png", "mask": "mask.png"}
        case "outpaint":
            return {"image": "image.png", "left": 32, "bottom": 32}
        case "super-resolution":
            return {"image": "small.png"}
        case "semantic":
            return {"label_map": "labels.png", "second_pass": 0.5}
    size = {"width": SIDE, "height": SIDE}
    match task:
        case "layout":
            return {**size, "boxes": [BOX]}
        case "class":
            return {**size, "class_name": picture_classes(ModelLibrary().info("landscapes").spec)[0]}
    return size


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    labels = np.full((SIDE, SIDE), SKY, np.uint8)
    labels[SIDE // 2 :] = WATER
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[40:90, 40:90] = 255
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    files = {"image": picture, "small": picture[:48, :64], "mask": mask, "labels": labels}
    for name, pixels in files.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def generated(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    capsys.readouterr()
    assert cli.main(["generate", str(source), "--out", str(out)]) == 0
    (path,) = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
    return Path(path)


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("task", TASKS)
def test_a_picture_s_png_makes_it_again(
    task: str,
    inputs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATELIER_MODELS", str(BUNDLED_MODELS))
    request = inputs / f"{task}.json"
    words = {} if task in ("class", "unconditional") else {"prompt": "a lake at noon"}
    request.write_text(json.dumps({"task": task, "steps": 3, "seed": 5, **words, **fields_of(task)}))
    first = generated(request, tmp_path / "first", capsys)
    again = generated(first, tmp_path / "again", capsys)
    made = pixels_of(first)
    settings = read_settings(first)
    assert settings.request.task == task
    assert bool(settings.model_sha256) == (task != "remove")  # which no model makes
    assert made.shape[1::-1] == settings.request.size and made.std() > 5
    assert np.array_equal(made, pixels_of(again))
