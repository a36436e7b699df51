"""Finding and loading models."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ldm_core.errors import ConfigError, ModelError, ModelFileError, ModelNotFound
from ldm_core.library.models import ModelLibrary
from tests import tiny

HOW = {"device": "cpu", "dtype": torch.float32}


def test_names_and_info(tmp_path: Path) -> None:
    library = ModelLibrary([tmp_path, tmp_path / "not there"])
    assert library.names() == ()
    with pytest.raises(ModelNotFound, match="Models: none"):
        library.info("landscapes")
    path = tiny.write_model(tmp_path)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "file").write_text("x")
    library.scan()
    assert library.names() == ("landscapes",)  # seen without a restart
    info = library.info("landscapes")
    assert (info.title, info.licence, info.path, info.size_multiple) == ("Tiny", "MIT", path, 16)
    assert info.spec == tiny.SPEC
    assert (info.defaults.model, info.defaults.width, info.defaults.steps) == ("landscapes", 64, 5)


def test_the_first_folder_counts(tmp_path: Path) -> None:
    first = tiny.write_model(tmp_path / "a")
    tiny.write_model(tmp_path / "b", seed=1)
    other = tiny.write_model(tmp_path / "b", seed=1, name="other")
    library = ModelLibrary([tmp_path / "a", tmp_path / "b"])
    assert library.names() == ("landscapes", "landscapes (b)", "other")
    assert library.info("landscapes").path == first
    assert library.info("other").path == other


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc/passwd", "../landscapes", "landscapes/", "LANDSCAPES", "x" * 9999]
)
def test_names_are_looked_up_never_opened(tmp_path: Path, name: str) -> None:
    tiny.write_model(tmp_path / "models")
    with pytest.raises(ModelNotFound, match="Models: landscapes") as caught:
        ModelLibrary([tmp_path / "models"]).load(name, **HOW)
    assert len(str(caught.value)) < 200 and str(tmp_path) not in str(caught.value)


def test_loading_is_cached_until_the_files_change(tmp_path: Path) -> None:
    path = tiny.write_model(tmp_path)
    library = ModelLibrary([tmp_path])
    model = library.load("landscapes", **HOW)
    assert library.load("landscapes", **HOW) is model
    assert model.tokenizer is not None and model.dtype == torch.float32
    os.utime(path / "model.safetensors", (1, 1))
    assert library.loaded("landscapes", **HOW) is None
    assert library.load("landscapes", **HOW) is not model


def test_the_least_recently_used_leave_when_the_budget_is_full(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    for seed, name in enumerate(names):
        tiny.write_model(tmp_path, seed, name=name)
    size = sum(t.numel() * 4 for t in tiny.weights().values())

    def kept(budget: int, order: str) -> str:
        library = ModelLibrary([tmp_path], budget=budget)
        for name in order:
            library.load(name, **HOW)
        return "".join(name for name in names if library.loaded(name, **HOW) is not None)

    assert kept(int(2.5 * size), "abc") == "bc"
    assert kept(int(2.5 * size), "abac") == "ac"
    assert kept(int(3.5 * size), "abc") == "abc"
    assert kept(0, "ab") == "b"  # one alone may be larger


def test_without_a_budget_the_free_memory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        tiny.write_model(tmp_path, name=name)
    library = ModelLibrary([tmp_path])
    library.load("a", **HOW)
    monkeypatch.setattr("ldm_core.library.residents.available_memory", lambda device: 1000)
    library.load("b", **HOW)
    assert library.loaded("a", **HOW) is None and library.loaded("b", **HOW) is not None
    monkeypatch.setattr("ldm_core.library.residents.available_memory", lambda device: None)
    library.load("a", **HOW)
    assert library.loaded("b", **HOW) is not None


def test_a_file_beside_its_description_is_a_model(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path / "x")
    (folder / "model.safetensors").rename(tmp_path / "photo.ckpt")
    (folder / "config.yaml").rename(tmp_path / "photo.yaml")
    library = ModelLibrary([tmp_path])
    assert library.names() == ("photo",)
    assert library.info("photo").path == tmp_path / "photo.ckpt"
    assert library.load("photo", **HOW).spec == tiny.SPEC


def test_hash(tmp_path: Path) -> None:
    path = tiny.write_model(tmp_path)
    library = ModelLibrary([tmp_path])
    expected = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    assert library.sha256("landscapes") == library.sha256("landscapes") == expected


def test_damaged_models_are_typed_errors(tmp_path: Path) -> None:
    library = ModelLibrary([tmp_path])
    (tiny.write_model(tmp_path, name="a") / "config.yaml").write_text("model: [")
    (tiny.write_model(tmp_path, name="b") / "model.safetensors").write_bytes(b"x" * 100)
    (tiny.write_model(tmp_path, name="c") / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ConfigError):
        library.info("a")
    with pytest.raises(ModelFileError):
        library.load("b", **HOW)
    with pytest.raises(ModelError):
        library.load("c", **HOW)
    assert [entry.name for entry in library.entries()] == ["a", "b", "c"]
    assert library.names() == ("c",)  # only loading tells of its vocabulary


def test_requests_events_and_models_need_no_torch() -> None:
    modules = "ldm_core.library.models, ldm_core.request, ldm_core.engine.events"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
