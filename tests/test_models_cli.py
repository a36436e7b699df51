"""`launch.py models`: listing, adding and removing, only ever inside our own folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.commands import cli
from app.keeping.shelf import Shelf
from ldm_core.errors import FileError
from ldm_core.library.models import ModelLibrary
from tests.hub_server import COMMIT, REPOSITORY, Hub, serving
from tests.tiny import write_model


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our own folder; an empty one."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("ATELIER_MODELS", str(folder))
    monkeypatch.setenv("ATELIER_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("builtins.input", lambda question: "n")
    return folder


def run(*arguments: str) -> int:
    return cli.main(["models", *arguments])


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert run("--json", *arguments) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_the_list_and_everything_about_one(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0 and "no model" in capsys.readouterr().out
    path = write_model(own)
    write_model(tmp_path / "shared" / "deep", name="other")
    digest = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    rows = listed(capsys, "--models-dir", str(tmp_path / "shared"))
    assert set(rows) == {"landscapes", "other"}
    row = rows["landscapes"]
    assert (row["title"], row["usable"]) == ("Tiny", True) and "text-to-image" in row["tasks"]
    assert (row["sha256"], row["autov2"], row["precision"]) == (digest, digest[:10], "float16")
    assert row["size"] == (path / "model.safetensors").stat().st_size
    assert run() == 0
    line = capsys.readouterr().out
    assert line.startswith("landscapes: Tiny · ")
    assert "text-to-image, unconditional · 2.7 MB · float16 · " in line
    assert run("info", "other", "--models-dir", str(tmp_path / "shared")) == 0
    assert "licence: MIT" in capsys.readouterr().out
    assert run("info", "nothing") == 1
    assert "There is no model 'nothing'" in capsys.readouterr().err


def test_a_folder_is_copied_without_programs(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "elsewhere")
    (model / "pipeline.py").write_text("raise SystemExit")
    assert run("add", str(model)) == 0
    assert "Added as landscapes" in capsys.readouterr().out
    copied = {path.name for path in (own / "landscapes").iterdir()}
    assert copied == {"model.safetensors", "config.yaml", "vocab.txt"}
    assert run("add", str(model)) == 1
    assert "There is a landscapes in own" in capsys.readouterr().err
    assert [path.name for path in own.iterdir()] == ["landscapes"]


@pytest.mark.parametrize("link", [True, False])
def test_a_file_and_its_description(
    own: Path, tmp_path: Path, link: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "elsewhere")
    file = (model / "model.safetensors").rename(tmp_path / "photo.safetensors")
    (model / "config.yaml").rename(tmp_path / "photo.yaml")
    assert run("add", str(file), *(["--link"] if link else [])) == 0
    assert (own / "photo.safetensors").is_symlink() is link
    assert listed(capsys)["photo"]["usable"] is True
    assert run("remove", "photo") == 1 and (own / "photo.safetensors").exists()  # the answer was no
    assert run("remove", "photo", "--yes") == 0
    assert list(own.iterdir()) == [] and file.exists()


def test_what_is_no_model_is_not_added(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(2, 2)}, tmp_path / "style.safetensors")
    (tmp_path / "cut.ckpt").write_bytes(b"PK\x03\x04")
    for name, words in (
        ("style.safetensors", "or incomplete, at lora_unet_x (up)"),
        ("cut.ckpt", "cannot be loaded"),
    ):
        assert run("add", str(tmp_path / name)) == 1
        assert words in capsys.readouterr().err
    assert list(own.iterdir()) == []


def test_a_copy_that_finds_no_room_leaves_nothing(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "elsewhere")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(FileError, match="No space left"):
        Shelf(ModelLibrary([own]), own).add(model)
    assert list(own.iterdir()) == []


def test_only_what_lies_in_our_own_folder_is_removed(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "shared"
    write_model(shared, name="theirs")
    write_model(shared, name="linked")
    (own / "way in").symlink_to(shared)
    (own / "one").symlink_to(shared / "linked")
    rows = listed(capsys, "--models-dir", str(tmp_path / "other"))
    behind = next(name for name, row in rows.items() if str(row["path"]).endswith("way in/theirs"))
    assert run("remove", behind, "--yes") == 1
    assert "does not lie in own/ itself" in capsys.readouterr().err
    assert run("remove", "one", "--yes") == 0 and not (own / "one").exists()  # a link goes, its model stays
    assert run("remove", "../shared/theirs", "--yes") == 1
    assert {path.name for path in shared.iterdir()} == {"theirs", "linked"}
    bundled = ["remove", "theirs", "--yes", "--models-dir", str(shared)]
    (own / "way in").unlink()
    assert run(*bundled) == 1 and (shared / "theirs").exists()


def test_removing_spares_other_models_in_the_same_folder(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(own, name="box")
    write_model(own / "box", name="inner")
    assert run("remove", "box", "--yes") == 0
    assert set(listed(capsys)) == {"inner"}


def test_fetching_names_the_licence_first(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path.name: path.read_bytes() for path in write_model(tmp_path / "hub").iterdir()}
    with serving(Hub(files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        assert run("add", REPOSITORY, "--yes") == 0
        out = capsys.readouterr().out
        assert out.index("Licence: mit") < out.index("Fetched into own/skies")
        hub.status = {"main": 404}
        assert run("add", REPOSITORY, "--yes") == 1
        assert "There is no painter/skies" in capsys.readouterr().err
    row = listed(capsys)["skies"]
    assert (row["source"], row["usable"]) == (f"{REPOSITORY}@{COMMIT}", True)
    assert run("remove", "skies", "--yes") == 0 and list(own.iterdir()) == []
