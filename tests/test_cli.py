"""The command line: pictures without a page, and what the other commands print."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.commands import cli
from app.commands.doctor import report
from app.commands.generate import event_json, with_changes
from app.keeping.metadata import read_settings
from ldm_core.engine.events import PictureDone
from ldm_core.errors import RequestError
from ldm_core.request import TextToImage
from tests.carrying import saved, with_exif
from tests.tiny import write_model

ROOT = Path(__file__).resolve().parent.parent
REQUEST = {
    "task": "text-to-image",
    "prompt": "a lake at sunset, zeppelin",
    "width": 64,
    "height": 64,
    "steps": 4,
    "seed": 3,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    return folder


def generate(source: Path, out: Path, models: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ATELIER_MODELS": str(models), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "app.commands.cli", "generate", str(source), "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


def pixels(path: Path) -> bytes:
    with Image.open(path) as picture:
        return np.asarray(picture).tobytes()


def result(done: subprocess.CompletedProcess[str]) -> list[Path]:
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert set(last) == {"images", "seconds"}
    return [Path(path) for path in last["images"]]


def test_the_same_request_and_the_saved_picture_give_the_same_pixels(tmp_path: Path, models: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(REQUEST))
    done = generate(request, tmp_path / "one", models, "--set", "batch_size=2")
    assert "This model never learnt “zeppelin”." in done.stderr.splitlines()
    first = result(done)
    assert len(first) == 2
    second = result(generate(request, tmp_path / "two", models))
    assert pixels(first[0]) == pixels(second[0])
    assert pixels(first[0]) != pixels(first[1])
    # The second picture of the batch, made again alone from its file.
    again = result(generate(first[1], tmp_path / "three", models))
    assert pixels(again[0]) == pixels(first[1])
    settings = read_settings(again[0])
    assert (settings.request.seed, settings.request.batch_size) == (4, 1)
    assert settings.model_sha256


def test_a_picture_of_another_program_is_made_again_as_far_as_it_says(tmp_path: Path, models: Path) -> None:
    text = (
        "a lake at sunset\nNegative prompt: fog\nSteps: 4, Sampler: Euler a, Schedule type: Beta, Seed: 3, "
        "Model: Land_Scapes, Clip skip: 2, Size: 9000x64"
    )
    source = tmp_path / "theirs.jpg"
    source.write_bytes(with_exif("JPEG", comment=b"UNICODE\0" + text.encode("utf-16-be")))
    done = generate(source, tmp_path / "out", models, "--set", "height=96")
    request = read_settings(result(done)[0]).request
    assert (request.prompt, request.negative_prompt, request.sampler) == (
        "a lake at sunset", "fog", "euler_ancestral",
    )  # fmt: skip
    assert (request.model, request.seed, request.size) == ("landscapes", 3, (64, 96))
    assert request.clip_skip == 2
    for words in ("'Beta' is not known here", "9000 × 64", "width 64", "Seed: 3"):
        assert words in done.stderr


def test_a_seed_is_drawn_and_said(tmp_path: Path, models: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({**REQUEST, "seed": -1}))
    done = generate(request, tmp_path / "out", models)
    seed = read_settings(result(done)[0]).request.seed
    assert f"Seed: {seed}\n" in done.stderr


def test_pictures_without_settings_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for format in ("PNG", "JPEG", "WEBP", "AVIF"):
        file = tmp_path / f"plain.{format.lower()}"
        file.write_bytes(saved(format))
        assert cli.main(["generate", str(file)]) == 2
        assert "carries no settings that are understood" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"task": "text-to-image", "width": 7}', "width is 7"),
        ('{"task": "text-to-image", "model": "none"}', "no model 'none'"),
        ('{"task": "text-to-image", "steps": NaN}', "NaN"),
        ("hello", "not JSON"),
    ],
)
def test_wrong_requests_give_one_sentence(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    request = tmp_path / "request.json"
    request.write_text(text)
    status = cli.main(["generate", str(request), "--out", str(tmp_path / "out"), "--models-dir", str(models)])
    output = capsys.readouterr()
    assert status in (1, 2)
    assert sentence in output.err
    assert "Traceback" not in output.err
    assert output.out == ""
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["generate", str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read" in capsys.readouterr().err


def test_changes() -> None:
    request = with_changes(
        TextToImage(prompt="x"), ["steps=50", "prompt=12", "eta=0.5", "negative_prompt=a=b"]
    )
    assert (request.steps, request.prompt, request.eta, request.negative_prompt) == (50, "12", 0.5, "a=b")
    for change in ("steps", "steps=many", "colour=red", "seed=-2", "steps=true"):
        with pytest.raises(RequestError):
            with_changes(TextToImage(), [change])


def test_programs_are_told_of_a_picture() -> None:
    done = PictureDone(1, np.zeros((8, 8, 3), np.uint8), TextToImage(seed=7))
    told = event_json(done, ["first.png", "second.png"])
    assert told == {"event": "picture", "image": 1, "path": "second.png", "seed": 7}


def test_generating_imports_no_gradio() -> None:
    code = (
        "import sys; sys.modules['gradio'] = None\n"
        "import app.commands.cli, app.commands.generate, app.commands.doctor\n"
        "import app.keeping.metadata, app.keeping.library, app.studio.jobs, ldm_core.engine.engine"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_page_is_built_without_torch() -> None:
    code = (
        "import sys\n"
        "import app.commands.cli, app.studio.jobs\n"
        "import app.web.server, app.web.page, app.web.guard, app.web.theme\n"
        "heavy = ('torch', 'transformers', 'cv2', 'ldm_core.engine.engine')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_doctor_names_what_matters_and_no_person(models: Path) -> None:
    text = report([str(models)], "cpu")
    for word in ("Python: 3.", "torch: 2.", "device: cpu", "memory:", "number format:", "landscapes: Tiny"):
        assert word in text
    assert str(Path.home()) not in text
    assert str(models) not in text
    assert getpass.getuser() not in text.replace("root", "") or getpass.getuser() == "root"


def test_the_list_of_models(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--models-dir", str(models)]) == 0
    assert "landscapes: Tiny" in capsys.readouterr().out


def test_a_wrong_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--port", "70000"])
    assert "1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "export", "evaluate"])
def test_long_commands_say_in_a_sentence_what_is_wrong(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.yaml").write_text("[1, 2]", "utf-8")
    folder = str(tmp_path)
    rest = {"train": ["--out", folder], "export": [folder, folder], "evaluate": []}
    assert cli.main([command, str(tmp_path / "wrong.yaml"), *rest[command]]) == 1
    told = capsys.readouterr().err.strip()
    assert told and "\n" not in told and "Traceback" not in told
